// Copies text, also where the browser has no clipboard for a page (plain http).

/** Whether the text is in the clipboard now. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

function copyBySelection(text) {
  const focused = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  area.readOnly = true;
  area.className = "copy-source";
  document.body.append(area);
  area.select();
  let copied = false;
  try {
    copied = document.execCommand("copy"); // the only way without a secure context
  } catch {
    copied = false;
  }
  area.remove();
  focused?.focus?.();
  return copied;
}

const SHOWN_MS = 2000;

/** Copies the code of the block that `button` belongs to, and says so on the button. */
export async function copyCode(button) {
  const code = button.closest(".code-block").querySelector("code").textContent.replace(/\n$/, "");
  const copied = await copyText(code);
  button.textContent = copied ? "Copied" : "Not copied";
  setTimeout(() => (button.textContent = "Copy"), SHOWN_MS);
}
