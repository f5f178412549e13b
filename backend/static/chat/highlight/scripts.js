// Languages with `#` for comments, and SQL.

import { tokenizer, until, words } from "./tokenizer.js";

const NUMBER = "\\b(?:0[xX][\\da-fA-F_]+|\\d[\\d_]*(?:\\.\\d+)?(?:[eE][+-]?\\d+)?j?)\\b";
const DOUBLE = '"(?:[^"\\\\]|\\\\.)*"?';
const SINGLE = "'(?:[^'\\\\]|\\\\.)*'?";
const PREFIX = "(?:[rRbBfFuU]{1,2})?";

export const python = () => tokenizer({
  start: [
    ["comment", "#.*"],
    ["string", `${PREFIX}"""`, "double"],
    ["string", `${PREFIX}'''`, "single"],
    ["string", PREFIX + DOUBLE],
    ["string", PREFIX + SINGLE],
    ["name", "@[A-Za-z_][\\w.]*"],
    ["number", NUMBER],
    words(
      "False None True and as assert async await break case class continue def del elif else except finally for from global if import in " +
        "is lambda match nonlocal not or pass raise return self try type while with yield",
    ),
  ],
  double: until("string", '"""', '(?:[^"\\\\]|\\\\.)+|["\\\\]'),
  single: until("string", "'''", "(?:[^'\\\\]|\\\\.)+|['\\\\]"),
});

export const shell = () => tokenizer({
  start: [
    ["comment", "(?<![^\\s;|&(])#.*"],
    ["string", '"', "double"],
    ["string", "'", "single"],
    ["name", "\\$(?:\\w+|\\{[^}]*\\}|[@*#?$!-])"],
    ["name", "(?<=\\s)--?[A-Za-z][\\w-]*"],
    ["number", "\\b\\d+\\b(?![\\w.-])"],
    words(
      "if then elif else fi for in do done while until case esac function return local export set unset exit sudo cd echo source " +
        "alias eval exec trap shift test true false",
      { pattern: "[A-Za-z_][\\w.-]*", called: false },
    ),
  ],
  double: [["string", '"', "start"], ["name", "\\$(?:\\w+|\\{[^}]*\\})"], ["string", '(?:[^"\\\\$]|\\\\.)+|[\\\\$]']],
  single: until("string", "'", "[^']+"),
});

export const sql = () => tokenizer({
  start: [
    ["comment", "--.*"],
    ["comment", "/\\*", "comment"],
    ["string", "'(?:[^']|'')*'?"],
    ["name", '"[^"]*"|`[^`]*`'],
    ["number", NUMBER],
    words(
      "add all alter and any as asc begin between bigint boolean by cascade case cast check column commit constraint create cross current " +
        "database date default delete desc distinct drop else end except exists explain false fetch first for foreign from full grant group " +
        "having if in index inner insert int integer intersect interval into is join key lateral left like limit not null numeric offset on " +
        "or order outer over partition primary references returning revoke right rollback row rows schema select set smallint table temp " +
        "text then timestamp timestamptz to transaction trigger true truncate union unique update using uuid values varchar view when where " +
        "window with",
      { caseless: true },
    ),
  ],
  comment: until("comment", "\\*/", "[^*]+|\\*"),
});

export const yaml = () => tokenizer({
  start: [
    ["comment", "(?<!\\S)#.*"],
    ["name", "(?<=^\\s*(?:- +)*)[^\\s#:\"'\\[\\]{},&*!|>-][^:#\"']{0,200}(?=:(?:\\s|$))"],
    ["name", "\"[^\"]*\"(?=:(?:\\s|$))"],
    ["string", DOUBLE],
    ["string", "'(?:[^']|'')*'?"],
    ["keyword", "(?<![\\w-])(?:true|false|null|yes|no|on|off|~)(?![\\w-])|^---|(?<=\\s)[&*!][\\w!/-]+|(?<=:\\s)[|>][+-]?$"],
    ["number", "(?<![\\w.:-])-?\\d[\\d_]*(?:\\.\\d+)?(?![\\w.:-])"],
    ["", "[\\w.-]+"],
  ],
});

export const ini = () => tokenizer({
  start: [
    ["comment", "(?<!\\S)[#;].*"],
    ["keyword", "^\\s*\\[[^\\]]*\\]{1,2}"],
    ["name", "(?<=^\\s*)[\\w.\"-]+(?=\\s*=)"],
    ["string", '"""', "double"],
    ["string", DOUBLE],
    ["string", "'[^']*'?"],
    ["number", "(?<![\\w.-])[+-]?\\d[\\d_]*(?:\\.\\d+)?(?:[:T.-]\\d[\\dZ:.+-]*)?(?![\\w])"],
    words("true false inf nan", { called: false, pattern: "[A-Za-z_][\\w-]*" }),
  ],
  double: until("string", '"""', '[^"]+|"'),
});

export const diff = () => {
  const kinds = { "+": "added", "-": "removed", "@": "keyword" };
  return (line) => {
    const heads = /^(?:\+\+\+|---|diff |index )/.test(line);
    return { tokens: line ? [[heads ? "comment" : kinds[line[0]] ?? "", line]] : [], state: null };
  };
};
