// A quote in its document: where it stands, and as much around it as a person reads.

const AROUND = 6000; // code units before and behind: a document may have ten megabytes, a page should not

/** The index in UTF-16 units of the code point number `count`, which is how the server counts. */
export function indexOf(text, count) {
  if (!/[\ud800-\udbff]/.test(text)) return Math.min(count, text.length);
  let index = 0;
  for (let seen = 0; seen < count && index < text.length; seen++) index += text.codePointAt(index) > 0xffff ? 2 : 1;
  return index;
}

/** {before, quote, after, cutBefore, cutAfter}; null where the text has changed and the quote does not stand there. */
export function passageOf(text, { start, end, quote }) {
  let from = indexOf(text, start);
  let to = from + indexOf(text.slice(from), end - start);
  if (text.slice(from, to) !== quote) {
    from = text.indexOf(quote);
    if (!quote || from < 0) return null;
    to = from + quote.length;
  }
  const first = from > AROUND ? text.lastIndexOf("\n", from - AROUND) + 1 || from - AROUND : 0;
  const begin = Math.max(first, from - 2 * AROUND);
  const next = text.indexOf("\n", to + AROUND);
  const stop = Math.min(next < 0 ? text.length : next, to + 2 * AROUND, text.length);
  return {
    before: text.slice(whole(text, begin), from), quote: text.slice(from, to), after: text.slice(to, whole(text, stop)),
    cutBefore: begin > 0, cutAfter: stop < text.length,
  };
}

/** Not in the middle of a pair. */
function whole(text, index) {
  const unit = text.charCodeAt(index);
  return unit >= 0xdc00 && unit <= 0xdfff ? index + 1 : index;
}
