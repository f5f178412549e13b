// A small menu at a button: arrows move in it, Escape and a click elsewhere close it.

import { make } from "./dom.js";

let open = null;

/** `items`: [[label, action, className?], …] */
export function openMenu(opener, items) {
  const again = open?.opener === opener;
  open?.close();
  if (again) return;
  const menu = make("div", { class: "menu", role: "menu" });
  const close = (focus = false) => {
    menu.remove();
    document.removeEventListener("pointerdown", outside, true);
    opener.setAttribute("aria-expanded", "false");
    open = null;
    if (focus) opener.focus();
  };
  const outside = (event) => { if (!menu.contains(event.target) && !opener.contains(event.target)) close(); };
  for (const [label, action, className] of items) {
    const item = make("button", { type: "button", role: "menuitem", tabindex: "-1", class: className, text: label });
    item.addEventListener("click", () => { close(true); action(); });
    menu.append(item);
  }
  menu.addEventListener("keydown", (event) => keys(event, menu, close));
  document.body.append(menu);
  place(menu, opener);
  document.addEventListener("pointerdown", outside, true);
  opener.setAttribute("aria-expanded", "true");
  open = { opener, close };
  menu.firstElementChild.focus();
}

function keys(event, menu, close) {
  const items = [...menu.children];
  const now = items.indexOf(document.activeElement);
  const to = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: -1 }[event.key];
  if (to !== undefined) items.at(to % items.length).focus();
  else if (event.key === "Escape" || event.key === "Tab") close(true);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

function place(menu, opener) {
  const at = opener.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(8, Math.min(at.left, innerWidth - width - 8))}px`;
  menu.style.top = `${at.bottom + height + 8 > innerHeight ? Math.max(8, at.top - height - 4) : at.bottom + 4}px`;
}
