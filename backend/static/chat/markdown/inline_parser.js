// The text of a paragraph, a heading or a cell to nodes: `{tag, kids, …}` and strings.
// One walk from left to right; brackets and runs of marks are kept aside until their partner comes.

import { checkedAddress } from "./addresses.js";
import { Brackets } from "./brackets.js";
import { code, prose } from "./characters.js";
import { Chain, Delimiters, runAt } from "./delimiters.js";
import { referenceAt } from "./entities.js";
import { withoutLooseEnd } from "./open_text.js";

const PLAIN = /(?:[^\\`*_~[\]!<&\nhH]|[hH](?!ttps?:\/\/))+/y;
const ESCAPABLE = /[!-/:-@[-`{-~]/;
const POINTED_URI = /<([A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>\u0000-\u0020]*)>/y;
const POINTED_MAIL = /<([\w.!#$%&'*+/=?^`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?)>/y;
const BARE = /https?:\/\/[^\s<>"`|\\^{}\u0000-\u0020]+/iy;

export class InlineParser {
  /**
   * `definitions`: has `find(label)`, which gives `{address, title}` or nothing. `open`: the text goes on,
   * so what is begun at its end is shown as if it were complete.
   */
  constructor(source, definitions, open = false) {
    this.source = open ? withoutLooseEnd(source) : source;
    this.isOpen = open;
    this.at = 0;
    this.chain = new Chain();
    this.delimiters = new Delimiters(this.chain);
    this.brackets = new Brackets(this, definitions);
    this.ticks = null;
  }

  /** The nodes of the text. */
  nodes() {
    while (this.at < this.source.length) this.step();
    if (this.isOpen) this.delimiters.pairToEnd();
    else this.delimiters.pair(null);
    return Chain.values(this.chain.first, null);
  }

  step() {
    const { source, at } = this;
    switch (source[at]) {
      case "\\": return this.backslash();
      case "`": return this.codeSpan();
      case "*": case "_": case "~": return this.run();
      case "[": return this.brackets.open(false);
      case "]": return this.brackets.close();
      case "!":
        if (source[at + 1] === "[") return this.brackets.open(true);
        return this.take(1);
      case "<": return this.pointed();
      case "&": return this.reference();
      case "\n": return this.lineEnd();
      case "h": case "H": return this.bareAddress();
      default: return this.plain();
    }
  }

  /** Puts text in place of the next `length` characters. */
  put(length, value) {
    this.at += length;
    return this.chain.push(typeof value === "string" ? prose(value) : value);
  }

  take(length) {
    return this.put(length, this.source.slice(this.at, this.at + length));
  }

  plain() {
    PLAIN.lastIndex = this.at;
    PLAIN.exec(this.source);
    return this.take(PLAIN.lastIndex - this.at);
  }

  backslash() {
    const next = this.source[this.at + 1];
    if (next === "\n") return this.put(2, { tag: "br", kids: [] }) && this.skipSpaces();
    if (next && ESCAPABLE.test(next)) return this.put(2, next);
    return this.take(1);
  }

  run() {
    const run = runAt(this.source, this.at);
    const link = this.take(run.length);
    if (run.opens || run.closes) this.delimiters.push(run, link);
  }

  reference() {
    const found = referenceAt(this.source, this.at);
    return found ? this.put(found.length, found.text) : this.take(1);
  }

  lineEnd() {
    const before = this.chain.last;
    const text = typeof before?.value === "string" ? before.value : "";
    if (text.endsWith(" ")) before.value = withoutSpaces(text);
    const hard = text.endsWith("  ");
    this.put(1, hard ? { tag: "br", kids: [] } : "\n");
    this.skipSpaces();
  }

  skipSpaces() {
    while (this.source[this.at] === " " || this.source[this.at] === "\t") this.at += 1;
  }

  codeSpan() {
    const length = runLength(this.source, this.at);
    let end = this.closingTicks(length);
    if (end < 0 && this.isOpen) end = this.source.length;
    if (end < 0) return this.take(length);
    let text = this.source.slice(this.at + length, end).replaceAll("\n", " ");
    if (text.length > 2 && text[0] === " " && text.endsWith(" ") && text.trim()) text = text.slice(1, -1);
    return this.put(end + length - this.at, { tag: "code", kids: [code(text)] });
  }

  /** Where a run of just so many backticks begins behind this one, or -1. Each run is looked at once. */
  closingTicks(length) {
    this.ticks ??= ticksOf(this.source);
    const places = this.ticks.get(length) ?? []; // none where the run begins with an escaped one
    while (places.length && places[places.length - 1] <= this.at) places.pop();
    return places[places.length - 1] ?? -1;
  }

  pointed() {
    POINTED_URI.lastIndex = this.at;
    POINTED_MAIL.lastIndex = this.at;
    const uri = POINTED_URI.exec(this.source);
    const mail = uri ? null : POINTED_MAIL.exec(this.source);
    const match = uri ?? mail;
    const address = match && checkedAddress(mail ? `mailto:${match[1]}` : match[1]);
    if (!address) return this.take(1);
    return this.put(match[0].length, { tag: "a", address, title: "", kids: [prose(match[1])] });
  }

  bareAddress() {
    const { source, at } = this;
    BARE.lastIndex = at;
    const match = at > 0 && /[\w/]/.test(source[at - 1]) ? null : BARE.exec(source);
    const text = match && withoutEnd(match[0]);
    const address = text && checkedAddress(text);
    if (address) return this.put(text.length, { tag: "a", address, title: "", kids: [prose(text)] });
    PLAIN.lastIndex = at + 1;
    return this.take(1 + (PLAIN.exec(source)?.[0].length ?? 0));
  }
}

function withoutSpaces(text) {
  let end = text.length;
  while (text[end - 1] === " ") end -= 1;
  return text.slice(0, end);
}

function runLength(source, at) {
  let end = at;
  while (source[end] === source[at]) end += 1;
  return end - at;
}

/** Length of a run of backticks → where such runs begin, the last first. */
function ticksOf(source) {
  const places = new Map();
  for (const match of source.matchAll(/`+/g)) {
    const length = match[0].length;
    if (!places.has(length)) places.set(length, []);
    places.get(length).push(match.index);
  }
  for (const list of places.values()) list.reverse();
  return places;
}

/** An address in a sentence without the sentence's marks, and without a bracket that it did not open. */
function withoutEnd(text) {
  let end = text.length;
  let surplus = count(text, ")") - count(text, "(");
  for (; end > 0; end--) {
    const last = text[end - 1];
    if (last === ")" && surplus > 0) surplus -= 1;
    else if (!/[?!.,:;*_~'\]]/.test(last)) break;
  }
  return text.slice(0, end);
}

function count(text, character) {
  return text.split(character).length - 1;
}
