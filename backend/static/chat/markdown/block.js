// A node of the tree of blocks, and what each kind may hold.

const CONTAINERS = new Set(["document", "quote", "list", "item"]);

export class Block {
  /** `line`: the number of the source line on which it begins. */
  constructor(kind, line, parent = null) {
    this.kind = kind;
    this.line = line;
    this.parent = parent;
    this.depth = parent ? parent.depth + 1 : 0;
    this.kids = [];
    this.lines = []; // the text of a leaf
    this.open = true;
    this.blankAfter = false;
  }

  get last() {
    return this.kids[this.kids.length - 1];
  }

  get isContainer() {
    return CONTAINERS.has(this.kind);
  }

  /** Whether lines go in as they are, without a look for other blocks. */
  get isVerbatim() {
    return this.kind === "code";
  }

  mayHold(kind) {
    if (this.kind === "list") return kind === "item";
    return this.isContainer && kind !== "item";
  }
}
