// The cluster: nodes, links, messages under way and clients, as one SVG that is updated, never rebuilt, while time runs.

import { svg } from "./dom.js";
import { layout } from "./geometry.js";
import { LinksLayer } from "./links.js";
import { LossesLayer } from "./losses.js";
import { NodeGlyph } from "./node.js";
import { PacketsLayer } from "./packets.js";
import { RailLayer } from "./rail.js";
import { onLanguage } from "../text/i18n.js";

export class ClusterView {
  /** What the layers read: the lab, the player, and where things stand. */
  lab;
  player;
  layout = null;
  #root;
  #nodesRoot = svg("g", { class: "layer-nodes" });
  #nodes = new Map();
  #links;
  #rail;
  #packets;
  #losses;
  #shown = null;
  #now = 0;
  #focus = new Set();
  #still = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(root, lab, player) {
    this.#root = root;
    this.lab = lab;
    this.player = player;
    const layer = (name) => root.appendChild(svg("g", { class: `layer-${name}` }));
    this.#links = new LinksLayer(layer("links"), this);
    this.#rail = new RailLayer(layer("rail"), this);
    root.append(this.#nodesRoot);
    this.#packets = new PacketsLayer(layer("packets"), this);
    this.#losses = new LossesLayer(layer("losses"), this);
    new ResizeObserver(() => this.#relayout()).observe(root.parentElement);
    lab.on("world", () => this.#relayout());
    lab.on("state", () => this.#draw());
    lab.on("selection", () => this.#mark());
    player.onFrame((now) => this.#frame(now));
    player.onChange(() => this.#reachable());
    onLanguage(() => {
      this.#packets.relabel();
      this.#draw(true);
    });
    this.#still.addEventListener("change", () => this.#frame(this.#now, true));
  }

  /** Lights up what a tour talks about (`focus` of web/tours/README.md). */
  focus(list) {
    this.#focus = new Set(list ?? []);
    this.#mark();
  }

  /** Where a node stands, or undefined if it is not on the stage. */
  place(id) {
    const index = this.lab.state.nodes.findIndex((node) => node.id === id);
    return this.layout.places[index];
  }

  #relayout() {
    const state = this.lab.state;
    const box = this.#root.parentElement.getBoundingClientRect();
    if (!state || box.width === 0) return;
    this.layout = layout(box.width, box.height, state.nodes.length, !state.live);
    this.#root.setAttribute("viewBox", `0 0 ${box.width} ${box.height}`);
    this.#nodesRoot.replaceChildren();
    this.#nodes.clear();
    for (const layer of [this.#links, this.#rail, this.#packets, this.#losses]) layer.clear();
    this.#draw(true);
  }

  #draw(force = false) {
    const state = this.lab.state;
    if (!state) return;
    if (!this.layout || this.layout.places.length !== state.nodes.length) {
      this.layout = null;
      if (!force) this.#relayout();
      if (!this.layout) return;
    }
    if (!force && this.#shown === state) return;
    this.#shown = state;
    this.#links.draw(state);
    this.#drawNodes(state);
    this.#packets.draw(state);
    this.#losses.draw(state);
    this.#rail.draw(state);
    this.#reachable();
    this.#mark();
    this.#frame(this.player.now, true);
  }

  #drawNodes(state) {
    for (const node of state.nodes) {
      let glyph = this.#nodes.get(node.id);
      if (!glyph) {
        const select = () => this.lab.select({ kind: "node", id: node.id });
        glyph = new NodeGlyph(this.place(node.id), this.layout, select);
        this.#nodes.set(node.id, glyph);
        this.#nodesRoot.append(glyph.root);
      }
      glyph.update(node, state);
    }
  }

  /**
   * What moves cannot be held with the keyboard: messages and operations are in the tab order while time stands. Links
   * are many; the panel of actions has them all.
   */
  #reachable() {
    const tabindex = this.player.playing ? "-1" : "0";
    this.#packets.reachable(tabindex);
    this.#rail.reachable(tabindex);
  }

  #mark() {
    const selection = this.lab.selection;
    const focus = this.#focus;
    for (const [id, glyph] of this.#nodes) {
      const selected = selection?.kind === "node" && selection.id === id;
      glyph.mark(selected, focus.has(`node:${id}`) || focus.has("nodes"), focus.has("timers"));
    }
    for (const layer of [this.#links, this.#packets, this.#rail]) layer.mark(selection, focus);
  }

  /** What moves: messages along their lanes, requests of clients, and timers that run down. */
  #frame(now, force = false) {
    if (!this.layout || !this.#shown) return;
    if (!force && now === this.#now) return;
    this.#now = now;
    const still = this.#still.matches;
    this.#packets.move(now, still);
    this.#rail.move(now, still);
    for (const glyph of this.#nodes.values()) glyph.tick(now, still);
  }
}
