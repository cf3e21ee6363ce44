// The engine in the page: a WebAssembly module without imports, called by the ABI of docs/design/lab.md.

import { EngineError, unwrap } from "./client.js";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The module of these bytes. It is kept packed, so that it stays small wherever the page is hosted. */
export async function compile(bytes) {
  const [first, second] = new Uint8Array(bytes);
  // A server that knows what a `.gz` is has let the browser unpack it already.
  const packed = first === 0x1f && second === 0x8b;
  const unpacked = packed
    ? await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer()
    : bytes;
  return WebAssembly.compile(unpacked);
}

export class WasmEngine {
  #module;
  #exports = null;
  /** The settings and place of the open world: what is needed to come back after the module has died. */
  kind = "wasm";
  readOnly = false;

  constructor(module) {
    this.#module = module;
  }

  /** Loads the module that stands beside the page. */
  static async load(url) {
    let response;
    try {
      response = await fetch(url);
    } catch (error) {
      throw new EngineError("no-engine", String(error.message));
    }
    if (!response.ok) throw new EngineError("no-engine", `${response.status} ${response.statusText}`);
    try {
      return new WasmEngine(await compile(await response.arrayBuffer()));
    } catch (error) {
      throw new EngineError("no-engine", String(error.message));
    }
  }

  /** The answer as text; see `call`. */
  async callText(request) {
    if (!this.#exports) this.#exports = (await WebAssembly.instantiate(this.#module, {})).exports;
    const { memory, lab_alloc, lab_free, lab_call } = this.#exports;
    const bytes = encoder.encode(JSON.stringify(request));
    try {
      const input = lab_alloc(bytes.length);
      new Uint8Array(memory.buffer, input, bytes.length).set(bytes);
      const output = lab_call(input, bytes.length);
      lab_free(input, bytes.length);
      const length = new DataView(memory.buffer).getUint32(output, true);
      const text = decoder.decode(new Uint8Array(memory.buffer, output + 4, length));
      lab_free(output, 4 + length);
      return text;
    } catch (error) {
      // A panic ends a WebAssembly instance for good. The next call gets a fresh one, without a world.
      this.#exports = null;
      throw new EngineError("engine-died", String(error.message));
    }
  }

  async call(request) {
    return unwrap(JSON.parse(await this.callText(request)));
  }
}
