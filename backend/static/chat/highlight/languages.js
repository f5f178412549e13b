// The languages by the names that a fence gives them.

import * as family from "./c_family.js";
import * as scripts from "./scripts.js";
import * as web from "./web.js";

const LANGUAGES = [
  ["Python", scripts.python, "python py python3 pycon"],
  ["JavaScript", family.javascript, "javascript js jsx mjs node"],
  ["TypeScript", family.typescript, "typescript ts tsx"],
  ["JSON", family.json, "json jsonc json5 jsonl"],
  ["Shell", scripts.shell, "bash sh shell zsh console terminal shell-session dockerfile docker makefile make"],
  ["SQL", scripts.sql, "sql postgres postgresql mysql sqlite plpgsql"],
  ["YAML", scripts.yaml, "yaml yml"],
  ["HTML", web.markup, "html htm vue svelte"],
  ["XML", web.markup, "xml svg xhtml"],
  ["CSS", web.css, "css scss less"],
  ["Java", family.java, "java kotlin kt scala"],
  ["C", family.c, "c h"],
  ["C++", family.cpp, "cpp c++ cc cxx hpp"],
  ["C#", family.csharp, "csharp cs c#"],
  ["Go", family.go, "go golang"],
  ["Rust", family.rust, "rust rs"],
  ["Solidity", family.solidity, "solidity sol"],
  ["Diff", scripts.diff, "diff patch"],
  ["TOML", scripts.ini, "toml"],
  ["INI", scripts.ini, "ini cfg conf properties env dotenv"],
];
const OWN_NAMES = { kotlin: "Kotlin", kt: "Kotlin", scala: "Scala", jsx: "JSX", tsx: "TSX", svg: "SVG", scss: "SCSS", dockerfile: "Dockerfile", makefile: "Makefile" };
const BY_NAME = new Map(LANGUAGES.flatMap(([label, make, names]) => names.split(" ").map((name) => [name, { label, make }])));
const made = new Map();

function nameOf(language) {
  return language.toLowerCase().replace(/^\{?\.?|\}$/g, "");
}

/** The tokenizer of a language (see tokenizer.js), or null for plain text. */
export function tokenizerFor(language) {
  const found = BY_NAME.get(nameOf(language));
  if (!found) return null;
  if (!made.has(found.make)) made.set(found.make, found.make());
  return made.get(found.make);
}

/** The language's name for people; an unknown one as it was given. */
export function labelOf(language) {
  const name = nameOf(language);
  return Object.hasOwn(OWN_NAMES, name) ? OWN_NAMES[name] : BY_NAME.get(name)?.label ?? language.slice(0, 40);
}
