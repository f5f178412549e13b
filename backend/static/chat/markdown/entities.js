// Character references: all numeric ones, and the names that texts have.

const NAMES = Object.assign(Object.create(null), {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", AMP: "&", LT: "<", GT: ">", QUOT: '"',
  iexcl: "¡", cent: "¢", pound: "£", curren: "¤", yen: "¥", brvbar: "¦", sect: "§", uml: "¨", copy: "©",
  ordf: "ª", laquo: "«", not: "¬", shy: "\u00ad", reg: "®", macr: "¯", deg: "°", plusmn: "±", sup1: "¹",
  sup2: "²", sup3: "³", acute: "´", micro: "µ", para: "¶", middot: "·", cedil: "¸", ordm: "º", raquo: "»",
  frac14: "¼", frac12: "½", frac34: "¾", iquest: "¿", times: "×", divide: "÷", szlig: "ß",
  Agrave: "À", Aacute: "Á", Acirc: "Â", Atilde: "Ã", Auml: "Ä", Aring: "Å", AElig: "Æ", Ccedil: "Ç",
  Egrave: "È", Eacute: "É", Ecirc: "Ê", Euml: "Ë", Igrave: "Ì", Iacute: "Í", Icirc: "Î", Iuml: "Ï",
  Ntilde: "Ñ", Ograve: "Ò", Oacute: "Ó", Ocirc: "Ô", Otilde: "Õ", Ouml: "Ö", Oslash: "Ø",
  Ugrave: "Ù", Uacute: "Ú", Ucirc: "Û", Uuml: "Ü", Yacute: "Ý", ETH: "Ð", THORN: "Þ",
  agrave: "à", aacute: "á", acirc: "â", atilde: "ã", auml: "ä", aring: "å", aelig: "æ", ccedil: "ç",
  egrave: "è", eacute: "é", ecirc: "ê", euml: "ë", igrave: "ì", iacute: "í", icirc: "î", iuml: "ï",
  ntilde: "ñ", ograve: "ò", oacute: "ó", ocirc: "ô", otilde: "õ", ouml: "ö", oslash: "ø",
  ugrave: "ù", uacute: "ú", ucirc: "û", uuml: "ü", yacute: "ý", yuml: "ÿ", eth: "ð", thorn: "þ",
  alpha: "α", beta: "β", gamma: "γ", delta: "δ", epsilon: "ε", zeta: "ζ", eta: "η", theta: "θ", lambda: "λ",
  mu: "μ", pi: "π", rho: "ρ", sigma: "σ", tau: "τ", phi: "φ", chi: "χ", psi: "ψ", omega: "ω",
  Gamma: "Γ", Delta: "Δ", Theta: "Θ", Lambda: "Λ", Pi: "Π", Sigma: "Σ", Phi: "Φ", Psi: "Ψ", Omega: "Ω",
  bull: "•", hellip: "…", prime: "′", Prime: "″", ndash: "–", mdash: "—", lsquo: "‘", rsquo: "’", sbquo: "‚",
  ldquo: "“", rdquo: "”", bdquo: "„", dagger: "†", Dagger: "‡", permil: "‰", lsaquo: "‹", rsaquo: "›",
  euro: "€", trade: "™", larr: "←", uarr: "↑", rarr: "→", darr: "↓", harr: "↔", rArr: "⇒", lArr: "⇐", hArr: "⇔",
  forall: "∀", part: "∂", exist: "∃", empty: "∅", nabla: "∇", isin: "∈", notin: "∉", prod: "∏", sum: "∑",
  minus: "−", radic: "√", infin: "∞", cap: "∩", cup: "∪", int: "∫", asymp: "≈", ne: "≠", equiv: "≡", le: "≤",
  ge: "≥", sub: "⊂", sup: "⊃", check: "✓", ensp: "\u2002", emsp: "\u2003", thinsp: "\u2009", zwnj: "\u200c", zwj: "\u200d",
});
const REFERENCE = /&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-zA-Z][a-zA-Z0-9]{1,31}));/y;
const ALL = new RegExp(`\\\\([!-/:-@[-\`{-~])|${REFERENCE.source}`, "g");

function character(number) {
  const surrogate = number >= 0xd800 && number <= 0xdfff;
  return number === 0 || surrogate || number > 0x10ffff ? "\ufffd" : String.fromCodePoint(number);
}

function resolved(decimal, hexadecimal, name) {
  if (decimal) return character(parseInt(decimal, 10));
  if (hexadecimal) return character(parseInt(hexadecimal, 16));
  return NAMES[name] ?? null;
}

/** The reference at `at` as `{length, text}`, or null. */
export function referenceAt(source, at) {
  REFERENCE.lastIndex = at;
  const match = REFERENCE.exec(source);
  const text = match && resolved(match[1], match[2], match[3]);
  return text === null ? null : { length: match[0].length, text };
}

/** Text of an address, a title or a language name: backslash escapes and references resolved. */
export function unescaped(source) {
  if (!/[\\&]/.test(source)) return source;
  return source.replace(ALL, (all, escaped, decimal, hexadecimal, name) =>
    escaped ?? resolved(decimal, hexadecimal, name) ?? all);
}
