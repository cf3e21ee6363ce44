// The cluster: nodes, links, messages under way and clients, as one SVG that is updated, never rebuilt, while time runs.

import { svg, set, text } from "./dom.js";
import { layout, lane, along } from "./geometry.js";
import { nodeShape, nodeLook, messageLook, messageShape } from "./glyphs.js";
import { NodeGlyph } from "./node.js";
import { t, onLanguage } from "../text/i18n.js";
import { describePacket } from "../text/describe.js";

const PACKET_RADIUS = 10;
const LANE_OFFSET = 9;
/** How far a message is dragged before it is let go as lost. */
const DRAG_TO_LOSE = 36;
/** How long, in time of the world, the place where a message was lost is marked. */
const LOST_MARK_NS = 12e6;
/** Answers stay on the rail for so long after they were given. */
const RAIL_ROWS = 5;
const MOST_CROSSES = 16;

export class ClusterView {
  #lab;
  #player;
  #root;
  #layers = {};
  #nodes = new Map();
  #links = new Map();
  #packets = new Map();
  #spare = [];
  #losses = new Map();
  #rail = [];
  #railTitle = null;
  #layout = null;
  #shown = null;
  #now = 0;
  #focus = [];
  #still = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(root, lab, player) {
    this.#root = root;
    this.#lab = lab;
    this.#player = player;
    for (const name of ["links", "rail", "packets", "nodes", "losses"]) {
      this.#layers[name] = svg("g", { class: `layer-${name}` });
    }
    const { links, rail, packets, nodes, losses } = this.#layers;
    root.append(links, rail, nodes, packets, losses);
    new ResizeObserver(() => this.#relayout()).observe(root.parentElement);
    lab.on("world", () => this.#relayout());
    lab.on("state", () => this.#draw());
    lab.on("selection", () => this.#mark());
    player.onFrame((now) => this.#frame(now));
    player.onChange(() => this.#reachable());
    onLanguage(() => {
      this.#shown = null;
      this.#draw(true);
    });
    this.#still.addEventListener("change", () => this.#frame(this.#now, true));
  }

  /** Lights up what a tour talks about (`focus` of web/tours/README.md). */
  focus(list) {
    this.#focus = list ?? [];
    this.#mark();
  }

  #relayout() {
    const state = this.#lab.state;
    const box = this.#root.parentElement.getBoundingClientRect();
    if (!state || box.width === 0) return;
    const withClients = !state.live;
    this.#layout = layout(box.width, box.height, state.nodes.length, withClients);
    this.#root.setAttribute("viewBox", `0 0 ${box.width} ${box.height}`);
    this.#layers.links.replaceChildren();
    this.#layers.nodes.replaceChildren();
    this.#layers.packets.replaceChildren();
    this.#layers.losses.replaceChildren();
    this.#layers.rail.replaceChildren();
    this.#nodes.clear();
    this.#links.clear();
    this.#packets.clear();
    this.#losses.clear();
    this.#spare = [];
    this.#rail = [];
    this.#railTitle = null;
    this.#draw(true);
  }

  #place(id) {
    const index = this.#lab.state.nodes.findIndex((node) => node.id === id);
    return this.#layout.places[index];
  }

  #draw(force = false) {
    const state = this.#lab.state;
    if (!state) return;
    if (!this.#layout || this.#layout.places.length !== state.nodes.length) {
      this.#layout = null;
      if (!force) this.#relayout();
      if (!this.#layout) return;
    }
    if (!force && this.#shown === state) return;
    this.#shown = state;
    this.#drawLinks(state);
    this.#drawNodes(state);
    this.#drawPackets(state);
    this.#drawLosses(state);
    this.#drawRail(state);
    this.#reachable();
    this.#mark();
    this.#frame(this.#player.now, true);
  }

  #drawNodes(state) {
    for (const node of state.nodes) {
      let glyph = this.#nodes.get(node.id);
      if (!glyph) {
        glyph = new NodeGlyph(this.#place(node.id), this.#layout, () => this.#lab.select({ kind: "node", id: node.id }));
        this.#nodes.set(node.id, glyph);
        this.#layers.nodes.append(glyph.root);
      }
      glyph.update(node, state);
    }
  }

  /** One line a pair, and on it a mark for each direction that is cut. */
  #drawLinks(state) {
    const ids = state.nodes.map((node) => node.id);
    // Where hardly anything is whole, a cross on each line hides the rest.
    const crowded = state.links.filter((link) => link.cut).length > MOST_CROSSES;
    const cuts = new Map(state.links.map((link) => [`${link.from}-${link.to}`, link]));
    for (let first = 0; first < ids.length; first += 1) {
      for (let second = first + 1; second < ids.length; second += 1) {
        const [a, b] = [ids[first], ids[second]];
        const key = `${a}-${b}`;
        let link = this.#links.get(key);
        if (!link) {
          link = this.#makeLink(a, b);
          this.#links.set(key, link);
          this.#layers.links.append(link.root);
        }
        const there = cuts.get(`${a}-${b}`);
        const back = cuts.get(`${b}-${a}`);
        const absent = [a, b].some((id) => state.nodes.find((node) => node.id === id).status === "absent");
        const slow = [there, back].filter((one) => one && !one.cut && one.delay_ms !== undefined).map((one) => one.delay_ms);
        text(link.delay, slow.length > 0 ? `${[...new Set(slow)].join(" / ")} ms` : "");
        const name = there?.cut && back?.cut ? "cut" : there?.cut ? "cut-there" : back?.cut ? "cut-back" : "whole";
        set(link.root, { class: `link ${name}${absent ? " absent" : ""}${crowded ? " crowded" : ""}${slow.length > 0 ? " slow" : ""}`, "data-link": key });
        set(link.there, { visibility: there?.cut && !back?.cut ? "visible" : "hidden" });
        set(link.back, { visibility: back?.cut && !there?.cut ? "visible" : "hidden" });
        set(link.both, { visibility: there?.cut && back?.cut ? "visible" : "hidden" });
        set(link.root, { "aria-label": t(`ui.link.${name}`, { a, b }) });
      }
    }
  }

  #makeLink(a, b) {
    const [from, to] = [this.#place(a), this.#place(b)];
    const way = lane(from, to, this.#layout.ring, 0);
    const line = svg("line", { class: "link-line", ...way });
    const hit = svg("line", { class: "link-hit", ...way });
    const cross = (x, y, target) => {
      const turn = (Math.atan2(target.y - y, target.x - x) * 180) / Math.PI;
      return svg("g", { class: "link-cut", transform: `translate(${x.toFixed(1)} ${y.toFixed(1)}) rotate(${turn.toFixed(1)})` },
        svg("circle", { r: 9 }), svg("path", { d: "M-4,-4L4,4M4,-4L-4,4" }), svg("path", { class: "link-way", d: "M12,-4L18,0L12,4" }));
    };
    const near = along(lane(from, to, this.#layout.ring, LANE_OFFSET), 0.36);
    const far = along(lane(to, from, this.#layout.ring, LANE_OFFSET), 0.36);
    const middle = along(way, 0.5);
    const there = cross(near.x, near.y, to);
    const back = cross(far.x, far.y, from);
    const both = cross(middle.x, middle.y, to);
    both.lastChild.remove();
    const delay = svg("text", { "aria-hidden": "true", class: "link-delay", "text-anchor": "middle", x: middle.x.toFixed(1), y: (middle.y - 6).toFixed(1) });
    const root = svg("g", { class: "link", role: "button", tabindex: "-1" }, line, hit, there, back, both, delay);
    const select = () => this.#lab.select({ kind: "link", from: a, to: b });
    root.addEventListener("click", select);
    root.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      select();
    });
    return { root, there, back, both, delay };
  }

  /** Messages keep their element for as long as they are under way; elements of those gone are used again. */
  #drawPackets(state) {
    const present = new Set();
    for (const packet of state.packets) {
      present.add(packet.id);
      if (!this.#packets.has(packet.id)) this.#packets.set(packet.id, this.#makePacket(packet));
      this.#packets.get(packet.id).packet = packet;
    }
    for (const [id, glyph] of this.#packets) {
      if (present.has(id)) continue;
      glyph.root.setAttribute("display", "none");
      this.#packets.delete(id);
      this.#spare.push(glyph);
    }
  }

  #makePacket(packet) {
    const look = messageLook(packet.kind);
    let glyph = this.#spare.pop();
    if (!glyph) {
      const shape = svg("path", {});
      const hit = svg("circle", { class: "packet-hit", r: 16, role: "button", tabindex: "-1" });
      const letter = svg("text", { "aria-hidden": "true", class: "packet-letter", "text-anchor": "middle", dy: "0.36em" });
      const count = svg("text", { "aria-hidden": "true", class: "packet-count", x: 11, y: -8 });
      const root = svg("g", {}, hit, shape, letter, count);
      glyph = { root, hit, shape, letter, count, packet };
      this.#makeDraggable(glyph);
      this.#layers.packets.append(root);
    }
    glyph.packet = packet;
    const sent = this.#lab.events[packet.event - 1];
    const granted = sent?.kind === "sent" ? sent.granted : undefined;
    const refused = look.reply && (granted === 0 || granted === false || /refus|reject|not granted/i.test(packet.text ?? ""));
    const empty = packet.kind === "append" && sent?.entries === 0;
    glyph.way = lane(this.#place(packet.from), this.#place(packet.to), this.#layout.ring + 2, LANE_OFFSET);
    set(glyph.root, {
      class: `packet family-${look.family}${look.reply ? " reply" : ""}${refused ? " refused" : ""}${empty ? " empty" : ""}`,
      "data-packet": packet.id,
      "data-kind": packet.kind,
      display: null,
    });
    glyph.root.removeAttribute("display");
    set(glyph.hit, { "aria-label": describePacket(packet) });
    set(glyph.shape, { d: messageShape(look.shape, packet.kind.startsWith("heartbeat") ? PACKET_RADIUS * 0.8 : PACKET_RADIUS) });
    const mark = (packet.kind === "vote-reply" || packet.kind === "pre-vote-reply") && sent ? (refused ? "✗" : "✓") : look.letter;
    text(glyph.letter, mark);
    text(glyph.count, sent?.entries > 1 ? String(sent.entries) : "");
    return glyph;
  }

  #makeDraggable(glyph) {
    const { root } = glyph;
    let start = null;
    root.addEventListener("pointerdown", (event) => {
      this.#player.pause();
      start = { x: event.clientX, y: event.clientY };
      root.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    root.addEventListener("pointermove", (event) => {
      if (!start) return;
      glyph.drag = { x: event.clientX - start.x, y: event.clientY - start.y };
      root.classList.toggle("letting-go", Math.hypot(glyph.drag.x, glyph.drag.y) > DRAG_TO_LOSE);
      this.#frame(this.#now, true);
    });
    const end = (event) => {
      if (!start) return;
      const far = glyph.drag && Math.hypot(glyph.drag.x, glyph.drag.y) > DRAG_TO_LOSE;
      start = null;
      glyph.drag = null;
      root.classList.remove("letting-go");
      if (event.type === "pointerup" && far && !this.#lab.readOnly) this.#lab.act({ do: "lose", packet: glyph.packet.id });
      else if (event.type === "pointerup") this.#lab.select({ kind: "packet", id: glyph.packet.id, packet: glyph.packet });
      this.#frame(this.#now, true);
    };
    root.addEventListener("pointerup", end);
    root.addEventListener("pointercancel", end);
    root.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        event.stopPropagation();
        this.#lab.select({ kind: "packet", id: glyph.packet.id, packet: glyph.packet });
      }
    });
  }

  /** A cross where a message was lost a moment ago. It depends on the world's time only, so it scrubs like all else. */
  #drawLosses(state) {
    const wanted = new Map();
    for (let at = state.event - 1; at >= 0 && at > state.event - 400; at -= 1) {
      const event = this.#lab.events[at];
      if (!event || event.at < state.at - LOST_MARK_NS) break;
      if (event.kind === "lost" && this.#place(event.from) && this.#place(event.to)) wanted.set(event.id, event);
    }
    for (const [id, mark] of this.#losses) {
      if (wanted.has(id)) continue;
      mark.remove();
      this.#losses.delete(id);
    }
    for (const [id, event] of wanted) {
      if (this.#losses.has(id)) continue;
      const way = lane(this.#place(event.from), this.#place(event.to), this.#layout.ring + 2, LANE_OFFSET);
      const spot = along(way, event.why === "down" ? 0.94 : 0.5);
      const mark = svg("g", { class: "loss", transform: `translate(${spot.x.toFixed(1)} ${spot.y.toFixed(1)})` },
        svg("path", { d: "M-6,-6L6,6M6,-6L-6,6" }));
      this.#losses.set(id, mark);
      this.#layers.losses.append(mark);
    }
  }

  /** The latest operations of clients, each with a line to the node that was asked. */
  #drawRail(state) {
    const { rail, width } = this.#layout;
    if (rail.side === "none") return;
    const rows = rail.side === "left" ? RAIL_ROWS : 3;
    if (this.#rail.length === 0) this.#makeRail(rows);
    if (this.#railTitle) text(this.#railTitle, t("ui.clients"));
    const ops = state.clients.slice(-rows);
    const boxWidth = rail.side === "left" ? rail.size - 24 : (width - 16 - 8 * (rows - 1)) / rows;
    this.#rail.forEach((row, at) => {
      const op = ops[at];
      set(row.root, { visibility: op ? "visible" : "hidden", class: `op ${op?.state ?? ""}` });
      set(row.line, { visibility: "hidden" });
      row.way = null;
      row.op = op;
      if (!op) return;
      const x = rail.side === "left" ? 12 : 8 + at * (boxWidth + 8);
      const y = rail.side === "left" ? 64 + at * 56 : 8;
      set(row.root, { transform: `translate(${x} ${y})`, "data-op": op.op });
      set(row.box, { width: boxWidth, "aria-label": t("ui.op.label", { text: op.text, state: t(`client.${op.state}`) }) });
      const room = Math.floor((boxWidth - 16) / 7.2);
      const asked = op.again ? `↻ ${op.text}` : op.text;
      text(row.title, asked.length > room ? `${asked.slice(0, room - 1)}…` : asked);
      const answer = op.state === "answered" ? `✓ ${op.answer ?? ""}` : `${OP_MARKS[op.state] ?? ""} ${t(`client.${op.state}`)}`;
      text(row.answer, answer.length > room ? `${answer.slice(0, room - 1)}…` : answer);
      const place = op.node ? this.#place(op.node) : null;
      const answeredNow = op.answered_at !== null && op.answered_at !== undefined && state.at - op.answered_at < LOST_MARK_NS;
      if (place && (op.state === "waiting" || answeredNow)) {
        const from = rail.side === "left" ? { x: x + boxWidth, y: y + 22 } : { x: x + boxWidth / 2, y: y + 46 };
        const way = lane(from, place, 0, 0);
        const reach = Math.hypot(way.x2 - way.x1, way.y2 - way.y1) || 1;
        const stop = along(way, 1 - this.#layout.ring / reach);
        set(row.line, {
          visibility: "visible",
          d: `M${from.x.toFixed(1)},${from.y.toFixed(1)}L${stop.x.toFixed(1)},${stop.y.toFixed(1)}`,
          class: `op-line ${op.state}`,
        });
        row.way = { x1: from.x, y1: from.y, x2: stop.x, y2: stop.y };
      }
    });
  }

  #makeRail(rows) {
    const { rail } = this.#layout;
    if (rail.side === "left") {
      this.#railTitle = svg("text", { "aria-hidden": "true", class: "rail-title", x: 12, y: 50 });
      this.#layers.rail.append(this.#railTitle);
    }
    for (let at = 0; at < rows; at += 1) {
      const line = svg("path", { class: "op-line", visibility: "hidden" });
      const box = svg("rect", { class: "op-box", height: 46, rx: 8, role: "button", tabindex: "-1" });
      const title = svg("text", { "aria-hidden": "true", class: "op-title", x: 9, y: 18 });
      const answer = svg("text", { "aria-hidden": "true", class: "op-answer", x: 9, y: 36 });
      const root = svg("g", { class: "op", visibility: "hidden" }, box, title, answer);
      const request = svg("circle", { class: "op-request", r: 6, visibility: "hidden" });
      const row = { root, box, title, answer, line, request, way: null, op: null };
      root.addEventListener("keydown", (event) => event.key === "Enter" && row.op && this.#lab.select({ kind: "client", op: row.op.op }));
      root.addEventListener("click", () => row.op && this.#lab.select({ kind: "client", op: row.op.op }));
      this.#rail.push(row);
      this.#layers.rail.append(line, root, request);
    }
  }

  /** What moves cannot be held with the keyboard: messages and operations are in the tab order while time stands. Links are many; the panel of actions has them all. */
  #reachable() {
    const tabindex = this.#player.playing ? "-1" : "0";
    for (const glyph of this.#packets.values()) set(glyph.hit, { tabindex });
    for (const row of this.#rail) set(row.box, { tabindex: row.op ? tabindex : "-1" });
  }

  #mark() {
    const selection = this.#lab.selection;
    const focus = new Set(this.#focus);
    for (const [id, glyph] of this.#nodes) {
      glyph.mark(selection?.kind === "node" && selection.id === id, focus.has(`node:${id}`) || focus.has("nodes"), focus.has("timers"));
    }
    for (const [key, link] of this.#links) {
      const [a, b] = key.split("-").map(Number);
      const chosen = selection?.kind === "link" && ((selection.from === a && selection.to === b) || (selection.from === b && selection.to === a));
      link.root.classList.toggle("selected", chosen);
      link.root.classList.toggle("lit", focus.has(`link:${a}:${b}`) || focus.has(`link:${b}:${a}`));
    }
    for (const [id, glyph] of this.#packets) {
      glyph.root.classList.toggle("selected", selection?.kind === "packet" && selection.id === id);
      glyph.root.classList.toggle("lit", focus.has(`packet:${glyph.packet.kind}`));
    }
    for (const row of this.#rail) {
      row.root.classList.toggle("selected", selection?.kind === "client" && selection.op === row.op?.op);
      row.root.classList.toggle("lit", focus.has("client"));
    }
  }

  /** A client's request on its way: it takes as long as a message does on average (docs/design/lab.md). */
  #moveRequest(row, now, still) {
    const delay = this.#lab.settings?.delay_ms ?? [8, 12];
    const span = ((delay[0] + delay[1]) / 2) * 1e6;
    const part = row.op && row.way && !this.#lab.settings?.world ? (now - row.op.invoked_at) / span : 2;
    if (part < 0 || part >= 1) {
      set(row.request, { visibility: "hidden" });
      return;
    }
    const spot = along(row.way, still ? 0.5 : part);
    set(row.request, { visibility: "visible" });
    row.request.setAttribute("transform", `translate(${spot.x.toFixed(1)} ${spot.y.toFixed(1)})`);
  }

  /** What moves: messages along their lanes, and timers that run down. */
  #frame(now, force = false) {
    if (!this.#layout || !this.#shown) return;
    if (!force && now === this.#now) return;
    this.#now = now;
    const still = this.#still.matches;
    for (const glyph of this.#packets.values()) {
      const { packet, way } = glyph;
      const span = packet.arrives_at - packet.sent_at;
      let part = span > 0 ? Math.min(1, Math.max(0, (now - packet.sent_at) / span)) : 1;
      if (still) part = part < 0.5 ? 0.2 : 0.8;
      const spot = along(way, part);
      const drag = glyph.drag ?? { x: 0, y: 0 };
      glyph.root.setAttribute("transform", `translate(${(spot.x + drag.x).toFixed(1)} ${(spot.y + drag.y).toFixed(1)})`);
    }
    for (const row of this.#rail) this.#moveRequest(row, now, still);
    for (const glyph of this.#nodes.values()) glyph.tick(now, still);
  }
}

const OP_MARKS = { waiting: "…", refused: "✗", unknown: "?", "given-up": "–" };

export { nodeLook, nodeShape };
