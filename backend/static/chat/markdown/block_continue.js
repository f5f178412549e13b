// Whether a line goes on with an open block: true, false, or "ends" for a fence that closes.

const CLOSING_FENCE = /^(?:`{3,}|~{3,})(?=[ \t]*$)/;

const RULES = {
  quote(block, line) {
    if (line.indented || line.text[line.next] !== ">") return false;
    line.toNext();
    line.advance(1);
    if (line.atSpace) line.advanceColumns(1);
    return true;
  },

  list: () => true,

  item(block, line) {
    if (line.blank) {
      if (!block.kids.length) return false; // an empty item ends with its line
      line.toNext();
      return true;
    }
    if (line.indent < block.margin) return false;
    line.advanceColumns(block.margin);
    return true;
  },

  code(block, line) {
    return block.fence ? fenced(block, line) : indented(line);
  },

  heading: () => false,
  rule: () => false,
  paragraph: (block, line) => !line.blank,
  table: (block, line) => !line.blank && !line.indented,
};

function fenced(block, line) {
  if (!line.indented && line.text[line.next] === block.fence[0]) {
    const match = CLOSING_FENCE.exec(line.text.slice(line.next));
    if (match && match[0].length >= block.fence.length) return "ends";
  }
  line.advanceColumns(Math.min(block.fenceIndent, line.indent));
  return true;
}

function indented(line) {
  if (line.indented) line.advanceColumns(4);
  else if (line.blank) line.toNext();
  else return false;
  return true;
}

export function goesOn(block, line) {
  return RULES[block.kind](block, line);
}
