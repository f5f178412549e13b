// Markup and style sheets.

import { tokenizer, until } from "./tokenizer.js";

export const markup = () => tokenizer({
  start: [
    ["comment", "<!--", "comment"],
    ["keyword", "<[/?!]?[A-Za-z][\\w:.-]*", "tag"],
    ["number", "&(?:#?\\w{1,32});"],
    ["", "[^<&]+"],
  ],
  tag: [
    ["keyword", "[/?]?>", "start"],
    ["string", '"[^"]*"?|\'[^\']*\'?'],
    ["name", "[A-Za-z_:@][\\w:.-]*"],
  ],
  comment: until("comment", "-->", "[^-]+|-"),
});

const COMMENT = ["comment", "/\\*", "comment"];
const STRINGS = ["string", '"(?:[^"\\\\]|\\\\.)*"?|\'(?:[^\'\\\\]|\\\\.)*\'?'];

export const css = () => tokenizer({
  start: [
    COMMENT,
    STRINGS,
    ["keyword", "@[\\w-]+"],
    ["", "\\{", "rules"],
    ["name", "[.#][A-Za-z_][\\w-]*|::?[a-z][\\w-]*"],
    ["keyword", "[A-Za-z][\\w-]*"],
  ],
  rules: [
    ["comment", "/\\*", "inner"],
    STRINGS,
    ["", "\\}", "start"],
    ["", "\\{"],
    ["name", "--[\\w-]+|[a-z-]+(?=\\s*:)"],
    ["number", "#[\\da-fA-F]{3,8}\\b|-?(?:\\d+(?:\\.\\d+)?|\\.\\d+)(?:[a-z]{1,4}|%)?"],
    ["keyword", "@[\\w-]+|![a-z]+"],
    ["", "[A-Za-z][\\w-]*"],
  ],
  comment: until("comment", "\\*/", "[^*]+|\\*"),
  inner: [["comment", "\\*/", "rules"], ["comment", "[^*]+|\\*"]],
});
