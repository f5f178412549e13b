// Keys that work wherever the focus is.

/** `does`: {search, newChat, escape} */
export function globalKeys(does) {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const control = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    if (control && !event.shiftKey && key === "k") does.search();
    else if (control && event.shiftKey && key === "o") does.newChat();
    else if (key === "escape" && !document.querySelector("dialog[open]") && does.escape()) { /* done */ }
    else return;
    event.preventDefault();
  });
}
