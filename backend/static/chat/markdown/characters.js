// Characters that a reader would not see, or that would change what they see around them.

const TERMINAL = /\u001b(?:\[[0-?]*[ -/]*[@-~]?|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[ -/]*[0-~]?)/g;
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\ufff9-\ufffb]/g;
const TURNING = /[\u202a-\u202e\u2066-\u2069]/g;
const SUSPECT = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\ufff9-\ufffb]/;

/** A line without terminal sequences (`ESC[31m`) and control characters; tabs stay. */
export function cleanLine(line) {
  return SUSPECT.test(line) ? line.replace(TERMINAL, "").replace(CONTROL, "") : line;
}

/** Prose without the characters that turn the direction of what follows them. */
export function prose(text) {
  return cleanLine(text).replace(TURNING, "");
}

/** Code with such characters spelled out: there they can make a line read as another one. */
export function code(text) {
  return text.replace(TURNING, (mark) => `⟨U+${mark.charCodeAt(0).toString(16).toUpperCase()}⟩`);
}
