// The messages under way: shape and letter by kind, along their lanes; dragged off their way they are lost.

import { svg, set, text } from "./dom.js";
import { LANE_OFFSET, lane, along } from "./geometry.js";
import { messageLook, messageShape } from "./glyphs.js";
import { describePacket } from "../text/describe.js";

const PACKET_RADIUS = 10;
/** How far a message is dragged before it is let go as lost. */
const DRAG_TO_LOSE = 36;

export class PacketsLayer {
  #stage;
  #root;
  #packets = new Map();
  #spare = [];
  #now = 0;
  #still = false;

  /** `stage` tells the layout, the place of each node, the lab and the player. */
  constructor(root, stage) {
    this.#root = root;
    this.#stage = stage;
  }

  clear() {
    this.#root.replaceChildren();
    this.#packets.clear();
    this.#spare = [];
  }

  /** Messages keep their element for as long as they are under way; elements of those gone are used again. */
  draw(state) {
    const present = new Set();
    for (const packet of state.packets) {
      if (!this.#stage.place(packet.from) || !this.#stage.place(packet.to)) continue;
      present.add(packet.id);
      if (!this.#packets.has(packet.id)) this.#packets.set(packet.id, this.#take(packet));
      this.#packets.get(packet.id).packet = packet;
    }
    for (const [id, glyph] of this.#packets) {
      if (present.has(id)) continue;
      glyph.root.setAttribute("display", "none");
      this.#packets.delete(id);
      this.#spare.push(glyph);
    }
  }

  #take(packet) {
    const look = messageLook(packet.kind);
    let glyph = this.#spare.pop();
    if (!glyph) {
      const shape = svg("path", {});
      const hit = svg("circle", { class: "packet-hit", r: 16, role: "button", tabindex: "-1" });
      const letter = svg("text", {
        "aria-hidden": "true",
        class: "packet-letter",
        "text-anchor": "middle",
        dy: "0.36em",
      });
      const count = svg("text", { "aria-hidden": "true", class: "packet-count", x: 11, y: -8 });
      const root = svg("g", {}, hit, shape, letter, count);
      glyph = { root, hit, shape, letter, count, packet };
      this.#makeDraggable(glyph);
      this.#root.append(root);
    }
    glyph.packet = packet;
    const sent = this.#stage.lab.events[packet.event - 1];
    const granted = sent?.kind === "sent" ? sent.granted : undefined;
    const refused = look.reply && (granted === 0 || granted === false);
    const empty = packet.kind === "append" && sent?.entries === 0;
    glyph.way = lane(
      this.#stage.place(packet.from),
      this.#stage.place(packet.to),
      this.#stage.layout.ring + 2,
      LANE_OFFSET,
    );
    set(glyph.root, {
      class: `packet family-${look.family}${look.reply ? " reply" : ""}${refused ? " refused" : ""}${empty ? " empty" : ""}`,
      "data-packet": packet.id,
      "data-kind": packet.kind,
    });
    glyph.root.removeAttribute("display");
    set(glyph.hit, { "aria-label": describePacket(packet) });
    set(glyph.shape, {
      d: messageShape(look.shape, packet.kind.startsWith("heartbeat") ? PACKET_RADIUS * 0.8 : PACKET_RADIUS),
    });
    const mark =
      (packet.kind === "vote-reply" || packet.kind === "pre-vote-reply") && sent ? (refused ? "✗" : "✓") : look.letter;
    text(glyph.letter, mark);
    text(glyph.count, sent?.entries > 1 ? String(sent.entries) : "");
    return glyph;
  }

  #makeDraggable(glyph) {
    const { root } = glyph;
    let start = null;
    root.addEventListener("pointerdown", (event) => {
      this.#stage.player.pause();
      start = { x: event.clientX, y: event.clientY };
      root.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    root.addEventListener("pointermove", (event) => {
      if (!start) return;
      glyph.drag = { x: event.clientX - start.x, y: event.clientY - start.y };
      root.classList.toggle("letting-go", Math.hypot(glyph.drag.x, glyph.drag.y) > DRAG_TO_LOSE);
      this.move(this.#now, this.#still);
    });
    const end = (event) => {
      if (!start) return;
      const far = glyph.drag && Math.hypot(glyph.drag.x, glyph.drag.y) > DRAG_TO_LOSE;
      start = null;
      glyph.drag = null;
      root.classList.remove("letting-go");
      if (event.type === "pointerup" && far && !this.#stage.lab.readOnly)
        this.#stage.lab.act({ do: "lose", packet: glyph.packet.id });
      else if (event.type === "pointerup")
        this.#stage.lab.select({ kind: "packet", id: glyph.packet.id, packet: glyph.packet });
      this.move(this.#now, this.#still);
    };
    root.addEventListener("pointerup", end);
    root.addEventListener("pointercancel", end);
    root.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        event.stopPropagation();
        this.#stage.lab.select({ kind: "packet", id: glyph.packet.id, packet: glyph.packet });
      }
    });
  }

  /** In another language. */
  relabel() {
    for (const glyph of this.#packets.values()) set(glyph.hit, { "aria-label": describePacket(glyph.packet) });
  }

  /** Whether messages can be reached by the tab key: not while they move. */
  reachable(tabindex) {
    for (const glyph of this.#packets.values()) set(glyph.hit, { tabindex });
  }

  mark(selection, focus) {
    for (const [id, glyph] of this.#packets) {
      glyph.root.classList.toggle("selected", selection?.kind === "packet" && selection.id === id);
      glyph.root.classList.toggle("lit", focus.has(`packet:${glyph.packet.kind}`));
    }
  }

  /** Puts each message where it is at that moment; `still` lets it jump instead of moving. */
  move(now, still) {
    this.#now = now;
    this.#still = still;
    for (const glyph of this.#packets.values()) {
      const { packet, way } = glyph;
      const span = packet.arrives_at - packet.sent_at;
      let part = span > 0 ? Math.min(1, Math.max(0, (now - packet.sent_at) / span)) : 1;
      if (still) part = part < 0.5 ? 0.2 : 0.8;
      const spot = along(way, part);
      const drag = glyph.drag ?? { x: 0, y: 0 };
      glyph.root.setAttribute(
        "transform",
        `translate(${(spot.x + drag.x).toFixed(1)} ${(spot.y + drag.y).toFixed(1)})`,
      );
    }
  }
}
