// The committed engine of the lab under Node.js: requests on standard input, one a line, and the answers, one a line.
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

const packed = readFileSync(process.argv[2]);
const { instance } = await WebAssembly.instantiate(gunzipSync(packed), {});
const { memory, lab_alloc, lab_free, lab_call, lab_panic } = instance.exports;

function text(block) {
  const length = new DataView(memory.buffer).getUint32(block, true);
  return new TextDecoder().decode(new Uint8Array(memory.buffer, block + 4, length));
}

function call(request) {
  const bytes = new TextEncoder().encode(request);
  const input = lab_alloc(bytes.length);
  new Uint8Array(memory.buffer, input, bytes.length).set(bytes);
  let output;
  try {
    output = lab_call(input, bytes.length);
  } catch (error) {
    throw new Error(`${error.message}: ${text(lab_panic())}`);
  }
  lab_free(input, bytes.length);
  const answer = text(output);
  lab_free(output, 4 + new TextEncoder().encode(answer).length);
  return answer;
}

const answers = readFileSync(0, "utf8").split("\n").filter(Boolean).map(call);
await new Promise((done) => process.stdout.write(answers.join("\n") + "\n", done));
