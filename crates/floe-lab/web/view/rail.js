// The clients: their latest operations on a rail, each with a line to the node that was asked.

import { svg, set, text } from "./dom.js";
import { lane, along } from "./geometry.js";
import { t } from "../text/i18n.js";

const ROWS = 5;
/** On a phone the rail is a row on top. */
const ROWS_ON_TOP = 3;
/** How long, in time of the world, the line to the node that answered stays. */
const ANSWERED_NS = 12e6;
const MARKS = { waiting: "…", refused: "✗", unknown: "?", "given-up": "–" };

export class RailLayer {
  #stage;
  #root;
  #rows = [];
  #title = null;

  /** `stage` tells the layout, the place of each node, and the lab. */
  constructor(root, stage) {
    this.#root = root;
    this.#stage = stage;
  }

  clear() {
    this.#root.replaceChildren();
    this.#rows = [];
    this.#title = null;
  }

  /** The latest operations of clients, each with a line to the node that was asked. */
  draw(state) {
    const { rail, width } = this.#stage.layout;
    if (rail.side === "none") return;
    const rows = rail.side === "left" ? ROWS : ROWS_ON_TOP;
    if (this.#rows.length === 0) this.#make(rows);
    if (this.#title) text(this.#title, t("ui.clients"));
    const ops = state.clients.slice(-rows);
    const boxWidth = rail.side === "left" ? rail.size - 24 : (width - 16 - 8 * (rows - 1)) / rows;
    this.#rows.forEach((row, at) => {
      const op = ops[at];
      set(row.root, { visibility: op ? "visible" : "hidden", class: `op ${op?.state ?? ""}` });
      set(row.line, { visibility: "hidden" });
      row.way = null;
      row.op = op;
      if (!op) return;
      const x = rail.side === "left" ? 12 : 8 + at * (boxWidth + 8);
      const y = rail.side === "left" ? 64 + at * 56 : 8;
      set(row.root, { transform: `translate(${x} ${y})`, "data-op": op.op });
      set(row.box, {
        width: boxWidth,
        "aria-label": t("ui.op.label", { text: op.text, state: t(`client.${op.state}`) }),
      });
      const room = Math.floor((boxWidth - 16) / 7.2);
      const asked = op.again ? `↻ ${op.text}` : op.text;
      text(row.title, asked.length > room ? `${asked.slice(0, room - 1)}…` : asked);
      const answer =
        op.state === "answered" ? `✓ ${op.answer ?? ""}` : `${MARKS[op.state] ?? ""} ${t(`client.${op.state}`)}`;
      text(row.answer, answer.length > room ? `${answer.slice(0, room - 1)}…` : answer);
      const place = op.node ? this.#stage.place(op.node) : null;
      const answeredNow =
        op.answered_at !== null && op.answered_at !== undefined && state.at - op.answered_at < ANSWERED_NS;
      if (place && (op.state === "waiting" || answeredNow)) {
        const from = rail.side === "left" ? { x: x + boxWidth, y: y + 22 } : { x: x + boxWidth / 2, y: y + 46 };
        const way = lane(from, place, 0, 0);
        const reach = Math.hypot(way.x2 - way.x1, way.y2 - way.y1) || 1;
        const stop = along(way, 1 - this.#stage.layout.ring / reach);
        set(row.line, {
          visibility: "visible",
          d: `M${from.x.toFixed(1)},${from.y.toFixed(1)}L${stop.x.toFixed(1)},${stop.y.toFixed(1)}`,
          class: `op-line ${op.state}`,
        });
        row.way = { x1: from.x, y1: from.y, x2: stop.x, y2: stop.y };
      }
    });
  }

  #make(rows) {
    const { rail } = this.#stage.layout;
    if (rail.side === "left") {
      this.#title = svg("text", { "aria-hidden": "true", class: "rail-title", x: 12, y: 50 });
      this.#root.append(this.#title);
    }
    for (let at = 0; at < rows; at += 1) {
      const line = svg("path", { class: "op-line", visibility: "hidden" });
      const box = svg("rect", { class: "op-box", height: 46, rx: 8, role: "button", tabindex: "-1" });
      const title = svg("text", { "aria-hidden": "true", class: "op-title", x: 9, y: 18 });
      const answer = svg("text", { "aria-hidden": "true", class: "op-answer", x: 9, y: 36 });
      const root = svg("g", { class: "op", visibility: "hidden" }, box, title, answer);
      const request = svg("circle", { class: "op-request", r: 6, visibility: "hidden" });
      const row = { root, box, title, answer, line, request, way: null, op: null };
      root.addEventListener(
        "keydown",
        (event) => event.key === "Enter" && row.op && this.#stage.lab.select({ kind: "client", op: row.op.op }),
      );
      root.addEventListener("click", () => row.op && this.#stage.lab.select({ kind: "client", op: row.op.op }));
      this.#rows.push(row);
      this.#root.append(line, root, request);
    }
  }

  /** A client's request on its way: it takes as long as a message does on average (docs/design/lab.md). */
  #moveRequest(row, now, still) {
    const delay = this.#stage.lab.settings?.delay_ms ?? [8, 12];
    const span = ((delay[0] + delay[1]) / 2) * 1e6;
    const part = row.op && row.way && !this.#stage.lab.settings?.world ? (now - row.op.invoked_at) / span : 2;
    if (part < 0 || part >= 1) {
      set(row.request, { visibility: "hidden" });
      return;
    }
    const spot = along(row.way, still ? 0.5 : part);
    set(row.request, { visibility: "visible" });
    row.request.setAttribute("transform", `translate(${spot.x.toFixed(1)} ${spot.y.toFixed(1)})`);
  }

  /** Whether operations can be reached by the tab key. */
  reachable(tabindex) {
    for (const row of this.#rows) set(row.box, { tabindex: row.op ? tabindex : "-1" });
  }

  mark(selection, focus) {
    for (const row of this.#rows) {
      row.root.classList.toggle("selected", selection?.kind === "client" && selection.op === row.op?.op);
      row.root.classList.toggle("lit", focus.has("client"));
    }
  }

  move(now, still) {
    for (const row of this.#rows) this.#moveRequest(row, now, still);
  }
}
