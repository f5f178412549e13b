// Lines to a tree of blocks, after CommonMark's own strategy: each line first goes down the open
// blocks that it continues, then may begin new ones, and its rest is text of the innermost.

import { Block } from "./block.js";
import { goesOn } from "./block_continue.js";
import { START_RULES, USED_UP } from "./block_start.js";
import { definitionAt } from "./definitions.js";
import { cleanLine } from "./characters.js";
import { Line } from "./line.js";
import { rowOf } from "./table.js";

const MAY_START = /^[#`~*+_=<>0-9:|-]/;

export class BlockParser {
  constructor() {
    this.root = new Block("document", 0);
    this.tip = this.root; // the innermost open block
    this.lineNumber = 0;
    this.definitions = []; // {label, address, title, line}
  }

  /** Takes one line, without its line end. */
  line(text) {
    const line = new Line(cleanLine(text));
    if (!this.descend(line)) this.place(line);
    this.lineNumber += 1;
  }

  /** Closes what is open, and returns the blocks at the top. */
  end() {
    this.matched = this.root;
    while (this.tip !== this.root) this.close(this.tip);
    return this.root.kids;
  }

  /** Goes down the open blocks that the line continues. True if the line is used up (a closing fence). */
  descend(line) {
    let block = this.root;
    while (block.last?.open) {
      const result = goesOn(block.last, line);
      if (result === "ends") {
        this.matched = block.last;
        this.closeUnmatched();
        this.close(block.last);
        return true;
      }
      if (!result) break;
      block = block.last;
    }
    this.matched = block;
    return false;
  }

  place(line) {
    let block = this.matched;
    while (!block.isVerbatim) {
      if (!line.indented && !MAY_START.test(line.text.slice(line.next, line.next + 1))) break;
      const started = this.start(line, block);
      if (!started) break;
      if (started === USED_UP) return this.noteText();
      block = started;
      if (!block.isContainer) break;
    }
    return this.addText(line, block);
  }

  /** The block that the line begins inside `block`, `USED_UP` if nothing of it is left, or null. */
  start(line, block) {
    for (const rule of START_RULES) {
      const started = rule(this, line, block);
      if (started) return started;
    }
    return null;
  }

  addText(line, block) {
    if (this.tip !== this.matched && !line.blank && this.tip.kind === "paragraph") {
      this.tip.lines.push(line.text.slice(line.next)); // a lazy continuation
      return;
    }
    this.closeUnmatched();
    this.noteBlank(line, block);
    if (block.isVerbatim) block.lines.push(line.rest());
    else if (line.blank) return;
    else if (block.kind === "table") block.rows.push(rowOf(block, line.text.slice(line.next)));
    else this.paragraphFor(block).lines.push(line.text.slice(line.next));
  }

  paragraphFor(block) {
    return block.kind === "paragraph" ? block : this.add("paragraph");
  }

  /** Blank lines make a list loose, but not those in a quote, in fenced code or behind an empty item's mark. */
  noteBlank(line, block) {
    if (line.blank && block.last) block.last.blankAfter = true;
    const emptyItem = block.kind === "item" && !block.kids.length && block.line === this.lineNumber;
    const after = line.blank && block.kind !== "quote" && !(block.kind === "code" && block.fence) && !emptyItem;
    for (let up = block; up; up = up.parent) up.blankAfter = after;
  }

  noteText() {
    for (let up = this.tip; up; up = up.parent) up.blankAfter = false;
  }

  /** Adds a block under the innermost one that may hold it. */
  add(kind) {
    while (!this.tip.mayHold(kind)) this.close(this.tip);
    const block = new Block(kind, this.lineNumber, this.tip);
    this.tip.kids.push(block);
    this.tip = block;
    this.matched = block;
    return block;
  }

  closeUnmatched() {
    while (this.tip !== this.matched) this.close(this.tip);
  }

  close(block) {
    block.open = false;
    this.tip = block.parent;
    if (block.kind === "paragraph") this.endParagraph(block);
    else if (block.kind === "list") block.tight = isTight(block);
    else if (block.kind === "code" && !block.fence) dropBlankEnd(block.lines);
  }

  /** A paragraph with nothing but definitions is none. */
  endParagraph(block) {
    this.takeDefinitions(block);
    if (!block.lines.length) block.parent.kids.splice(block.parent.kids.lastIndexOf(block), 1);
  }

  /** Takes definitions off a paragraph's beginning. */
  takeDefinitions(block) {
    if (block.lines[0]?.[0] !== "[") return;
    const source = block.lines.join("\n");
    let at = 0;
    for (let found; source[at] === "[" && (found = definitionAt(source, at)); at = found.end) {
      this.definitions.push({ ...found, line: block.line });
    }
    const rest = source.slice(at);
    if (at) block.lines = rest ? rest.split("\n") : [];
  }
}

function isTight(list) {
  return !list.kids.some((item, index) => {
    const more = index < list.kids.length - 1;
    if (more && endsBlank(item)) return true;
    return item.kids.some((kid, place) => (more || place < item.kids.length - 1) && endsBlank(kid));
  });
}

function endsBlank(block) {
  for (let at = block; at; at = at.last) {
    if (at.blankAfter) return true;
    if (at.endSeen || (at.kind !== "list" && at.kind !== "item")) return false;
    at.endSeen = true; // what was looked at once has no blank end
  }
  return false;
}

function dropBlankEnd(lines) {
  while (lines.length && !lines[lines.length - 1].trim()) lines.pop();
}
