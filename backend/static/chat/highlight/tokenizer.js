// Lines of code to coloured parts. A language is a table of states; a state is a list of rules
// `[kind, pattern, next state]`, tried in order at each place. Every pattern matches in one go, without
// trying again, so a line costs its length.

/** Kinds: keyword, string, comment, number, name, and "" for the rest. */
const PLAIN = "";

/** A rule for words: keywords, names that are called, others. */
export function words(keywords, { pattern = "[A-Za-z_$][\\w$]*", caseless = false, called = true } = {}) {
  const known = new Set(keywords.split(" "));
  const kind = (word, line, end) => {
    if (known.has(caseless ? word.toLowerCase() : word)) return "keyword";
    return called && line[end] === "(" ? "name" : PLAIN;
  };
  return [kind, pattern];
}

/** The states of something that begins and ends with marks and may take many lines. */
export function until(kind, end, plain) {
  return [[kind, end, "start"], [kind, plain]];
}

/**
 * `states`: name → rules, with "start" as the first. The result takes a line and the state before it
 * (null at first) and gives `{tokens: [[kind, text], …], state}`.
 */
export function tokenizer(states) {
  const compiled = new Map(Object.entries(states).map(([name, rules]) => [name, compile(rules)]));
  return (line, before) => {
    const tokens = [];
    let state = before ?? "start";
    for (let at = 0; at < line.length; ) {
      const { pattern, rules } = compiled.get(state);
      pattern.lastIndex = at;
      const match = pattern.exec(line);
      const rule = rules[match.findIndex((part, group) => group > 0 && part !== undefined) - 1];
      const text = match[0] || line[at];
      at += text.length;
      const kind = typeof rule?.[0] === "function" ? rule[0](text, line, at) : rule?.[0] ?? PLAIN;
      push(tokens, kind, text);
      state = rule?.[2] ?? state;
    }
    return { tokens, state };
  };
}

function compile(rules) {
  const source = [...rules.map(([, pattern]) => `(${pattern})`), "\\s+|[^]"].join("|");
  return { pattern: new RegExp(source, "y"), rules };
}

function push(tokens, kind, text) {
  const last = tokens[tokens.length - 1];
  if (last?.[0] === kind) last[1] += text;
  else tokens.push([kind, text]);
}
