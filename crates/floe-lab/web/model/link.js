// Links: everything of a world in the fragment of the address, `#s=` with base64url of the settings' JSON.

import { EngineError } from "../engine/client.js";
import { fromBase64Url, toBase64Url } from "../text/format.js";

/** The fragment that shows this world, at this time of it. */
export function fragmentOf({ settings, at, language, tour, step }) {
  const parts = [];
  if (tour) parts.push(`tour=${encodeURIComponent(tour)}`, `step=${step + 1}`);
  else if (settings) {
    parts.push(`s=${toBase64Url(JSON.stringify(settings))}`);
    if (at > 0) parts.push(`t=${Math.round(at)}`);
  }
  if (language) parts.push(`lang=${language}`);
  return `#${parts.join("&")}`;
}

/** What a fragment asks for; throws an `EngineError` that says what is wrong with it. */
export function readFragment(fragment) {
  const wanted = { settings: null, at: 0, language: null, tour: null, step: 0, trace: null };
  for (const part of fragment.replace(/^#/, "").split("&")) {
    if (part === "") continue;
    const cut = part.indexOf("=");
    const [name, value] = cut < 0 ? [part, ""] : [part.slice(0, cut), part.slice(cut + 1)];
    switch (name) {
      case "s":
        wanted.settings = readSettings(value);
        break;
      case "t":
        wanted.at = readNumber("t", value);
        break;
      case "lang":
        wanted.language = value;
        break;
      case "tour":
        wanted.tour = decode(value);
        break;
      case "step":
        wanted.step = Math.max(0, readNumber("step", value) - 1);
        break;
      case "trace":
        wanted.trace = decode(value);
        break;
      default:
        throw new EngineError("bad-link", `${name}=`);
    }
  }
  return wanted;
}

function readSettings(value) {
  let text;
  try {
    text = fromBase64Url(value);
  } catch {
    throw new EngineError("bad-link", "s= (base64url)");
  }
  let settings;
  try {
    // A seed has 64 bits, more than a number of JavaScript holds; the engine takes it as a text, too.
    settings = JSON.parse(text.replace(/("seed"\s*:\s*)(\d{16,20})(?=\s*[,}])/g, '$1"$2"'));
  } catch (error) {
    throw new EngineError("bad-link", `s= (JSON: ${error.message})`);
  }
  if (settings === null || typeof settings !== "object" || Array.isArray(settings))
    throw new EngineError("bad-link", "s= (JSON)");
  return settings;
}

function readNumber(name, value) {
  if (!/^[0-9]{1,15}$/.test(value)) throw new EngineError("bad-link", `${name}=${value.slice(0, 20)}`);
  return Number(value);
}

function decode(value) {
  try {
    return decodeURIComponent(value);
  } catch {
    throw new EngineError("bad-link", value.slice(0, 20));
  }
}
