// Languages with C's comments, strings and numbers.

import { tokenizer, until, words } from "./tokenizer.js";

const NUMBER = "\\b(?:0[xX][\\da-fA-F_]+|0[bB][01_]+|\\d[\\d_]*(?:\\.\\d[\\d_]*)?(?:[eE][+-]?\\d+)?)[a-zA-Z]{0,3}\\b";
const DOUBLE = '"(?:[^"\\\\]|\\\\.)*"?';
const SINGLE = "'(?:[^'\\\\]|\\\\.)*'?";
const CHARACTER = "'(?:[^'\\\\]|\\\\.[^']{0,8})'"; // not Rust's lifetimes
const COMMENT = until("comment", "\\*/", "[^*]+|\\*");
const TEMPLATE = until("string", "`", "(?:[^`\\\\]|\\\\.)+|\\\\");

function family(keywords, { quotes = [DOUBLE, CHARACTER], template = false, extra = [] } = {}) {
  const start = [
    ["comment", "//.*"],
    ["comment", "/\\*", "comment"],
    ...(template ? [["string", "`", "template"]] : []),
    ...quotes.map((pattern) => ["string", pattern]),
    ...extra,
    ["number", NUMBER],
    words(keywords),
  ];
  return tokenizer({ start, comment: COMMENT, template: TEMPLATE });
}

const DIRECTIVE = ["keyword", "#[ \\t]*(?:include|define|undef|if|ifdef|ifndef|else|elif|endif|pragma|error|region|endregion)\\b"];
const ANNOTATION = ["name", "@[A-Za-z_][\\w.]*"];

const C = "auto break case char const continue default do double else enum extern float for goto if inline int long register restrict " +
  "return short signed sizeof static struct switch typedef union unsigned void volatile while bool true false NULL size_t";

export const c = () => family(C, { extra: [DIRECTIVE] });

export const cpp = () => family(
  `${C} alignas catch class concept consteval constexpr const_cast co_await co_return co_yield decltype delete dynamic_cast explicit ` +
    "export final friend mutable namespace new noexcept nullptr operator override private protected public requires " +
    "static_cast template this throw try typeid typename using virtual",
  { extra: [DIRECTIVE] },
);

export const csharp = () => family(
  "abstract as async await base bool break byte case catch char class const continue decimal default delegate do double else enum event " +
    "explicit extern false finally fixed float for foreach get if implicit in int interface internal is lock long nameof namespace new null " +
    "object operator out override params private protected public readonly record ref return sbyte sealed set short sizeof static string " +
    "struct switch this throw true try typeof uint ulong unchecked unsafe ushort using var virtual void volatile when where while yield",
  { extra: [DIRECTIVE] },
);

export const java = () => family(
  "abstract assert boolean break byte case catch char class const continue default do double else enum extends false final finally float for " +
    "goto if implements import instanceof int interface long native new null package permits private protected public record return sealed " +
    "short static strictfp super switch synchronized this throw throws transient true try var void volatile while yield fun val when object",
  { extra: [ANNOTATION] },
);

export const go = () => family(
  "break case chan const continue default defer else fallthrough for func go goto if import interface map package range return select struct " +
    "switch type var true false nil iota any bool byte error float32 float64 int int8 int16 int32 int64 rune string uint uint8 uint16 " +
    "uint32 uint64 uintptr",
  { template: true },
);

export const rust = () => family(
  "as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod move mut pub ref return self Self " +
    "static struct super trait true type unsafe use where while bool char f32 f64 i8 i16 i32 i64 i128 isize str u8 u16 u32 u64 u128 usize",
  { extra: [["name", "[a-z_]\\w*!(?=[(\\[{ ])"], ["comment", "#!?\\[[^\\]]*\\]"]] },
);

const SCRIPT = "as async await break case catch class const continue debugger default delete do else export extends false finally for from function " +
  "get if import in instanceof let new null of return set static super switch this throw true try typeof undefined var void while with yield";
const TYPES = "abstract any bigint boolean declare enum implements infer interface is keyof module namespace never number object override " +
  "private protected public readonly satisfies string symbol type unknown";
const SCRIPT_OPTIONS = { quotes: [DOUBLE, SINGLE], template: true, extra: [ANNOTATION] };

export const javascript = () => family(SCRIPT, SCRIPT_OPTIONS);

export const typescript = () => family(`${SCRIPT} ${TYPES}`, SCRIPT_OPTIONS);

export const solidity = () => family(
  "abstract address anonymous as assembly bool break bytes bytes4 bytes32 calldata case catch constant constructor continue contract default " +
    "delete do else emit enum error event external fallback false fixed for from function if immutable import indexed int int256 interface " +
    "internal is library mapping memory modifier new override payable pragma private public pure receive return returns revert solidity " +
    "storage string struct super this throw true try type uint uint8 uint16 uint32 uint64 uint128 uint256 unchecked using view virtual while " +
    "wei gwei ether seconds minutes hours days weeks",
  { quotes: [DOUBLE, SINGLE] },
);

export const json = () => tokenizer({
  start: [
    ["comment", "//.*"],
    ["comment", "/\\*", "comment"],
    ["name", '"(?:[^"\\\\]|\\\\.)*"(?=\\s*:)'],
    ["string", DOUBLE],
    ["number", `-?${NUMBER}`],
    words("true false null", { called: false }),
  ],
  comment: COMMENT,
});
