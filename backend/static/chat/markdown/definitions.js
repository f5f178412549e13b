// The parts of a link: label, destination, title; and definitions `[label]: destination "title"`.

import { unescaped } from "./entities.js";

const MAX_LABEL = 999;
const MAX_PARENTHESES = 32;
const SPACES = /[ \t]*(?:\n[ \t]*)?/y;
const LABEL = /\[((?:[^\\[\]]|\\[^])*)\]/y;
const POINTED = /<((?:[^<>\n\\]|\\.)*)>/y;
const TITLES = { '"': /"((?:[^"\\]|\\[^])*)"/y, "'": /'((?:[^'\\]|\\[^])*)'/y, "(": /\(((?:[^()\\]|\\[^])*)\)/y };
const LINE_END = /[ \t]*(?:\n|$)/y;

function matchAt(pattern, source, at) {
  pattern.lastIndex = at;
  return pattern.exec(source);
}

/** Where the text goes on after spaces with at most one line end. */
export function skipSpaces(source, at) {
  matchAt(SPACES, source, at);
  return SPACES.lastIndex;
}

/** A label as it is compared: case folded, spaces as one. */
export function normalised(label) {
  return label.trim().replace(/\s+/g, " ").toLowerCase().toUpperCase();
}

/** `[label]` at `at` as `{end, label}`, or null. */
export function labelAt(source, at) {
  const limited = source.slice(at, at + MAX_LABEL + 2);
  const match = matchAt(LABEL, limited, 0);
  return match && match[1].trim() ? { end: at + match[0].length, label: match[1] } : null;
}

/** A destination at `at` as `{end, text}`, or null. */
export function destinationAt(source, at) {
  if (source[at] === "<") {
    const match = matchAt(POINTED, source, at);
    return match && { end: at + match[0].length, text: unescaped(match[1]) };
  }
  let depth = 0;
  let end = at;
  for (; end < source.length; end++) {
    const code = source.charCodeAt(end);
    if (code <= 32 || code === 127) break;
    if (code === 92 && /[!-/:-@[-`{-~]/.test(source[end + 1] ?? "")) end += 1;
    else if (code === 40 && ++depth > MAX_PARENTHESES) return null;
    else if (code === 41 && depth-- === 0) break;
  }
  if (depth > 0) return null;
  return { end, text: unescaped(source.slice(at, end)) };
}

/** A title in quotes or parentheses at `at` as `{end, text}`, or null. */
export function titleAt(source, at) {
  const pattern = TITLES[source[at]];
  const match = pattern && matchAt(pattern, source, at);
  if (!match || /\n[ \t]*\n/.test(match[1])) return null;
  return { end: at + match[0].length, text: unescaped(match[1]) };
}

function lineEndAt(source, at) {
  return matchAt(LINE_END, source, at) ? LINE_END.lastIndex : -1;
}

/** The definition at `at` as `{end, label, address, title}`, or null. */
export function definitionAt(source, at) {
  const label = labelAt(source, at);
  if (!label || source[label.end] !== ":") return null;
  const start = skipSpaces(source, label.end + 1);
  const destination = start < source.length ? destinationAt(source, start) : null;
  if (!destination || (destination.end === start)) return null;
  const found = { label: normalised(label.label), address: destination.text, title: "" };
  const titleStart = skipSpaces(source, destination.end);
  const title = titleStart > destination.end ? titleAt(source, titleStart) : null;
  const afterTitle = title ? lineEndAt(source, title.end) : -1;
  if (afterTitle >= 0) return { ...found, end: afterTitle, title: title.text };
  const end = lineEndAt(source, destination.end);
  return end < 0 ? null : { ...found, end };
}
