// Blocks to nodes `{tag, kids, …}` and strings, which `patch` puts on the page.

import { InlineParser } from "./inline_parser.js";

const TASK = /^\[[ xX]\][ \t]+(?=\S)/;

/** Makes nodes; a text that was in the last pass too keeps its nodes, so that nobody looks at them again. */
export class TreeMaker {
  constructor() {
    this.before = new Map();
    this.now = new Map();
  }

  /** The nodes of `blocks`; links are looked up in `definitions`. `open`: the block whose text goes on, or null. */
  nodes(blocks, definitions, open = null) {
    this.definitions = definitions;
    this.open = open;
    this.before = definitions.empty ? this.now : new Map();
    this.now = new Map();
    return blocks.map((block) => this.node(block, false));
  }

  node(block, tight) {
    return this[block.kind](block, tight);
  }

  inline(source) {
    let nodes = this.now.get(source) ?? this.before.get(source);
    nodes ??= new InlineParser(source, this.definitions).nodes();
    this.now.set(source, nodes);
    return nodes;
  }

  text(block) {
    const source = block.lines.join("\n").trimEnd().slice(block.task?.length ?? 0);
    if (block === this.open) return new InlineParser(source, this.definitions, true).nodes();
    return this.inline(source);
  }

  paragraph(block, tight) {
    const kids = this.text(block);
    return tight ? { tag: null, kids } : { tag: "p", kids };
  }

  heading(block) {
    return { tag: `h${block.level}`, kids: this.text(block) };
  }

  rule() {
    return { tag: "hr", kids: [] };
  }

  code(block) {
    return { tag: "code-block", language: block.language ?? "", lines: block.lines, open: block.open, kids: [] };
  }

  quote(block) {
    return { tag: "blockquote", kids: block.kids.map((kid) => this.node(kid, false)) };
  }

  list(block) {
    const kids = block.kids.map((kid) => this.item(kid, block.tight));
    return { tag: block.ordered ? "ol" : "ul", start: block.ordered && block.start !== 1 ? block.start : null, kids };
  }

  item(block, tight) {
    const task = taskMark(block);
    const kids = [];
    for (const kid of block.kids) {
      const node = this.node(kid, tight);
      if (node.tag) kids.push(node);
      else kids.push(...node.kids);
    }
    if (!task) return { tag: "li", kids };
    const box = { tag: "checkbox", checked: task[1] !== " ", kids: [] };
    if (kids[0]?.tag === "p") kids[0] = { tag: "p", kids: [box, " ", ...kids[0].kids] };
    else kids.unshift(box, " ");
    return { tag: "li", task: true, kids };
  }

  table(block) {
    const row = (cells, tag) => ({
      tag: "tr",
      kids: cells.map((cell, at) => ({ tag, align: block.alignments[at], kids: this.inline(cell) })),
    });
    const kids = [{ tag: "thead", kids: [row(block.header, "th")] }];
    if (block.rows.length) kids.push({ tag: "tbody", kids: block.rows.map((cells) => row(cells, "td")) });
    return { tag: "table-frame", kids: [{ tag: "table", kids }] };
  }
}

/** The `[x] ` that an item begins with, or null; its paragraph keeps it apart from the text. */
function taskMark(item) {
  const first = item.kids[0];
  if (first?.kind !== "paragraph") return null;
  first.task ??= TASK.exec(first.lines[0] ?? "")?.[0] ?? "";
  return first.task || null;
}
