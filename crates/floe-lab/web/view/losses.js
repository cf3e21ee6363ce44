// Where messages were lost a moment ago.

import { svg } from "./dom.js";
import { LANE_OFFSET, lane, along } from "./geometry.js";

/** How long, in time of the world, the place is marked. */
const SHOWN_NS = 12e6;
/** So many events back are looked through: in a storm of losses the latest are enough. */
const LOOKED_THROUGH = 400;

export class LossesLayer {
  #stage;
  #root;
  #marks = new Map();

  /** `stage` tells the layout, the place of each node, and the lab. */
  constructor(root, stage) {
    this.#root = root;
    this.#stage = stage;
  }

  clear() {
    this.#root.replaceChildren();
    this.#marks.clear();
  }

  /** A cross where a message was lost a moment ago. It depends on the world's time only, so it scrubs like all else. */
  draw(state) {
    const wanted = new Map();
    for (let at = state.event - 1; at >= 0 && at > state.event - LOOKED_THROUGH; at -= 1) {
      const event = this.#stage.lab.events[at];
      if (!event || event.at < state.at - SHOWN_NS) break;
      if (event.kind === "lost" && this.#stage.place(event.from) && this.#stage.place(event.to))
        wanted.set(event.id, event);
    }
    for (const [id, mark] of this.#marks) {
      if (wanted.has(id)) continue;
      mark.remove();
      this.#marks.delete(id);
    }
    for (const [id, event] of wanted) {
      if (this.#marks.has(id)) continue;
      const way = lane(
        this.#stage.place(event.from),
        this.#stage.place(event.to),
        this.#stage.layout.ring + 2,
        LANE_OFFSET,
      );
      const spot = along(way, event.why === "down" ? 0.94 : 0.5);
      const mark = svg(
        "g",
        { class: "loss", transform: `translate(${spot.x.toFixed(1)} ${spot.y.toFixed(1)})` },
        svg("path", { d: "M-6,-6L6,6M6,-6L-6,6" }),
      );
      this.#marks.set(id, mark);
      this.#root.append(mark);
    }
  }
}
