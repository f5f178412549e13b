// A line that is being read from the left, in columns: a tab reaches to the next multiple of four.

const TAB = 9;
const SPACE = 32;

export class Line {
  constructor(text) {
    this.text = text;
    this.offset = 0;
    this.column = 0;
    this.inTab = false; // a part of the tab at `offset` is used up
    this.look();
  }

  /** Finds the next character that is no space: sets `next`, `indent` (columns up to it) and `blank`. */
  look() {
    let at = this.offset;
    let column = this.column;
    for (; at < this.text.length; at++) {
      const code = this.text.charCodeAt(at);
      if (code === SPACE) column += 1;
      else if (code === TAB) column += 4 - (column % 4);
      else break;
    }
    this.next = at;
    this.nextColumn = column;
    this.indent = column - this.column;
    this.blank = at === this.text.length;
  }

  get indented() {
    return this.indent >= 4;
  }

  /** Whether the character at hand is a space or a tab. */
  get atSpace() {
    const code = this.text.charCodeAt(this.offset);
    return code === SPACE || code === TAB;
  }

  toNext() {
    this.offset = this.next;
    this.column = this.nextColumn;
    this.inTab = false;
    this.look();
  }

  advance(characters) {
    for (; characters > 0 && this.offset < this.text.length; characters--) {
      this.column += this.text.charCodeAt(this.offset) === TAB ? 4 - (this.column % 4) : 1;
      this.offset += 1;
    }
    this.inTab = false;
    this.look();
  }

  advanceColumns(columns) {
    while (columns > 0 && this.offset < this.text.length) {
      const width = this.text.charCodeAt(this.offset) === TAB ? 4 - (this.column % 4) : 1;
      this.inTab = width > columns;
      this.column += Math.min(width, columns);
      if (!this.inTab) this.offset += 1;
      columns -= width;
    }
    this.look();
  }

  /** Back to a place noted before. */
  back(offset, column) {
    this.offset = offset;
    this.column = column;
    this.inTab = false;
    this.look();
  }

  /** What is left, with the rest of a half-used tab as spaces. */
  rest() {
    if (!this.inTab) return this.text.slice(this.offset);
    return " ".repeat(4 - (this.column % 4)) + this.text.slice(this.offset + 1);
  }
}
