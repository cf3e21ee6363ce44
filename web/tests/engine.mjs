// The engine that the page loads, in node: the committed wasm behind the page's own client.
import { readFile } from "node:fs/promises";

import { WasmEngine, compile } from "../../crates/floe-lab/web/engine/wasm.js";

/** Where the engine lies that the page loads; `LAB_ENGINE` names another one. */
const COMMITTED = new URL("../../crates/floe-lab/web/engine.wasm.gz", import.meta.url);

let compiled;

/** A new engine without a world. It is compiled once a process. */
export async function newEngine() {
  compiled ??= readFile(process.env.LAB_ENGINE ?? COMMITTED).then(compile);
  return new WasmEngine(await compiled);
}
