// Notices: what went wrong, or what just happened and can be undone; and the live region for those who listen.

import { el, throttled } from "./dom.js";
import { t, has, onLanguage } from "../text/i18n.js";
import { describe } from "../text/describe.js";

const STAY_MS = 9000;
const ANNOUNCE_MS = 1500;

export class Notices {
  #root;
  #live;
  #lab;
  #said = 0;

  constructor(root, live, lab) {
    this.#root = root;
    this.#live = live;
    this.#lab = lab;
    lab.on("error", (error) => this.error(error));
    lab.on("acted", ({ dropped, past }) => this.#acted(dropped, past));
    const later = throttled(() => this.#announce(), ANNOUNCE_MS);
    lab.on("state", later);
    lab.on("world", () => {
      this.#said = lab.state?.event ?? 0;
    });
    onLanguage(() => root.replaceChildren());
  }

  error(error) {
    const key = `error.${error.what}`;
    const message =
      error.what && has(key)
        ? t(key, { detail: error.detail ?? "" })
        : t("error.other", { detail: error.message ?? error.detail ?? String(error) });
    const notice = this.show("bad", message);
    notice.dataset.what = error.what ?? "other";
    if (!error.what) console.warn(error);
  }

  /** What could not be reached can be: nobody has to close the message that said so. */
  recovered() {
    for (const notice of this.#root.querySelectorAll('[data-what="unreachable"]')) notice.remove();
  }

  /** Shows a message that stays until it is closed (`bad`) or for a while. */
  show(kind, message, ...buttons) {
    const notice = el(
      "div",
      { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status" },
      el("p", {}, message),
      buttons,
      el("button", { type: "button", class: "icon", "aria-label": t("ui.close"), onclick: () => notice.remove() }, "✕"),
    );
    // The same message twice is one message.
    for (const other of this.#root.children) {
      if (other.querySelector("p").textContent === message) other.remove();
    }
    this.#root.append(notice);
    while (this.#root.children.length > 3) this.#root.firstChild.remove();
    if (kind !== "bad") setTimeout(() => notice.remove(), STAY_MS);
    return notice;
  }

  #acted(dropped, past) {
    if (!past) return;
    const message = dropped > 0 ? t("ui.forked.dropped", { count: dropped }) : t("ui.forked");
    const notice = this.show(
      "info",
      message,
      el(
        "button",
        {
          type: "button",
          onclick: () => {
            notice.remove();
            this.#lab.undo();
          },
        },
        t("ui.undo"),
      ),
    );
  }

  /** Says the latest thing of weight, not every message: a listener follows at the speed of speech. */
  #announce() {
    const { state, events } = this.#lab;
    if (!state || state.event === this.#said) return;
    const from = state.event > this.#said ? this.#said : state.event - 1;
    this.#said = state.event;
    const weight = events
      .slice(Math.max(from, state.event - 2000), state.event)
      .filter(
        (event) =>
          event.kind === "violated" ||
          (event.kind === "role" && event.role !== "follower") ||
          event.kind === "answered" ||
          event.kind === "crashed",
      );
    const latest = weight.slice(-2);
    if (latest.length === 0 && state.event - from <= 2) latest.push(...events.slice(state.event - 1, state.event));
    if (latest.length > 0) this.#live.textContent = latest.map((event) => describe(event, this.#lab)).join(" ");
  }
}
