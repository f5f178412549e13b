// The icons, drawn as lines in a box of 24 by 24.

const SPACE = "http://www.w3.org/2000/svg";
const PATHS = {
  plus: ["M12 5v14", "M5 12h14"],
  up: ["M12 19V5", "M6 11l6-6 6 6"],
  down: ["M12 5v14", "M6 13l6 6 6-6"],
  stop: ["M7 7h10v10H7z"],
  close: ["M6 6l12 12", "M18 6L6 18"],
  menu: ["M4 7h16", "M4 12h16", "M4 17h16"],
  clip: ["M20 11l-8.5 8.5a5 5 0 0 1-7-7L13 4a3.5 3.5 0 0 1 5 5l-8.500 8.500a2 2 0 0 1-3-3L14 7"],
  copy: ["M9 9h11v11H9z", "M5 15H4V4h11v1"],
  check: ["M5 12.500l4.500 4.500L19 7"],
  again: ["M20 12a8 8 0 1 1-2.500-5.800", "M20 3v5h-5"],
  edit: ["M4 20h4L19 9l-4-4L4 16z"],
  good: ["M7 11v9H4v-9z", "M7 11l4-7a2 2 0 0 1 2.500 2.500L13 10h5a2 2 0 0 1 2 2.300l-1 6a2 2 0 0 1-2 1.700H7"],
  bad: ["M7 13V4H4v9z", "M7 13l4 7a2 2 0 0 0 2.500-2.500L13 14h5a2 2 0 0 0 2-2.300l-1-6A2 2 0 0 0 17 4H7"],
  dots: ["M5 12h.01", "M12 12h.01", "M19 12h.01"],
  auto: ["M12 3a9 9 0 1 0 0 18z", "M12 3a9 9 0 0 1 0 18"],
  light: ["M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z", "M12 2v2", "M12 20v2", "M4.900 4.900l1.400 1.400", "M17.700 17.700l1.400 1.400", "M2 12h2", "M20 12h2", "M4.900 19.100l1.400-1.400", "M17.700 6.300l1.400-1.400"],
  dark: ["M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500z"],
};

export function icon(name) {
  const picture = document.createElementNS(SPACE, "svg");
  for (const [fact, value] of [["class", "icon"], ["viewBox", "0 0 24 24"], ["aria-hidden", "true"]]) picture.setAttribute(fact, value);
  for (const line of PATHS[name]) {
    const path = document.createElementNS(SPACE, "path");
    path.setAttribute("d", line);
    picture.append(path);
  }
  return picture;
}

/** Put the icon before what stands in the button. */
export function withIcon(element, name) {
  element.querySelector("svg.icon")?.remove();
  element.prepend(icon(name));
  return element;
}
