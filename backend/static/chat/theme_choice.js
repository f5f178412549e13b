// Light, dark, or as the system has it.

import { withIcon } from "./icons.js";

const ORDER = ["auto", "light", "dark"];

export function themeChoice(button) {
  const root = document.documentElement;
  const show = () => {
    const theme = root.dataset.theme ?? "auto";
    button.textContent = `Theme: ${theme}`;
    withIcon(button, theme);
  };
  button.addEventListener("click", () => {
    const theme = ORDER[(ORDER.indexOf(root.dataset.theme ?? "auto") + 1) % ORDER.length];
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    try {
      localStorage.setItem("askgraph.theme", theme); // as /static/theme.js reads it
    } catch {
      // it holds until the page is closed
    }
    show();
  });
  show();
}
