// The timeline: play, step, speed, scrub, jumps, bookmarks, and what happened when, as marks.

import { el, svg, text, throttled } from "./dom.js";
import { SPEEDS } from "../model/player.js";
import { t, onLanguage } from "../text/i18n.js";
import { speed as speedText, time } from "../text/format.js";

/** Icons are drawn, because not every font has them. */
const ICONS = {
  start: "M5 4v12M16 4.5 8 10l8 5.5Z",
  back: "M13 4.5 6 10l7 5.5Z",
  play: "M6 3.5 16 10 6 16.5Z",
  pause: "M6 4h2.5v12H6ZM11.5 4H14v12h-2.5Z",
  step: "M7 4.5 14 10l-7 5.5Z",
  edge: "M15 4v12M4 4.5 12 10l-8 5.5Z",
  flag: "M5 17V3.5M5 4h10l-2.5 3.5L15 11H5",
  fork: "M5 3v14M5 13c0-4 9-3 9-8M11 7l3-3 3 3",
  undo: "M4 8h8a4 4 0 0 1 0 8H8M4 8l4-4M4 8l4 4",
  redo: "M16 8H8a4 4 0 0 0 0 8h4M16 8l-4-4M16 8l-4 4",
};

function icon(name, size = 18) {
  return svg(
    "svg",
    { class: `sign sign-${name}`, viewBox: "0 0 20 20", width: size, height: size, "aria-hidden": "true" },
    svg("path", { d: ICONS[name] }),
  );
}

/** The kinds of marks, each a row of the strip: what of the trace belongs to it. */
const MARKS = [
  ["leader", (event) => event.kind === "role" && event.role === "leader"],
  ["role", (event) => event.kind === "role" && event.role !== "leader"],
  ["commit", (event) => event.kind === "commit"],
  ["client", (event) => event.kind === "invoked" || event.kind === "answered"],
  [
    "fault",
    (event) =>
      ["crashed", "intervention", "action", "started", "resumed", "lost", "write-failed"].includes(event.kind) &&
      event.at > 0,
  ],
  ["violated", (event) => event.kind === "violated"],
];
const ROWS = { leader: [2, 14], role: [8, 6], commit: [18, 6], client: [26, 6], fault: [34, 6], violated: [0, 44] };
const HEIGHT = 44;
/** At this many events a mark each would be a solid band, and slow: marks closer than a pixel are drawn once. */
const WIDTH = 1000;

export class TimelineView {
  #lab;
  #player;
  #play;
  #range;
  #clock;
  #speed;
  #paths = {};
  #own;
  #scale = 500e6;
  #scrubbing = false;
  #drawn = { scale: 0, count: 0, last: undefined, rows: new Map() };
  #back;
  #undo;
  #redo;
  #shows = false;

