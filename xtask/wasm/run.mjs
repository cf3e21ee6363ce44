// Runs a program of xtask/wasm under Node.js and prints the text that it left in its memory.
import { readFileSync } from "node:fs";

const mark = "<floe-trace-hashes>";
const { instance } = await WebAssembly.instantiate(readFileSync(process.argv[2]), {});
instance.exports.main(0, 0);
const memory = Buffer.from(instance.exports.memory.buffer);
const begin = memory.indexOf(mark + mark);
const end = memory.indexOf("</floe-trace-hashes>", begin);
if (begin < 0 || end < 0) {
  throw new Error("the program left no text in its memory");
}
console.log(memory.toString("utf8", begin + 2 * mark.length, end).trimEnd());
