// What a line can begin. Each rule takes the parser, the line and the block that would hold the new
// one, and returns the new block, `USED_UP` when nothing of the line is left for it, or null. The order
// is CommonMark's.

import { unescaped } from "./entities.js";
import { alignmentsOf, cellsOf } from "./table.js";

export const USED_UP = Symbol("used up");
const MAX_DEPTH = 40; // blocks within blocks; a list takes two, its own and the item's
const ATX = /^(#{1,6})(?:[ \t]+|$)/;
const FENCE = /^(?:`{3,}(?=[^`]*$)|~{3,})/;
const SETEXT = /^(?:=+|-+)[ \t]*$/;
const BULLET = /^[*+-]/;
const ORDERED = /^(\d{1,9})([.)])/;

function at(line) {
  return line.text.slice(line.next);
}

function quote(parser, line, block) {
  if (line.indented || line.text[line.next] !== ">" || block.depth >= MAX_DEPTH) return null;
  line.toNext();
  line.advance(1);
  if (line.atSpace) line.advanceColumns(1);
  parser.closeUnmatched();
  return parser.add("quote");
}

function atx(parser, line) {
  const match = !line.indented && ATX.exec(at(line));
  if (!match) return null;
  parser.closeUnmatched();
  const heading = parser.add("heading");
  heading.level = match[1].length;
  heading.lines = [withoutClosingMarks(at(line).slice(match[0].length))];
  return USED_UP;
}

function withoutClosingMarks(text) {
  const trimmed = text.trimEnd();
  let end = trimmed.length;
  while (trimmed[end - 1] === "#") end -= 1;
  const closes = end === 0 || /[ \t]/.test(trimmed[end - 1]);
  return (closes ? trimmed.slice(0, end) : trimmed).trim();
}

function fence(parser, line) {
  const match = !line.indented && FENCE.exec(at(line));
  if (!match) return null;
  parser.closeUnmatched();
  const code = parser.add("code");
  code.fence = match[0];
  code.fenceIndent = line.indent;
  code.language = unescaped(at(line).slice(match[0].length).trim()).split(/\s/)[0];
  return USED_UP;
}

function table(parser, line, block) {
  if (line.indented || block.kind !== "paragraph" || !block.lines.length) return null;
  const header = block.lines[block.lines.length - 1];
  const alignments = alignmentsOf(header, at(line));
  if (!alignments) return null;
  parser.closeUnmatched();
  block.lines.pop();
  if (block.lines.length) parser.close(block);
  else takeAway(parser, block);
  const made = parser.add("table");
  Object.assign(made, { line: parser.lineNumber - 1, alignments, header: cellsOf(header), rows: [] });
  return USED_UP;
}

function takeAway(parser, block) {
  block.parent.kids.pop();
  parser.tip = block.parent;
  parser.matched = block.parent;
}

function setext(parser, line, block) {
  if (line.indented || block.kind !== "paragraph" || !SETEXT.test(at(line))) return null;
  parser.closeUnmatched();
  parser.takeDefinitions(block);
  if (!block.lines.length) return null; // only definitions: the line is text
  block.kind = "heading";
  block.level = line.text[line.next] === "=" ? 1 : 2;
  return USED_UP;
}

function isRule(text) {
  const mark = text[0];
  if (mark !== "*" && mark !== "-" && mark !== "_") return false;
  let count = 0;
  for (const character of text) {
    if (character === mark) count += 1;
    else if (character !== " " && character !== "\t") return false;
  }
  return count >= 3;
}

function rule(parser, line) {
  if (line.indented || !isRule(at(line))) return null;
  parser.closeUnmatched();
  parser.add("rule");
  return USED_UP;
}

function markerOf(line, block) {
  const text = at(line);
  const ordered = ORDERED.exec(text);
  const match = ordered ?? BULLET.exec(text);
  if (!match) return null;
  const rest = text.slice(match[0].length);
  if (rest && rest[0] !== " " && rest[0] !== "\t") return null;
  const interrupts = block.kind === "paragraph";
  if (interrupts && (!rest.trim() || (ordered && ordered[1] !== "1" && Number(ordered[1]) !== 1))) return null;
  return {
    ordered: Boolean(ordered),
    mark: ordered ? ordered[2] : match[0],
    start: ordered ? Number(ordered[1]) : 0,
    width: match[0].length,
  };
}

/** Goes behind the marker; returns the columns that later lines of the item must be indented by. */
function marginOf(line, marker) {
  const outer = line.indent;
  line.toNext();
  line.advance(marker.width);
  const { offset, column } = line;
  const spaces = line.indent;
  if (spaces >= 1 && spaces <= 4 && !line.blank) {
    line.advanceColumns(spaces);
    return outer + marker.width + spaces;
  }
  line.back(offset, column);
  if (line.atSpace) line.advanceColumns(1);
  return outer + marker.width + 1;
}

function item(parser, line, block) {
  if (line.indented || block.depth >= MAX_DEPTH) return null;
  const marker = markerOf(line, block);
  if (!marker) return null;
  parser.closeUnmatched();
  const margin = marginOf(line, marker);
  const list = block.kind === "list" ? block : null;
  if (!list || list.ordered !== marker.ordered || list.mark !== marker.mark) {
    const { ordered, mark, start } = marker;
    Object.assign(parser.add("list"), { ordered, mark, start });
  }
  const made = parser.add("item");
  made.margin = margin;
  return made;
}

function indentedCode(parser, line) {
  if (!line.indented || line.blank || parser.tip.kind === "paragraph") return null;
  line.advanceColumns(4);
  parser.closeUnmatched();
  return parser.add("code");
}

export const START_RULES = [quote, atx, fence, table, setext, rule, item, indentedCode];
