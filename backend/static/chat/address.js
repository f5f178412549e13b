// The chat's id behind the `#` of the page's address: a refresh finds it again, and no server is told of it.

const SHAPE = /^#\/c\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i;

/** Null where there is none. */
export function chatInAddress() {
  return SHAPE.exec(location.hash)?.[1] ?? null;
}

export function putInAddress(id) {
  if (id === chatInAddress()) return;
  history.pushState(null, "", id === null ? location.pathname : `#/c/${id}`);
}
