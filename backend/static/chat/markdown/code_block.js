// A block of code on the page: its language, a button that copies it, and its lines. A finished line
// is made once and never again.

import { code as visible } from "./characters.js";
import { tokenizerFor, labelOf } from "../highlight/languages.js";

const LONGEST_COLOURED = 2000; // characters; longer lines are data, not something that is read

export class CodeBlock {
  constructor(language) {
    this.tokenizer = tokenizerFor(language);
    this.lines = [];
    this.states = [null]; // the tokenizer's state before each line
    this.element = document.createElement("div");
    this.element.className = "code-block";
    this.element.append(head(labelOf(language)), this.body());
  }

  body() {
    const pre = document.createElement("pre");
    pre.tabIndex = 0; // so that a long line can be scrolled by keyboard
    this.code = document.createElement("code");
    pre.append(this.code);
    return pre;
  }

  /** Shows `lines`; those that are on the page already stay. */
  show({ lines }) {
    let same = 0;
    while (same < this.lines.length && same < lines.length && this.lines[same] === lines[same]) same += 1;
    while (this.code.childNodes.length > same) this.code.lastChild.remove();
    this.states.length = same + 1;
    for (let at = same; at < lines.length; at++) this.code.append(this.lineElement(lines[at], at));
    this.lines = lines;
  }

  lineElement(text, at) {
    const element = document.createElement("span");
    element.className = "line";
    const tokens = this.tokens(text, at);
    for (const [kind, part] of tokens) element.append(kind ? token(kind, part) : visible(part));
    element.append("\n");
    return element;
  }

  /** The parts of a line as `[kind, text]`; keeps the state that the next line begins with. */
  tokens(text, at) {
    if (!this.tokenizer || text.length > LONGEST_COLOURED) {
      this.states[at + 1] = this.states[at];
      return [["", text]];
    }
    const { tokens, state } = this.tokenizer(text, this.states[at]);
    this.states[at + 1] = state;
    return tokens;
  }
}

function head(label) {
  const element = document.createElement("div");
  element.className = "code-head";
  const name = document.createElement("span");
  name.textContent = label;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy-code";
  button.textContent = "Copy";
  element.append(name, button);
  return element;
}

function token(kind, text) {
  const element = document.createElement("span");
  element.className = `syntax-${kind}`;
  element.textContent = visible(text);
  return element;
}
