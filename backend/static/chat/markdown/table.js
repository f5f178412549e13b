// Tables: a header line with pipes, a line of dashes, rows.

const DASHES = /^:?-+:?$/;
const MAX_FILLED_CELLS = 65536; // a wide header with short rows must not blow up

/** The cells of a row; a pipe behind a backslash is text. */
export function cellsOf(row) {
  const text = row.trim();
  const cells = [];
  let cell = "";
  let from = text[0] === "|" ? 1 : 0;
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\" && text[at + 1] === "|") {
      cell += text.slice(from, at);
      from = ++at;
    } else if (text[at] === "|") {
      cells.push((cell + text.slice(from, at)).trim());
      cell = "";
      from = at + 1;
    }
  }
  if (from < text.length || cell) cells.push((cell + text.slice(from)).trim());
  return cells;
}

/** The alignments that a line of dashes gives under `header`, or null when the two are no table. */
export function alignmentsOf(header, line) {
  if (!header.includes("|") || !/^[|: \t-]+$/.test(line) || /^-[ \t]/.test(line)) return null;
  const dashes = cellsOf(line);
  if (!dashes.every((cell) => DASHES.test(cell)) || dashes.length !== cellsOf(header).length) return null;
  return dashes.map((cell) => {
    const [left, right] = [cell.startsWith(":"), cell.endsWith(":")];
    return left && right ? "center" : right ? "right" : left ? "left" : "";
  });
}

/** A row's cells, as many as the header has, as long as the table may still grow. */
export function rowOf(table, line) {
  const cells = cellsOf(line).slice(0, table.alignments.length);
  const missing = table.alignments.length - cells.length;
  table.filled = (table.filled ?? 0) + missing;
  if (table.filled <= MAX_FILLED_CELLS) cells.push(...new Array(missing).fill(""));
  return cells;
}
