// An answer on the page, as it is written. Blocks that are finished are not touched again; the open
// one is shown anew at most once a frame, and less often when that takes long.

import { BlockParser } from "./block_parser.js";
import { copyCode } from "./clipboard.js";
import { DefinitionList } from "./definition_list.js";
import { undecided } from "./open_text.js";
import { patch } from "./patch.js";
import { TreeMaker } from "./tree.js";

const REST_PER_WORK = 3; // of the time goes to others while a long block grows

export class AnswerView {
  /** `onCitation(id, chip)` is called for a click on a chip that has its source. */
  constructor(element, { onCitation = () => {} } = {}) {
    this.element = element;
    this.notBefore = 0;
    this.context = { onChip: (chip) => this.#dress(chip) };
    element.classList.add("markdown");
    element.addEventListener("click", (event) => this.#clicked(event, onCitation));
    this.#clear();
  }

  #clear() {
    this.text = "";
    this.citations = new Map(); // id → citation, those that are known
    this.openAt = 0; // where the source of the open block begins
    this.open = []; // the nodes of it that are on the page
    this.lastDone = null; // the last element that is finished
    this.definitions = new DefinitionList();
    this.late = []; // finished blocks whose links may be defined further down
    this.tree = new TreeMaker();
    this.element.replaceChildren();
  }

  /** What a reader reads, without the controls around code. */
  get plain() {
    const copy = this.element.cloneNode(true);
    for (const controls of copy.querySelectorAll(".code-head")) controls.remove();
    return copy.textContent.trim();
  }

  /** A piece of the stream. */
  add(text) {
    this.text += text;
    this.element.classList.add("streaming");
    if (!this.element.firstChild) this.render(); // the first word does not wait for a frame
    else this.frame ??= requestAnimationFrame((now) => this.#onFrame(now));
  }

  /** All of the text, in place of what was there. */
  set(text) {
    this.#clear();
    this.text = text;
    this.render(true);
  }

  /** Sources that are known by now: their chips can be clicked. */
  cite(citations) {
    for (const citation of citations ?? []) this.citations.set(citation.id, citation);
    for (const chip of this.element.querySelectorAll("button.citation")) this.#dress(chip);
  }

  /** There is no more text; `citations` are the answer's sources. A marker without one is text. */
  finish(citations = []) {
    this.render(true);
    this.element.classList.remove("streaming");
    this.cite(citations);
    for (const marker of this.element.querySelectorAll(".citations")) dropUnknown(marker);
    this.open = [];
    this.openAt = this.text.length;
    this.lastDone = this.element.lastChild;
  }

  #onFrame(now) {
    this.frame = null;
    if (now < this.notBefore) this.frame = requestAnimationFrame((later) => this.#onFrame(later));
    else this.render();
  }

  /** Shows the open block; `whole`: the last line is complete. */
  render(whole = false) {
    if (this.frame) cancelAnimationFrame(this.frame);
    this.frame = null;
    const started = performance.now();
    const { blocks, settled, length, parser, openLeaf } = this.#parse(whole);
    const inner = new DefinitionList(this.definitions);
    inner.add(parser.definitions);
    const nodes = this.tree.nodes(blocks, inner, openLeaf);
    const child = this.lastDone ? this.lastDone.nextSibling : this.element.firstChild;
    patch(this.element, child, this.open, nodes, this.context);
    if (whole) this.#resolveLate(inner);
    this.#settle(nodes, blocks, settled, length);
    this.definitions.add(parser.definitions.filter((found) => found.settled));
    this.notBefore = performance.now() + REST_PER_WORK * (performance.now() - started);
  }

  /** The open source's blocks; `settled` of them, `length` characters, are finished whatever comes. */
  #parse(whole) {
    const lines = this.text.slice(this.openAt).split("\n");
    const last = lines.pop();
    const parser = new BlockParser();
    for (const line of lines) parser.line(line);
    const open = parser.root.last?.open ? parser.root.last : null;
    const settled = parser.root.kids.length - (open ? 1 : 0);
    const nextLine = open ? open.line : lines.length;
    const length = lines.slice(0, nextLine).reduce((sum, line) => sum + line.length + 1, 0);
    if (whole ? last : !undecided(last)) parser.line(last);
    const openLeaf = whole || parser.tip === parser.root ? null : parser.tip;
    const blocks = parser.end();
    for (const found of parser.definitions) found.settled = found.line < nextLine;
    return { blocks, settled, length, parser, openLeaf };
  }

  #settle(nodes, blocks, settled, length) {
    for (let done = 0; done < settled; done++) {
      this.lastDone = this.lastDone ? this.lastDone.nextSibling : this.element.firstChild;
      const block = blocks[done];
      if (mayRefer(block)) this.late.push({ element: this.lastDone, block, node: nodes[done] });
    }
    this.open = nodes.slice(settled);
    this.openAt += length;
  }

  /** Finished blocks whose links are defined only below them: nothing else of them changes. */
  #resolveLate(definitions) {
    if (definitions.empty) return;
    for (const { element, block, node } of this.late) {
      const [after] = this.tree.nodes([block], definitions);
      patch(this.element, element, [node], [after], this.context);
    }
    this.late = [];
  }

  /** A chip has its source's name, or waits for it. */
  #dress(chip) {
    const citation = this.citations.get(Number(chip.dataset.id));
    chip.disabled = !citation;
    chip.title = citation?.document ?? "";
    const name = citation ? `Source ${citation.id}: ${citation.document}` : `Source ${chip.dataset.id}`;
    chip.setAttribute("aria-label", name);
  }

  #clicked(event, onCitation) {
    const copy = event.target.closest(".copy-code");
    if (copy) copyCode(copy);
    const chip = event.target.closest("button.citation");
    if (chip && !chip.disabled) onCitation(Number(chip.dataset.id), chip);
  }
}

function mayRefer(block) {
  const texts = [...block.lines, ...(block.header ?? []), ...(block.rows ?? []).flat()];
  if (block.kind === "code") return false;
  return texts.some((text) => text.includes("[")) || block.kids.some(mayRefer);
}

function dropUnknown(marker) {
  const unknown = marker.querySelectorAll("button:disabled");
  if (unknown.length === marker.childElementCount) marker.replaceWith(marker.dataset.source);
  else for (const chip of unknown) chip.remove();
}
