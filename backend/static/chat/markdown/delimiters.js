// Runs of `*`, `_` and `~~`: which of them open and close, and the pairs that they make.

const SPACE = /\s/u;
const PUNCTUATION = /[\p{P}\p{S}]/u;
const MAX_DEPTH = 60; // emphasis in emphasis; deeper marks stay text
const TAGS = { "*": ["em", "strong"], _: ["em", "strong"], "~": ["del", "del"] };

/** A list of inline nodes that can be taken out of the middle at no cost. */
export class Chain {
  constructor() {
    this.first = null;
    this.last = null;
  }

  /** `value`: a string or a node. Returns the link that holds it. */
  push(value) {
    const link = { value, before: this.last, after: null };
    if (this.last) this.last.after = link;
    else this.first = link;
    this.last = link;
    return link;
  }

  /** Takes out what lies between two links, and puts `value` in its place if there is one. */
  replaceBetween(left, right, value) {
    const link = { value, before: left, after: right };
    if (left) left.after = link;
    else this.first = link;
    if (right) right.before = link;
    else this.last = link;
    return link;
  }

  /** The values from `link` up to, not with, `end`; strings that touch are one. */
  static values(link, end) {
    const values = [];
    for (; link && link !== end; link = link.after) {
      if (link.value === "") continue;
      const top = values.length - 1;
      if (typeof link.value === "string" && typeof values[top] === "string") values[top] += link.value;
      else values.push(link.value);
    }
    return values;
  }
}

function characterBefore(source, at) {
  if (at === 0) return "\n";
  const unit = source.charCodeAt(at - 1);
  return unit >= 0xdc00 && unit <= 0xdfff && at > 1 ? source.slice(at - 2, at) : source[at - 1];
}

/** The run at `at` as `{mark, length, opens, closes}`, by the rules of flanking. */
export function runAt(source, at) {
  const mark = source[at];
  let end = at;
  while (source[end] === mark) end += 1;
  const before = characterBefore(source, at);
  const after = end < source.length ? String.fromCodePoint(source.codePointAt(end)) : "\n";
  const [spaceBefore, spaceAfter] = [SPACE.test(before), SPACE.test(after)];
  const [markBefore, markAfter] = [PUNCTUATION.test(before), PUNCTUATION.test(after)];
  const left = !spaceAfter && (!markAfter || spaceBefore || markBefore);
  const right = !spaceBefore && (!markBefore || spaceAfter || markAfter);
  const inWord = mark === "_";
  return {
    mark,
    length: end - at,
    opens: left && (!inWord || !right || markBefore),
    closes: right && (!inWord || !left || markAfter),
  };
}

function fits(opener, closer) {
  if (opener.mark !== closer.mark || !opener.opens) return false;
  if (opener.mark === "~") return opener.left >= 2 && closer.left >= 2;
  const odd = (opener.closes || closer.opens) && (opener.length + closer.length) % 3 === 0;
  return !odd || (opener.length % 3 === 0 && closer.length % 3 === 0);
}

/** The delimiters of one text, in order; each is a run with its `link` in the chain and the marks `left`. */
export class Delimiters {
  constructor(chain) {
    this.chain = chain;
    this.top = null;
  }

  push(run, link) {
    const delimiter = { ...run, link, left: run.length, below: this.top, above: null };
    if (this.top) this.top.above = delimiter;
    this.top = delimiter;
  }

  remove(delimiter) {
    if (delimiter.below) delimiter.below.above = delimiter.above;
    if (delimiter.above) delimiter.above.below = delimiter.below;
    else this.top = delimiter.below;
  }

  /** Pairs all above `bottom`; what finds no partner is text. Linear: a search that failed is not done again. */
  pair(bottom) {
    this.pairAbove(bottom);
    while (this.top && this.top !== bottom) this.remove(this.top);
  }

  /** Pairs all; an opener without a partner reaches to the end, for its partner is still to come. */
  pairToEnd() {
    this.pairAbove(null);
    for (; this.top; this.remove(this.top)) {
      const { top } = this;
      const count = Math.min(top.left, 2);
      if (!top.opens || !top.link.after || !this.usable(top)) continue;
      top.left -= count;
      top.link.value = top.mark.repeat(top.left);
      this.wrap(top, { link: null }, TAGS[top.mark][count - 1], count);
    }
  }

  pairAbove(bottom) {
    const searched = new Map();
    let closer = this.lowestAbove(bottom);
    while (closer) {
      if (!closer.closes) {
        closer = closer.above;
        continue;
      }
      const key = `${closer.mark}${closer.opens}${closer.length % 3}`;
      const opener = this.openerFor(closer, searched.get(key) ?? bottom, bottom);
      if (opener) {
        closer = this.join(opener, closer);
        continue;
      }
      searched.set(key, closer.below ?? bottom);
      const next = closer.above;
      if (!closer.opens) this.remove(closer);
      closer = next;
    }
  }

  lowestAbove(bottom) {
    let lowest = null;
    for (let at = this.top; at && at !== bottom; at = at.below) lowest = at;
    return lowest;
  }

  openerFor(closer, floor, bottom) {
    for (let at = closer.below; at && at !== floor && at !== bottom; at = at.below) {
      if (fits(at, closer)) return at;
    }
    return null;
  }

  /** Makes a node of what is between; returns the closer to go on with. */
  join(opener, closer) {
    while (closer.below !== opener) this.remove(closer.below);
    const count = opener.left >= 2 && closer.left >= 2 ? 2 : 1;
    this.wrap(opener, closer, TAGS[opener.mark][count - 1], count);
    for (const side of [opener, closer]) {
      side.left -= count;
      side.link.value = side.mark.repeat(side.left);
    }
    if (!this.usable(opener)) this.remove(opener);
    if (this.usable(closer)) return closer;
    const next = closer.above;
    this.remove(closer);
    return next;
  }

  usable(delimiter) {
    return delimiter.left >= (delimiter.mark === "~" ? 2 : 1);
  }

  wrap(opener, closer, tag, count) {
    const kids = Chain.values(opener.link.after, closer.link);
    const depth = 1 + kids.reduce((deepest, kid) => Math.max(deepest, kid.depth ?? 0), 0);
    if (depth <= MAX_DEPTH) {
      this.chain.replaceBetween(opener.link, closer.link, { tag, kids, depth });
      return;
    }
    const mark = opener.mark.repeat(count);
    const node = { tag: "span", kids: [mark, ...kids.map(flat), mark], depth: 0 };
    this.chain.replaceBetween(opener.link, closer.link, node);
  }
}

/** A node that is too deep, as its text. */
function flat(node) {
  return typeof node === "string" ? node : textOf(node);
}

export function textOf(node) {
  let text = "";
  const rest = [node];
  while (rest.length) {
    const top = rest.pop();
    if (typeof top === "string") text += top;
    else if (top.tag === "citations") text += top.source;
    else for (let at = top.kids.length - 1; at >= 0; at--) rest.push(top.kids[at]);
  }
  return text;
}
