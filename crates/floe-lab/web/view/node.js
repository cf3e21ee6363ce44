// One node of the cluster: its shape by role, its term, its timer as a ring that runs down, its figures, what is wrong with it.

import { svg, set, text } from "./dom.js";
import { nodeShape, nodeLook } from "./glyphs.js";
import { t } from "../text/i18n.js";

const SEGMENTS_WHEN_STILL = 12;

export class NodeGlyph {
  #parts = {};
  #length;
  #timer = null;
  #layout;
  #key = "";
  #badgeAt = { x: 0, y: 0, side: 1, beside: false };
  #base = "node";
  #marks = "";

  constructor(place, layout, select) {
    this.#layout = layout;
    const { radius, ring } = layout;
    this.#length = 2 * Math.PI * ring;
    const p = this.#parts;
    // The words beside a node are not its name: the button is the circle alone, with a label that says all of it.
    p.halo = svg("circle", { class: "node-halo", r: ring + 6, role: "button", tabindex: "0" });
    p.track = svg("circle", { class: "ring-track", r: ring });
    p.ring = svg("circle", {
      class: "ring",
      r: ring,
      transform: "rotate(-90)",
      "stroke-dasharray": this.#length.toFixed(2),
    });
    p.shape = svg("path", { class: "node-shape" });
    p.name = svg("text", {
      "aria-hidden": "true",
      class: "node-name",
      "text-anchor": "middle",
      y: radius > 26 ? -3 : 0,
    });
    p.term = svg("text", {
      "aria-hidden": "true",
      class: "node-term",
      "text-anchor": "middle",
      y: radius > 26 ? 15 : 13,
    });
    const side = { left: -1, right: 1, below: 0 }[place.side];
    const anchor = { left: "end", right: "start", below: "middle" }[place.side];
    const x = side * (ring + 14);
    const y = side === 0 ? ring + 19 : -12;
    p.role = svg("text", { "aria-hidden": "true", class: "node-role", "text-anchor": anchor, x, y });
    p.value = svg("text", { "aria-hidden": "true", class: "node-value", "text-anchor": anchor, x, y: y + 17 });
    p.figures = svg("text", { "aria-hidden": "true", class: "node-figures", "text-anchor": anchor, x, y: y + 33 });
    p.pips = svg("g", { class: "pips", transform: `translate(0 ${-ring - 13})` });
    p.badges = svg("g", { class: "badges", "aria-hidden": "true" });
    this.#badgeAt =
      side === 0 ? { x: ring * 0.75, y: -ring * 0.9, side: 1, beside: false } : { x, y: y + 41, side, beside: true };
    p.disk = svg(
      "g",
      {
        class: "disk",
        transform:
          side === 0 ? `translate(${-ring - 9} ${radius * 0.6})` : `translate(${-side * (ring * 0.86)} ${ring * 0.86})`,
      },
      svg("path", { d: "M-7,-4C-7,-7.5 7,-7.5 7,-4V4C7,7.5 -7,7.5 -7,4ZM-7,-4C-7,-0.5 7,-0.5 7,-4" }),
    );
    this.root = svg(
      "g",
      { class: "node", transform: `translate(${place.x.toFixed(1)} ${place.y.toFixed(1)})` },
      p.halo,
      p.track,
      p.ring,
      p.shape,
      p.name,
      p.term,
      p.role,
      p.value,
      p.figures,
      p.pips,
      p.disk,
      p.badges,
    );
    this.root.addEventListener("click", select);
    this.root.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        event.stopPropagation();
        select();
      }
    });
  }

  update(node, state) {
    const p = this.#parts;
    const look = nodeLook(node);
    this.#base = `node look-${look} status-${node.status}${this.#layout.radius < 30 ? " small" : ""}`;
    set(this.root, { class: this.#base + this.#marks, "data-node": node.id });
    this.#timer = node.timer && node.timer.kind !== "none" && node.status === "up" ? node.timer : null;
    set(p.ring, { visibility: this.#timer ? "visible" : "hidden", class: `ring timer-${this.#timer?.kind ?? "none"}` });
    set(p.disk, { class: `disk disk-${node.disk ?? "ok"}${node.writing > 0 ? " writing" : ""}` });
    // Texts and badges change seldom; clocks and timers change each frame and are not part of the key.
    const key = [
      node.status,
      node.role,
      node.member,
      node.witness,
      node.term,
      node.vote,
      node.commit,
      node.applied,
      node.durable,
      JSON.stringify(node.values),
      JSON.stringify(node.votes),
      JSON.stringify(node.groups),
      node.disk,
      node.clock?.rate_percent,
      node.latency_ms,
      node.lag,
      node.reason,
      node.name,
      node.sick,
      node.lease_until > state.at,
      document.documentElement.lang,
    ].join("|");
    if (key === this.#key) return;
    this.#key = key;
    set(p.shape, { d: nodeShape(node, this.#layout.radius) });
    text(p.name, String(node.id));
    text(p.term, node.term === undefined || node.term === null ? "" : t("ui.term.short", { term: node.term }));
    const { narrow, many, brief } = this.#layout;
    const vote = node.vote && node.status === "up" ? t("ui.vote.short", { node: node.vote }) : "";
    const values = valuesText(node.values);
    const beside = narrow ? values : many ? "" : vote;
    p.role.replaceChildren(
      node.name ? `${node.name} · ${roleText(node)}` : roleText(node),
      ...(beside ? [svg("tspan", { class: narrow ? "node-value" : "node-vote", dx: narrow ? 5 : 7 }, beside)] : []),
    );
    text(p.value, narrow ? "" : many ? values.slice(0, 16) : values);
    set(p.figures, { y: Number(p.role.getAttribute("y")) + (narrow ? 14 : values ? 33 : 18) });
    text(
      p.figures,
      narrow && vote && !many ? `${figuresText(node, true)} · ${vote}` : figuresText(node, narrow || brief),
    );
    this.#drawPips(node, state);
    this.#drawBadges(node, state, !values && this.#badgeAt.beside ? -15 : 0);
    p.halo.setAttribute("aria-label", nodeSentence(node));
  }

  /** While a node asks for votes: a mark for each voter, filled when granted, crossed when refused. */
  #drawPips(node, state) {
    const asks = node.role === "candidate" || node.role === "pre-candidate";
    this.#parts.pips.replaceChildren();
    if (!asks || !node.votes) return;
    const voters = node.voters?.length
      ? node.voters
      : state.nodes.filter((other) => other.member === "voter").map((other) => other.id);
    const granted = new Set(node.votes.granted);
    const refused = new Set(node.votes.refused);
    voters.forEach((voter, at) => {
      const x = (at - (voters.length - 1) / 2) * 13;
      const name = granted.has(voter) ? "granted" : refused.has(voter) ? "refused" : "open";
      this.#parts.pips.append(svg("circle", { class: `pip ${name}`, cx: x, cy: 0, r: 4.5 }));
      if (name === "refused")
        this.#parts.pips.append(
          svg("path", { class: "pip-cross", d: `M${x - 2.5},-2.5L${x + 2.5},2.5M${x + 2.5},-2.5L${x - 2.5},2.5` }),
        );
    });
  }

  #drawBadges(node, state, up) {
    const badges = badgesOf(node, state);
    const rows = badges.map((badge, at) => {
      const width = 12 + [...badge.text].reduce((sum, c) => sum + (c.codePointAt(0) > 0x2e80 ? 11 : 6.4), 0);
      const { x, y, side } = this.#badgeAt;
      return svg(
        "g",
        { class: `badge ${badge.kind}`, transform: `translate(${side < 0 ? x - width : x} ${y + up + at * 19})` },
        svg("rect", { width, height: 16, rx: 8 }),
        svg("text", { x: width / 2, y: 11.5, "text-anchor": "middle" }, badge.text),
      );
    });
    this.#parts.badges.replaceChildren(...rows);
  }

  mark(selected, lit, timers) {
    this.#marks = `${selected ? " selected" : ""}${lit ? " lit" : ""}${timers ? " lit-timer" : ""}`;
    set(this.root, { class: this.#base + this.#marks });
    set(this.#parts.halo, { "aria-pressed": String(selected) });
  }

  /** The ring is full when the timer is set, and gone when it is due. */
  tick(now, still) {
    if (!this.#timer) return;
    const span = this.#timer.due_at - this.#timer.set_at;
    let left = span > 0 ? Math.min(1, Math.max(0, (this.#timer.due_at - now) / span)) : 0;
    if (still) left = Math.ceil(left * SEGMENTS_WHEN_STILL) / SEGMENTS_WHEN_STILL;
    this.#parts.ring.setAttribute("stroke-dashoffset", (this.#length * (1 - left)).toFixed(1));
  }
}

/** The role, or what keeps the node from having one. */
export function roleText(node) {
  if (node.reason) return t("status.unreachable");
  if (node.status !== "up") return t(`status.${node.status}`);
  const role = node.role ? t(`role.${node.role}`) : t("role.none");
  if (node.witness) return `${role} · ${t("role.witness")}`;
  if (node.member === "learner") return node.role === "follower" ? t("role.learner") : `${role} · ${t("role.learner")}`;
  return role;
}

export function valuesText(values) {
  const pairs = Object.entries(values ?? {});
  if (pairs.length === 0) return "";
  const shown = pairs.slice(0, 2).map(([key, value]) => `${key} = ${value}`);
  return shown.join("  ") + (pairs.length > 2 ? " …" : "");
}

function figuresText(node, narrow) {
  if (node.groups) {
    const leads = node.groups.filter((group) => group.role === "leader").length;
    const asleep = node.groups.filter((group) => group.asleep).length;
    return t("ui.groups.short", { leads, count: node.groups.length, asleep });
  }
  if (node.commit === undefined) return "";
  const key = narrow || Math.max(node.commit, node.durable ?? 0) > 99 ? "ui.figures.short" : "ui.figures";
  return t(key, { commit: node.commit, applied: node.applied ?? "–", durable: node.durable ?? "–" });
}

function badgesOf(node, state) {
  const badges = [];
  if (node.disk && node.disk !== "ok") badges.push({ kind: "bad", text: t(`disk.${node.disk}`) });
  const rate = node.clock?.rate_percent;
  if (rate !== undefined && rate !== 100) badges.push({ kind: "warn", text: t("ui.clock.rate", { rate }) });
  const ahead = node.clock?.ahead_ms;
  if (ahead) badges.push({ kind: "warn", text: t("ui.clock.ahead", { ms: ahead }) });
  if (node.lease_until && node.lease_until > state.at) badges.push({ kind: "good", text: t("ui.lease") });
  if (node.latency_ms !== undefined && node.latency_ms !== null)
    badges.push({ kind: "plain", text: `${Math.round(node.latency_ms * 10) / 10} ms` });
  if (node.sick) badges.push({ kind: "bad", text: t("ui.sick") });
  if (node.lag) badges.push({ kind: "warn", text: t("ui.lag", { count: node.lag }) });
  return badges;
}

/** A node in one sentence, for those who do not see it. */
export function nodeSentence(node) {
  return t("ui.node.label", {
    id: node.id,
    role: roleText(node),
    term: node.term ?? "–",
    vote: node.vote || t("ui.none"),
    commit: node.commit ?? "–",
    applied: node.applied ?? "–",
    durable: node.durable ?? "–",
    values: valuesText(node.values) || t("ui.none"),
  });
}
