// The links of the cluster: one line a pair, what is cut in which direction, what is slow.

import { svg, set, text } from "./dom.js";
import { LANE_OFFSET, lane, along } from "./geometry.js";
import { t } from "../text/i18n.js";

/** With more links cut than this, a cross on each would hide everything else. */
const MOST_CROSSES = 16;

export class LinksLayer {
  #stage;
  #root;
  #links = new Map();

  /** `stage` tells the layout, the place of each node, and the lab. */
  constructor(root, stage) {
    this.#root = root;
    this.#stage = stage;
  }

  clear() {
    this.#root.replaceChildren();
    this.#links.clear();
  }

  /** One line a pair, and on it a mark for each direction that is cut. */
  draw(state) {
    const ids = state.nodes.map((node) => node.id);
    const crowded = state.links.filter((link) => link.cut).length > MOST_CROSSES;
    const cuts = new Map(state.links.map((link) => [`${link.from}-${link.to}`, link]));
    for (let first = 0; first < ids.length; first += 1) {
      for (let second = first + 1; second < ids.length; second += 1) {
        const [a, b] = [ids[first], ids[second]];
        const key = `${a}-${b}`;
        let link = this.#links.get(key);
        if (!link) {
          link = this.#make(a, b);
          this.#links.set(key, link);
          this.#root.append(link.root);
        }
        const there = cuts.get(`${a}-${b}`);
        const back = cuts.get(`${b}-${a}`);
        const absent = [a, b].some((id) => state.nodes.find((node) => node.id === id).status === "absent");
        const slow = [there, back]
          .filter((one) => one && !one.cut && one.delay_ms !== undefined)
          .map((one) => one.delay_ms);
        text(link.delay, slow.length > 0 ? `${[...new Set(slow)].join(" / ")} ms` : "");
        const name = there?.cut && back?.cut ? "cut" : there?.cut ? "cut-there" : back?.cut ? "cut-back" : "whole";
        set(link.root, {
          class: `link ${name}${absent ? " absent" : ""}${crowded ? " crowded" : ""}${slow.length > 0 ? " slow" : ""}`,
          "data-link": key,
        });
        set(link.there, { visibility: there?.cut && !back?.cut ? "visible" : "hidden" });
        set(link.back, { visibility: back?.cut && !there?.cut ? "visible" : "hidden" });
        set(link.both, { visibility: there?.cut && back?.cut ? "visible" : "hidden" });
        set(link.root, { "aria-label": t(`ui.link.${name}`, { a, b }) });
      }
    }
  }

  #make(a, b) {
    const [from, to] = [this.#stage.place(a), this.#stage.place(b)];
    const way = lane(from, to, this.#stage.layout.ring, 0);
    const line = svg("line", { class: "link-line", ...way });
    const hit = svg("line", { class: "link-hit", ...way });
    const cross = (x, y, target) => {
      const turn = (Math.atan2(target.y - y, target.x - x) * 180) / Math.PI;
      return svg(
        "g",
        { class: "link-cut", transform: `translate(${x.toFixed(1)} ${y.toFixed(1)}) rotate(${turn.toFixed(1)})` },
        svg("circle", { r: 9 }),
        svg("path", { d: "M-4,-4L4,4M4,-4L-4,4" }),
        svg("path", { class: "link-way", d: "M12,-4L18,0L12,4" }),
      );
    };
    const near = along(lane(from, to, this.#stage.layout.ring, LANE_OFFSET), 0.36);
    const far = along(lane(to, from, this.#stage.layout.ring, LANE_OFFSET), 0.36);
    const middle = along(way, 0.5);
    const there = cross(near.x, near.y, to);
    const back = cross(far.x, far.y, from);
    const both = cross(middle.x, middle.y, to);
    both.lastChild.remove();
    const delay = svg("text", {
      "aria-hidden": "true",
      class: "link-delay",
      "text-anchor": "middle",
      x: middle.x.toFixed(1),
      y: (middle.y - 6).toFixed(1),
    });
    const root = svg("g", { class: "link", role: "button", tabindex: "-1" }, line, hit, there, back, both, delay);
    const select = () => this.#stage.lab.select({ kind: "link", from: a, to: b });
    root.addEventListener("click", select);
    root.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      select();
    });
    return { root, there, back, both, delay };
  }

  mark(selection, focus) {
    for (const [key, link] of this.#links) {
      const [a, b] = key.split("-").map(Number);
      const chosen =
        selection?.kind === "link" &&
        ((selection.from === a && selection.to === b) || (selection.from === b && selection.to === a));
      link.root.classList.toggle("selected", chosen);
      link.root.classList.toggle("lit", focus.has(`link:${a}:${b}`) || focus.has(`link:${b}:${a}`));
    }
  }
}
