// Numbers and times as people read them.

/** A time of the world: milliseconds below ten seconds, seconds above. */
export function time(ns) {
  if (ns < 10e9) return `${(ns / 1e6).toFixed(2)} ms`;
  return `${(ns / 1e9).toFixed(3)} s`;
}

/** A time for a line of the feed, short. */
export function shortTime(ns) {
  const ms = ns / 1e6;
  return ms < 10000 ? ms.toFixed(1) : `${(ms / 1000).toFixed(2)} s`;
}

/** An entry's name, short. */
export function logId(id) {
  return Array.isArray(id) && id[0] > 0 ? `${id[0]} (${id[1]})` : "–";
}

export function speed(value) {
  return `${value}×`;
}

/** A list of node ids. */
export function ids(list) {
  return list && list.length > 0 ? list.join(" ") : "–";
}

/** JSON as the text of a link: base64url of its UTF-8. */
export function toBase64Url(text) {
  const bytes = new TextEncoder().encode(text);
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** The text of a link back; throws on what is not base64url of UTF-8. */
export function fromBase64Url(text) {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(binary, (c) => c.charCodeAt(0)));
}
