// Save what the server gives for this user: a link cannot show a token, so it is fetched first.

import { make } from "./dom.js";

export async function download(api, path, name) {
  const answer = await api.raw("GET", path);
  const url = URL.createObjectURL(await answer.blob());
  const link = make("a", { href: url, download: name, class: "hidden" });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