  constructor(root, lab, player) {
    this.#lab = lab;
    this.#player = player;
    const button = (key, sign, work, extra = {}) =>
      el(
        "button",
        {
          type: "button",
          class: "icon",
          "data-t-label": key,
          "data-t-title": key,
          "aria-label": t(key),
          title: t(key),
          onclick: work,
          ...extra,
        },
        icon(sign),
      );
    this.#play = button("ui.play", "play", () => player.toggle(), { class: "icon primary", id: "play" });
    this.#clock = el("output", { class: "clock", id: "clock" });
    this.#speed = el(
      "select",
      {
        id: "speed",
        "data-t-label": "ui.speed",
        "aria-label": t("ui.speed"),
        onchange: () => player.setSpeed(Number(this.#speed.value)),
      },
      SPEEDS.map((speed) => el("option", { value: String(speed) }, speedText(speed))),
    );
    this.#undo = button("ui.undo", "undo", () => lab.undo(), { id: "undo" });
    this.#redo = button("ui.redo", "redo", () => lab.redo(), { id: "redo" });
    this.#back = button("ui.step.back", "back", () => this.#step(true), { id: "step-back" });
    const bar = el(
      "div",
      { class: "transport-bar" },
      el(
        "div",
        { class: "cluster-of" },
        button("ui.start", "start", () => this.#go(0), { id: "to-start" }),
        this.#back,
        this.#play,
        button("ui.step", "step", () => this.#step(false), { id: "step" }),
        button("ui.to-edge", "edge", () => this.#go(lab.reached), { id: "to-edge" }),
      ),
      this.#clock,
      el("label", { class: "inline" }, el("span", { "data-t": "ui.speed" }, t("ui.speed")), this.#speed),
      el(
        "div",
        { class: "cluster-of jumps" },
        el("span", { class: "dim", "data-t": "ui.next" }, t("ui.next")),
        this.#jump("ui.next.role", "jump-role", (event) => event.kind === "role"),
        this.#jump("ui.next.commit", "jump-commit", (event) => event.kind === "commit"),
        this.#jump("ui.next.violation", "jump-violation", (event) => event.kind === "violated", 120e9),
      ),
      el(
        "div",
        { class: "cluster-of" },
        button("ui.bookmark", "flag", () => lab.bookmark(), { id: "bookmark" }),
        this.#undo,
        this.#redo,
      ),
    );
    const strip = svg("svg", {
      class: "strip",
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      "aria-hidden": "true",
    });
    this.#paths.reached = svg("rect", { class: "reached", x: 0, y: 0, height: HEIGHT, width: 0 });
    strip.append(this.#paths.reached);
    for (const [name] of MARKS) {
      this.#paths[name] = svg("path", { class: `mark mark-${name}` });
      strip.append(this.#paths[name]);
    }
    this.#own = el("div", { class: "own-marks" });
    this.#range = el("input", {
      type: "range",
      id: "scrub",
      min: "0",
      max: "1000",
      step: "1",
      value: "0",
      "data-t-label": "ui.scrub",
      "aria-label": t("ui.scrub"),
    });
    this.#range.addEventListener("input", () => this.#scrub());
    this.#range.addEventListener("change", () => {
      this.#scrubbing = false;
    });
    root.append(bar, el("div", { class: "track" }, strip, this.#range, this.#own));
    const later = throttled(() => this.#drawMarks(), 200);
    for (const topic of ["events", "world", "actions"]) lab.on(topic, later);
    lab.on("state", () => this.#drawNow());
    lab.on("world", () => {
      this.#scale = 500e6;
      this.#drawBar();
    });
    lab.on("actions", () => this.#drawBar());
    player.onChange(() => this.#drawBar());
    onLanguage(() => {
      this.#drawBar();
      this.#drawMarks();
    });
  }

  #jump(key, id, wanted, horizon) {
    return el(
      "button",
      { type: "button", id, class: "quiet", "data-t": key, onclick: () => this.jump(wanted, horizon) },
      t(key),
    );
  }

  /** Goes to the next event of a kind, and says so if there is none. */
  async jump(wanted, horizon) {
    this.#player.pause();
    const found = await this.#lab.goToNext(wanted, horizon);
    if (!found) this.#lab.report({ what: "no-such-event", detail: "" });
  }

  #go(at) {
    this.#player.pause();
    this.#lab.seek(at);
  }

  #step(back) {
    this.#player.pause();
    this.#lab.step(back);
  }

  #scrub() {
    this.#scrubbing = true;
    this.#player.pause();
    if (this.#lab.busy) {
      // The last wish counts: the engine is asked again when it is free.
      requestAnimationFrame(() => this.#scrubbing && this.#scrub());
      return;
    }
    const at = Math.min((Number(this.#range.value) / 1000) * this.#scale, Math.max(this.#lab.reached, 0));
    this.#lab.seek(at);
  }

  #drawBar() {
    const { playing, speed } = this.#player;
    const key = playing ? "ui.pause" : "ui.play";
    this.#play.dataset.tLabel = key;
    this.#play.setAttribute("aria-label", t(key));
    this.#play.title = t(key);
    if (this.#shows !== playing) this.#play.replaceChildren(icon(playing ? "pause" : "play"));
    this.#shows = playing;
    if (![...this.#speed.options].some((option) => Number(option.value) === speed)) {
      this.#speed.append(el("option", { value: String(speed) }, speedText(speed)));
    }
    this.#speed.value = String(speed);
    this.#undo.disabled = !this.#lab.canUndo;
    this.#redo.disabled = !this.#lab.canRedo;
    this.#drawNow();
  }

  #drawNow() {
    const { state, reached } = this.#lab;
    if (!state) return;
    text(this.#clock, time(state.at));
    if (reached > this.#scale || reached < this.#scale / 8) {
      const scale = Math.max(500e6, niceAbove(reached * 1.15));
      if (scale !== this.#scale) {
        this.#scale = scale;
        this.#drawMarks();
      }
    }
    if (!this.#scrubbing) this.#range.value = String(Math.round((state.at / this.#scale) * 1000));
    const said = time(state.at);
    if (this.#range.getAttribute("aria-valuetext") !== said) this.#range.setAttribute("aria-valuetext", said);
    this.#paths.reached.setAttribute("width", ((reached / this.#scale) * WIDTH).toFixed(1));
  }

  /** Marks are added to what is drawn already; another scale, another world or a fork begins anew. */
  #drawEvents(events, scale) {
    const fresh =
      scale !== this.#drawn.scale ||
      events.length < this.#drawn.count ||
      events[this.#drawn.count - 1] !== this.#drawn.last;
    if (fresh)
      this.#drawn = {
        scale,
        count: 0,
        last: undefined,
        rows: new Map(MARKS.map(([name]) => [name, { path: "", x: -10 }])),
      };
    const changed = new Set();
    for (let at = this.#drawn.count; at < events.length; at += 1) {
      const event = events[at];
      for (const [name, wanted] of MARKS) {
        if (!wanted(event)) continue;
        const row = this.#drawn.rows.get(name);
        const x = event.at * scale;
        if (x - row.x < 0.8) continue;
        const [top, height] = ROWS[name];
        row.x = x;
        row.path += `M${x.toFixed(1)},${top}v${height}`;
        changed.add(name);
      }
    }
    this.#drawn.count = events.length;
    this.#drawn.last = events.at(-1);
    for (const [name, row] of this.#drawn.rows)
      if (fresh || changed.has(name)) this.#paths[name].setAttribute("d", row.path);
  }

  #drawMarks() {
    const { events, bookmarks, forks, settings } = this.#lab;
    this.#drawEvents(events, WIDTH / this.#scale);
    const mark = (at, kind, sign, label) => {
      const button = el(
        "button",
        { type: "button", class: `own ${kind}`, title: label, "aria-label": label, onclick: () => this.#go(at) },
        sign,
      );
      button.style.left = `${Math.min(100, (at / this.#scale) * 100)}%`;
      return button;
    };
    this.#own.replaceChildren(
      ...(settings?.actions ?? []).map((action) =>
        mark(action.at, "acted", "▾", t("ui.mark.action", { at: time(action.at), what: action.do })),
      ),
      ...forks.map((at) => mark(at, "fork", icon("fork", 14), t("ui.mark.fork", { at: time(at) }))),
      ...bookmarks.map(({ at }) => mark(at, "bookmark", icon("flag", 14), t("ui.mark.bookmark", { at: time(at) }))),
    );
  }
}

/** A round number of world time above this one, so that the scale moves seldom. */
function niceAbove(ns) {
  for (let unit = 500e6; ; unit *= 10) {
    for (const factor of [1, 2, 4]) {
      if (unit * factor >= ns) return unit * factor;
    }
  }
}
