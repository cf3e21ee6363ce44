// The page behind a server: the `floe lab` that FLOE names, or the folder as any web server would host it.
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";

const WEB = new URL("../../crates/floe-lab/web/", import.meta.url);
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".json": "application/json",
  ".gz": "application/gzip",
};
/** What `floe lab` allows its page: nothing from elsewhere, nothing inline. */
const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";

/** The folder on a free port of this machine. */
export async function staticServer() {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const path = pathname.endsWith("/") ? `${pathname}index.html` : pathname;
    try {
      const file = new URL(`.${path}`, WEB);
      if (!file.href.startsWith(WEB.href)) throw new Error("outside");
      const bytes = await readFile(file);
      const type = TYPES[extname(path)] ?? "application/octet-stream";
      response.writeHead(200, { "content-type": type, "content-security-policy": POLICY });
      response.end(bytes);
    } catch {
      response.writeHead(404, { "content-type": "text/plain" });
      response.end("not found");
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); }),
  };
}

/** `floe lab` on a free port, with further arguments. Resolves when it has printed its address. */
export async function floeLab(program, ...more) {
  const child = spawn(program, ["lab", "--listen", "127.0.0.1:0", ...more], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  let said = "";
  const url = await new Promise((resolve, reject) => {
    const hear = (bytes) => {
      said += bytes;
      const address = said.match(/http:\/\/[\d.]+:\d+\//);
      if (address) resolve(address[0]);
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.once("error", reject);
    ended.then((code) => reject(new Error(`floe lab ended with ${code}: ${said}`)));
  });
  return { url, close: () => (child.kill("SIGTERM"), ended) };
}

/** The page as the tests see it: behind the real command if there is one. */
export function serve() {
  return process.env.FLOE ? floeLab(process.env.FLOE) : staticServer();
}
