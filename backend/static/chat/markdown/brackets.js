// Square brackets: links, images, and the markers `[1]` that cite a source.

import { checkedAddress } from "./addresses.js";
import { prose } from "./characters.js";
import { destinationAt, labelAt, normalised, skipSpaces, titleAt } from "./definitions.js";
import { Chain, textOf } from "./delimiters.js";

const MARKER = /\[ {0,3}([1-9]\d{0,2}(?: {0,3}[,;] {0,3}[1-9]\d{0,2}){0,20}) {0,3}\]/y;

export class Brackets {
  constructor(parser, definitions) {
    this.parser = parser;
    this.definitions = definitions;
    this.stack = []; // {link, image, start, delimiter}
    this.dead = 0; // so many at the bottom are before a link, which must not be in another one
  }

  open(image) {
    const { parser } = this;
    if (!image && this.marker()) return;
    const link = parser.take(image ? 2 : 1);
    this.stack.push({ link, image, start: parser.at, delimiter: parser.delimiters.top });
  }

  /** `[1]` and `[1, 2]` cite, unless an address or a label follows. */
  marker() {
    const { parser } = this;
    const { source } = parser;
    MARKER.lastIndex = parser.at;
    const match = MARKER.exec(source);
    if (!match) return false;
    const end = parser.at + match[0].length;
    if (this.targetAt(end, null)) return false;
    parser.at = end;
    const kids = match[1].split(/[,;]/).map((id) => ({ tag: "citation", id: Number(id), kids: [] }));
    parser.chain.push({ tag: "citations", source: match[0], kids });
    return true;
  }

  close() {
    const { parser } = this;
    const bracket = this.stack.pop();
    const dead = this.stack.length < this.dead;
    this.dead = Math.min(this.dead, this.stack.length);
    if (!bracket || (dead && !bracket.image)) return parser.take(1);
    const inner = parser.source.slice(bracket.start, parser.at);
    const target = this.targetAt(parser.at + 1, inner);
    const address = target && checkedAddress(target.address);
    if (!target || (!address && !bracket.image)) return parser.take(1);
    parser.at = target.end;
    return this.make(bracket, address, prose(target.title));
  }

  /** What a link's text is followed by, as `{end, address, title}`: `(…)`, `[label]`, or its own text as a label. */
  targetAt(at, inner) {
    const { source } = this.parser;
    const inline = source[at] === "(" ? inlineTarget(source, at) : null;
    if (inline) return inline;
    const label = source[at] === "[" ? labelAt(source, at) : null;
    if (label) return this.defined(label.label, label.end);
    if (inner === null) return null;
    return this.defined(inner, source.startsWith("[]", at) ? at + 2 : at);
  }

  defined(label, end) {
    if (this.definitions.empty || label.length > 999 || !label.trim() || /(?<!\\)(?:\\\\)*\[/.test(label)) return null;
    const found = this.definitions.find(normalised(label));
    return found ? { end, address: found.address, title: found.title } : null;
  }

  make(bracket, address, title) {
    const { chain, delimiters } = this.parser;
    delimiters.pair(bracket.delimiter);
    const kids = Chain.values(bracket.link.after, null);
    const left = bracket.link.before;
    chain.replaceBetween(left, null, bracket.image ? image(kids, address, title) : anchor(kids, address, title));
    if (!bracket.image) this.dead = this.stack.length;
  }
}

function inlineTarget(source, at) {
  const start = skipSpaces(source, at + 1);
  const destination = destinationAt(source, start);
  if (!destination) return null;
  let end = skipSpaces(source, destination.end);
  const title = end > destination.end ? titleAt(source, end) : null;
  if (title) end = skipSpaces(source, title.end);
  if (source[end] !== ")") return null;
  return { end: end + 1, address: destination.text, title: title?.text ?? "" };
}

function anchor(kids, address, title) {
  return { tag: "a", address, title, kids: kids.map(withoutButtons), depth: deepest(kids) };
}

/** No picture is ever fetched: its text stands for it, with its address where that may be a link. */
function image(kids, address, title) {
  const text = kids.map(textOf).join("") || "image";
  if (!address) return { tag: "span", kids: [text], image: true };
  return { tag: "a", address, title, kids: [text], image: true };
}

function deepest(kids) {
  return kids.reduce((depth, kid) => Math.max(depth, kid.depth ?? 0), 0);
}

/** A link must not have a button or a link in it. */
function withoutButtons(kid) {
  if (typeof kid === "string") return kid;
  if (kid.tag === "citations") return textOf(kid);
  if (kid.tag === "a") return { tag: "span", image: kid.image, kids: kid.kids.map(withoutButtons) };
  return { ...kid, kids: kid.kids.map(withoutButtons) };
}
