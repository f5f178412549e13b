"""Code in the languages that answers have, and the words in it that carry a colour."""

CODE: dict[str, tuple[str, dict[str, list[str]]]] = {
    "python": (
        "@cache\nasync def f(x: int) -> str:  # why\n    '''Two\n    lines'''\n"
        '    return f"{x}" if x > 0x1F else call(1.5)',
        {
            "keyword": ["async", "def", "return", "if", "else"],
            "string": ["'''Two", "    lines'''", 'f"{x}"'],
            "comment": ["# why"],
            "number": ["0x1F", "1.5"],
            "name": ["@cache", "f", "call"],
        },
    ),
    "js": (
        "const a = `one\n${b} two`; /* x\ny */ f('it\\'s', 10n, \"q\"); // end",
        {
            "keyword": ["const"],
            "string": ["`one", "${b} two`", "'it\\'s'", '"q"'],
            "comment": ["/* x", "y */", "// end"],
            "number": ["10n"],
            "name": ["f"],
        },
    ),
    "typescript": ("interface A { readonly b: string }", {"keyword": ["interface", "readonly", "string"]}),
    "json": (
        '{"a": "b", "c": [1.5e3, true, null]}',
        {"name": ['"a"', '"c"'], "string": ['"b"'], "number": ["1.5e3"], "keyword": ["true", "null"]},
    ),
    "bash": (
        "if [ -n \"$HOME/a\nb\" ]; then # why\n  curl --fail 'x y' a#b | head -20; fi",
        {
            "keyword": ["if", "then", "fi"],
            "string": ['"', "/a", 'b"', "'x y'"],
            "comment": ["# why"],
            "name": ["-n", "$HOME", "--fail"],
        },
    ),
    "sql": (
        "SELECT count(*) FROM t WHERE a = 'it''s' -- why\n/* b\n*/ LIMIT 10",
        {
            "keyword": ["SELECT", "FROM", "WHERE", "LIMIT"],
            "name": ["count"],
            "string": ["'it''s'"],
            "comment": ["-- why", "/* b", "*/"],
            "number": ["10"],
        },
    ),
    "yaml": (
        "# why\na-b: true\nlist:\n  - name: 'x'\n    n: 10\n    url: http://a.b",
        {
            "comment": ["# why"],
            "name": ["a-b", "list", "name", "n", "url"],
            "keyword": ["true"],
            "string": ["'x'"],
            "number": ["10"],
        },
    ),
    "html": (
        "<!-- a\nb --><a href=\"x\"\nid='y'>t &amp; u</a>",
        {
            "comment": ["<!-- a", "b -->"],
            "keyword": ["<a", ">", "</a>"],
            "name": ["href", "id"],
            "string": ['"x"', "'y'"],
            "number": ["&amp;"],
        },
    ),
    "css": (
        ".a:hover { color: #fff; --b: 1.5rem; } /* c\nd */ @media print { p { margin: 0 !important; } }",
        {
            "name": [".a:hover", "color", "--b", "margin"],
            "number": ["#fff", "1.5rem", "0"],
            "comment": ["/* c", "d */"],
        },
    ),
    "java": (
        "@Override public void f() { return 'x'; }",
        {"keyword": ["public", "void", "return"], "name": ["@Override", "f"], "string": ["'x'"]},
    ),
    "c": (
        "#include <a.h>\nint main(void) { return 0; } // x",
        {"keyword": ["#include", "int", "void", "return"], "name": ["main"], "comment": ["// x"]},
    ),
    "c++": ("template <typename T> class A;", {"keyword": ["template", "typename", "class"]}),
    "c#": ("public async Task F() => null;", {"keyword": ["public", "async", "null"], "name": ["F"]}),
    "go": ("func f() error { return `a\nb` }", {"keyword": ["func", "error", "return"], "string": ["`a", "b`"]}),
    "rust": (
        "fn f<'a>(x: &'a str) { println!(\"x\"); }",
        {"keyword": ["fn", "str"], "name": ["println!"], "string": ['"x"']},
    ),
    "solidity": (
        "contract A { uint256 public x = 1 ether; }",
        {"keyword": ["contract", "uint256", "public", "ether"], "number": ["1"]},
    ),
    "diff": (
        "--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n z",
        {"comment": ["--- a", "+++ b"], "keyword": ["@@ -1 +1 @@"], "removed": ["-x"], "added": ["+y"]},
    ),
    "toml": (
        "[a.b]\nkey = 'v' # why\nn = 10",
        {"keyword": ["[a.b]"], "name": ["key", "n"], "string": ["'v'"], "comment": ["# why"], "number": ["10"]},
    ),
}
