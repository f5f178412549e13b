// Puts nodes on the page: what is the same as the last time is not touched.

import { CodeBlock } from "./code_block.js";

const codeBlocks = new WeakMap(); // element → CodeBlock
const REL = "noopener noreferrer nofollow";

/**
 * Makes the children of `parent` from `child` on, which show `before`, show `after`.
 * `context`: how citations are shown, see `citation`.
 */
export function patch(parent, child, before, after, context) {
  for (let at = 0; at < after.length; at++) {
    const [old, node] = [before[at], after[at]];
    if (old === undefined) {
      parent.insertBefore(create(node, context), child);
      continue;
    }
    const next = child.nextSibling;
    if (old !== node) change(parent, child, old, node, context);
    child = next;
  }
  for (let at = after.length; at < before.length; at++) {
    const next = child.nextSibling;
    child.remove();
    child = next;
  }
}

function change(parent, child, old, node, context) {
  if (typeof node === "string" && typeof old === "string") {
    if (node.startsWith(old)) child.appendData(node.slice(old.length));
    else child.data = node;
  } else if (!alike(old, node)) {
    child.replaceWith(create(node, context));
  } else if (node.tag === "code-block") {
    codeBlocks.get(child).show(node);
  } else {
    const inner = node.tag === "table-frame" ? child.firstChild : child;
    const [oldKids, kids] = node.tag === "table-frame" ? [old.kids[0].kids, node.kids[0].kids] : [old.kids, node.kids];
    patch(inner, inner.firstChild, oldKids, kids, context);
  }
}

const SAME = ["tag", "address", "title", "id", "source", "start", "align", "checked", "task", "image", "language"];

function alike(old, node) {
  if (typeof old === "string" || typeof node === "string") return false;
  return SAME.every((name) => old[name] === node[name]);
}

function create(node, context) {
  if (typeof node === "string") return document.createTextNode(node);
  const element = (MAKERS[node.tag] ?? plain)(node, context);
  if (node.tag === "table-frame") fill(element.firstChild, node.kids[0].kids, context);
  else fill(element, node.kids, context);
  return element;
}

function fill(element, kids, context) {
  for (const kid of kids) element.append(create(kid, context));
}

const MAKERS = {
  a: anchor,
  ol: list,
  th: cell,
  td: cell,
  checkbox,
  citation,
  citations,
  "table-frame": tableFrame,
  "code-block": (node) => {
    const block = new CodeBlock(node.language);
    block.show(node);
    codeBlocks.set(block.element, block);
    return block.element;
  },
};

function plain(node) {
  const element = document.createElement(node.tag);
  if (node.task) element.className = "task";
  if (node.image) element.className = "image";
  return element;
}

function anchor(node) {
  const element = plain(node);
  element.href = node.address;
  element.target = "_blank";
  element.rel = REL;
  if (node.title) element.title = node.title;
  return element;
}

function list(node) {
  const element = plain(node);
  if (node.start !== null) element.start = node.start;
  return element;
}

function cell(node) {
  const element = plain(node);
  if (node.align) element.className = `to-${node.align}`;
  return element;
}

function checkbox(node) {
  const element = document.createElement("input");
  element.type = "checkbox";
  element.disabled = true;
  element.checked = node.checked;
  element.setAttribute("aria-label", node.checked ? "done" : "to do");
  return element;
}

/** A wide table scrolls in a frame of its own, also by keyboard. */
function tableFrame() {
  const element = document.createElement("div");
  element.className = "table-frame";
  element.tabIndex = 0;
  element.setAttribute("role", "region");
  element.setAttribute("aria-label", "Table");
  element.append(document.createElement("table"));
  return element;
}

/** The chips of one marker, which is text again when none of them has a source. */
function citations(node) {
  const element = document.createElement("span");
  element.className = "citations";
  element.dataset.source = node.source;
  return element;
}

function citation(node, context) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = "citation";
  element.textContent = node.id;
  element.dataset.id = node.id;
  context.onChip(element);
  return element;
}
