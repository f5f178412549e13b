// The end of a text that is still being written, without what would flicker.

const UNDECIDED = /^[ \t>]*(?:[-+*][ \t]*|\d{1,9}[.)]?[ \t]*|#{1,6}[ \t]*|[=_*-]+[ \t]*|`{1,2}|~{1,2}|\|?[ |:-]*)$/;

/** Whether a line that is not complete may yet become anything: it is better not shown for a moment. */
export function undecided(line) {
  return line.length < 200 && UNDECIDED.test(line);
}

const MARKER_BEGUN = /!?\[[\d,; ]{0,12}$/;
const LONGEST = 2000; // characters of an address that is waited for

/** A text that goes on, without a mark that is not complete: `**`, `[1`, or the address of a link. */
export function withoutLooseEnd(text) {
  const cut = withoutAddress(text);
  let end = cut.length;
  while (end > 0 && "*_~`\\".includes(cut[end - 1])) end -= 1;
  const tail = cut.slice(Math.max(0, end - 16), end);
  return cut.slice(0, end - (MARKER_BEGUN.exec(tail)?.[0].length ?? 0));
}

/** `[text](https://exam` as `text`. */
function withoutAddress(text) {
  const middle = text.lastIndexOf("](");
  if (middle < 0 || text.length - middle > LONGEST || /[)\n]/.test(text.slice(middle))) return text;
  const start = text.lastIndexOf("[", middle);
  if (start < 0) return text;
  const before = text[start - 1] === "!" ? start - 1 : start;
  return text.slice(0, before) + text.slice(start + 1, middle);
}
