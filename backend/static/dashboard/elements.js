// Elements of the page. Whatever is put into one is text, never markup.

const SVG = "http://www.w3.org/2000/svg";

// An element with attributes (null: left out) and children: elements, or values that become text.
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function shape(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

// Sets the text only where it differs: what a screen reader announces, it announces once.
export function say(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

function filled(target, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) if (value !== null) target.setAttribute(name, value);
  target.append(...children);
  return target;
}
