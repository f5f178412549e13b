// Which addresses a link may have.

const FORBIDDEN = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;
const SCHEME = /^[a-z][a-z0-9+.-]*:/i;
const OPEN = new Set(["http:", "https:", "mailto:"]);

/**
 * The address in its normal form, or null where it must not be a link: only http, https, mailto
 * and this host's own paths are. `address` has its escapes and entities resolved already.
 */
export function checkedAddress(address) {
  if (FORBIDDEN.test(address)) return null;
  let url;
  try {
    url = new URL(address.replaceAll("\\", "%5C"), location.href); // which would read them as slashes
  } catch {
    return null;
  }
  if (!OPEN.has(url.protocol) || url.username || url.password) return null;
  if (!SCHEME.test(address)) {
    return url.origin === location.origin ? url.pathname + url.search + url.hash : null;
  }
  return url.href;
}
