// Figures as people read them. What is not known is a dash.

export const NONE = "–";
const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

const withUnit = (figure, unit) => `${figure}\u00a0${unit}`; // they stay on one line
const known = (value, write) => (value === null || value === undefined ? NONE : write(value));

export const number = (value) => known(value, (n) => (Math.abs(n) >= 10000 ? short : Math.abs(n) >= 100 ? whole : plain).format(n));

export const percent = (share) => known(share, (s) => processor(s * 100));

export const processor = (value) => known(value, (v) => withUnit(plain.format(v), "%"));

export function seconds(value) {
  return known(value, (s) => {
    if (s < 0.001) return withUnit(s ? "< 1" : "0", "ms");
    if (s < 1) return withUnit((s < 0.01 ? plain : whole).format(s * 1000), "ms");
    return withUnit((s < 100 ? plain : whole).format(s), "s");
  });
}

export function bytes(value) {
  return known(value, (b) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let at = 0;
    for (; b >= 1024 && at < units.length - 1; at += 1) b /= 1024;
    return withUnit((b >= 100 ? whole : plain).format(b), units[at]);
  });
}

export function duration(value) {
  return known(value, (s) => {
    const parts = [[86400, "d"], [3600, "h"], [60, "min"]].flatMap(([size, unit]) => {
      const times = Math.floor(s / size);
      s -= times * size;
      return times ? [`${times} ${unit}`] : [];
    });
    return parts.length ? parts.slice(0, 2).join(" ") : `${Math.floor(s)} s`;
  });
}

export const time = (unixSeconds) => clock.format(new Date(unixSeconds * 1000));
