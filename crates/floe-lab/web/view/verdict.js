// The verdict: every rule holds so far, or which one is broken, by what, and at which step.

import { el, text } from "./dom.js";
import { t, onLanguage } from "../text/i18n.js";
import { invariantName } from "../text/describe.js";
import { time } from "../text/format.js";

export class VerdictView {
  #lab;
  #pill;
  #alarm;
  #key = "";

  constructor(pill, alarm, lab, player) {
    this.#lab = lab;
    this.#pill = pill;
    this.#alarm = alarm;
    this.player = player;
    lab.on("state", () => this.#draw());
    lab.on("world", () => this.#draw(true));
    onLanguage(() => this.#draw(true));
  }

  #draw(force = false) {
    const { state } = this.#lab;
    const verdict = state?.verdict;
    const key = verdict ? (verdict.holds ? "holds" : `${verdict.rule}${verdict.event}`) : "none";
    if (verdict?.holds)
      text(
        this.#pill.lastChild,
        t("ui.verdict.holds", { checked: (verdict.checked ?? 0).toLocaleString(document.documentElement.lang) }),
      );
    if (key === this.#key && !force) return;
    this.#key = key;
    this.#pill.className = `verdict ${verdict ? (verdict.holds ? "holds" : "broken") : "none"}`;
    text(this.#pill.firstChild, verdict ? (verdict.holds ? "✓" : "✗") : "·");
    if (!verdict) text(this.#pill.lastChild, t(state?.live ? "ui.verdict.live" : "ui.verdict.none"));
    if (verdict && !verdict.holds)
      text(this.#pill.lastChild, t("ui.verdict.broken", { rule: invariantName(verdict.rule) }));
    this.#alarm.hidden = !verdict || verdict.holds;
    if (this.#alarm.hidden) {
      this.#alarm.replaceChildren();
      return;
    }
    this.#alarm.replaceChildren(
      el(
        "div",
        { class: "alarm-text" },
        el("strong", {}, `✗ ${t("ui.verdict.broken", { rule: invariantName(verdict.rule) })}`),
        el("code", { class: "alarm-rule" }, verdict.rule),
        // The checker speaks English.
        el("p", { lang: "en" }, verdict.detail),
      ),
      el(
        "div",
        { class: "buttons" },
        el(
          "button",
          { type: "button", id: "go-violation", onclick: () => this.#go(verdict) },
          t("ui.verdict.go", { at: time(verdict.at ?? state.at) }),
        ),
        el("button", { type: "button", onclick: () => this.#before(verdict) }, t("ui.verdict.before")),
      ),
    );
  }

  async #go(verdict) {
    this.player.pause();
    await this.#lab.seek(verdict.at ?? this.#lab.state.at);
    this.#lab.select({ kind: "event", id: verdict.event });
  }

  /** The step before the one that broke the rule: what the world looked like. */
  async #before(verdict) {
    await this.#go(verdict);
    await this.#lab.step(true);
  }
}
