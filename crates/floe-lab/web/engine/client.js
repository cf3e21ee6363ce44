// What every engine looks like to the page: `call(request)` resolves to the answer, or throws an `EngineError`.

/** What the engine refused, in its own words (`what` is a key of the table of strings, `error.WHAT`). */
export class EngineError extends Error {
  constructor(what, detail) {
    super(detail || what);
    this.name = "EngineError";
    this.what = what;
    this.detail = detail || "";
  }
}

/** Takes the envelope off an answer: `{"ok": …}` or `{"error": {"what", "detail"}}`. */
export function unwrap(answer) {
  if (answer && typeof answer === "object") {
    if ("ok" in answer) return answer.ok;
    if (answer.error) throw new EngineError(String(answer.error.what), String(answer.error.detail ?? ""));
  }
  throw new EngineError("bad-answer", "");
}

/** What a server said instead of an answer, if it is a line for people and not a page. */
export function refusal(response, text) {
  const plain = text.length < 200 && !text.includes("<") ? ` ${text.trim()}` : "";
  return new EngineError("unreachable", `${response.status} ${response.statusText}${plain}`);
}

/**
 * Cuts the events of an answer out of its text, one line each, as the engine wrote them. A trace holds 64-bit numbers
 * (the hash of a state), which `JSON.parse` would round, so an exported trace is made of the text itself.
 */
export function linesOfEvents(text) {
  const lines = [];
  const start = text.indexOf("[", text.indexOf('"events"'));
  if (start < 0) return lines;
  let depth = 0;
  let quoted = false;
  let begin = 0;
  for (let at = start + 1; at < text.length; at += 1) {
    const c = text[at];
    if (quoted) {
      if (c === "\\") at += 1;
      else if (c === '"') quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === "{" || c === "[") {
      if (depth === 0) begin = at;
      depth += 1;
    } else if (c === "}" || c === "]") {
      if (depth === 0) break;
      depth -= 1;
      if (depth === 0) lines.push(text.slice(begin, at + 1));
    }
  }
  return lines;
}
