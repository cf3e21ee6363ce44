// The engine behind `floe lab`: the same calls over HTTP, to an engine of this page's own name.

import { EngineError, refusal, unwrap } from "./client.js";

export class NativeEngine {
  kind = "native";
  readOnly = false;
  #url;

  constructor(base = "engine/") {
    const random = crypto.getRandomValues(new Uint32Array(2));
    this.#url = new URL(`${base}${random[0].toString(36)}${random[1].toString(36)}`, document.baseURI);
  }

  async callText(request) {
    let response;
    try {
      response = await fetch(this.#url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(request),
      });
    } catch (error) {
      throw new EngineError("unreachable", String(error.message));
    }
    const text = await response.text();
    if (!response.ok && !text.startsWith("{")) throw refusal(response, text);
    return text;
  }

  async call(request) {
    const text = await this.callText(request);
    let answer;
    try {
      answer = JSON.parse(text);
    } catch {
      throw refusal(response, text);
    }
    return unwrap(answer);
  }
}
