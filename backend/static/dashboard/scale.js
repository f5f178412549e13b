// From a figure to a place in a chart.

const STEPS = [1, 2, 2.5, 5, 10];
const WHOLE_STEPS = [1, 2, 5, 10];

// The axis' marks from 0 up to at least `most` (more than 0), three or four of them, at round figures. `counts`: whole
// numbers only; `binary`: round in bytes.
export function marks(most, { counts = false, binary = false } = {}) {
  const unit = binary ? 1024 ** Math.floor(Math.log(Math.max(most, 1)) / Math.log(1024)) : 1;
  const raw = Math.max(most / unit / 3, counts ? 1 : Number.MIN_VALUE);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = (counts ? WHOLE_STEPS : STEPS).find((factor) => factor * power >= raw * 0.999) * power * unit;
  const count = Math.max(1, Math.ceil((most / step) * 0.999));
  return Array.from({ length: count + 1 }, (_, index) => Number((index * step).toPrecision(12)));
}

// The path through `places` [x, y], broken where one is null; alone standing ones are returned apart, for dots.
export function path(places) {
  let line = "";
  const alone = [];
  places.forEach((place, at) => {
    if (!place) return;
    const before = places[at - 1], after = places[at + 1];
    if (!before && !after) alone.push(place);
    else line += `${before ? "L" : "M"}${place[0].toFixed(1)} ${place[1].toFixed(1)}`;
  });
  return { line, alone };
}
