// The definitions that an answer's links refer to: the first one of a label counts.

export class DefinitionList {
  /** `outer`: those of the text before, looked at first. */
  constructor(outer = null) {
    this.outer = outer;
    this.byLabel = new Map();
  }

  get empty() {
    return !this.byLabel.size && (!this.outer || this.outer.empty);
  }

  /** Returns whether any label is new. */
  add(definitions) {
    const before = this.byLabel.size;
    for (const found of definitions) {
      if (!this.find(found.label)) this.byLabel.set(found.label, found);
    }
    return this.byLabel.size > before;
  }

  find(label) {
    return this.outer?.find(label) ?? this.byLabel.get(label);
  }
}
