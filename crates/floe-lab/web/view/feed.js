// The feed: what happened, newest first, in plain language; each line names its rule, and where that rule stands.

import { el, throttled } from "./dom.js";
import { t, onLanguage } from "../text/i18n.js";
import { describe, groupOf, markOf, GROUPS } from "../text/describe.js";
import { ruleOf } from "../text/rules.js";
import { shortTime } from "../text/format.js";

const PAGE = 60;
const REDRAW_MS = 140;
/** An explanation costs the engine about a millisecond; a frame has sixteen. */
const RULES_AT_ONCE = 6;

export class FeedView {
  #lab;
  #root;
  #list;
  #more;
  #shown = new Set(GROUPS);
  #count = PAGE;
  #rules = new Map();
  #key = "";
  #marked = 0;
  #later;

  constructor(root, lab) {
    this.#root = root;
    this.#lab = lab;
    const filters = el(
      "div",
      { class: "filters", role: "group", "data-t-label": "ui.filters", "aria-label": t("ui.filters") },
      GROUPS.map((group) =>
        el(
          "button",
          {
            class: `chip group-${group}`,
            type: "button",
            "aria-pressed": "true",
            onclick: (event) => this.#toggle(group, event.currentTarget),
          },
          el("span", { "data-t": `group.${group}` }, t(`group.${group}`)),
        ),
      ),
    );
    this.#list = el("ol", { class: "feed", reversed: true });
    this.#more = el(
      "button",
      {
        class: "quiet wide",
        type: "button",
        onclick: () => {
          this.#count += PAGE * 2;
          this.#draw(true);
        },
      },
      el("span", { "data-t": "ui.feed.more" }, t("ui.feed.more")),
    );
    root.append(filters, this.#list, this.#more);
    this.#later = throttled(() => this.#draw(), REDRAW_MS);
    lab.on("state", this.#later);
    lab.on("selection", () => this.#mark());
    lab.on("world", () => this.#forget());
    lab.on("acted", () => this.#forget());
    lab.on("actions", () => this.#forget());
    onLanguage(() => this.#draw(true));
    new IntersectionObserver(this.#later).observe(root);
  }

  /** Rules belong to events by number; another world, or a fork, has other events. */
  #forget() {
    this.#rules.clear();
    this.#key = "";
    this.#count = PAGE;
    this.#later();
  }

  #toggle(group, button) {
    const on = !this.#shown.delete(group);
    if (on) this.#shown.add(group);
    button.setAttribute("aria-pressed", String(on));
    this.#draw(true);
  }

  #draw(force = false) {
    const { state, events } = this.#lab;
    if (!state || this.#root.offsetParent === null) return;
    const key = `${state.event}|${events.length}|${this.#count}`;
    if (key === this.#key && !force) return;
    this.#key = key;
    const wanted = [];
    let at = Math.min(state.event, events.length) - 1;
    for (; at >= 0 && wanted.length < this.#count; at -= 1) {
      if (this.#shown.has(groupOf(events[at]))) wanted.push(events[at]);
    }
    this.#more.hidden = at < 0;
    this.#fill(wanted, force);
    this.#mark();
    this.#nameRules();
  }

  /** While time runs, new lines are put on top and old ones drop off the end; only a leap builds the list anew. */
  #fill(wanted, force) {
    const list = this.#list;
    const keep = force ? -1 : wanted.findIndex((event) => list.firstChild?.__event === event);
    if (keep < 0 || wanted.length === 0) {
      const rows = wanted.map((event) => this.#row(event));
      list.replaceChildren(...(rows.length > 0 ? rows : [el("li", { class: "empty" }, t("ui.feed.empty"))]));
      return;
    }
    for (let at = keep - 1; at >= 0; at -= 1) list.prepend(this.#row(wanted[at]));
    while (list.children.length > wanted.length) list.lastChild.remove();
    // Going back and forth can leave a gap; what is below the common part is made to fit.
    for (let at = keep; at < wanted.length; at += 1) {
      const row = list.children[at];
      if (row?.__event === wanted[at]) continue;
      while (list.children.length > at) list.lastChild.remove();
      list.append(this.#row(wanted[at]));
    }
  }

  #row(event) {
    const button = el(
      "button",
      { class: "feed-line", type: "button", onclick: () => this.#lab.select({ kind: "event", id: event.id }) },
      el("span", { class: "feed-time" }, shortTime(event.at)),
      el("span", { class: `feed-mark group-${groupOf(event)}`, "aria-hidden": "true" }, markOf(event)),
      el("span", { class: "feed-text" }, describe(event, this.#lab)),
    );
    const row = el(
      "li",
      { class: `feed-row kind-${event.kind}`, "data-event": event.id },
      button,
      el("span", { class: "feed-rule" }),
    );
    row.__event = event;
    const rule = this.#rules.get(event.id);
    if (rule) showRule(row, rule);
    return row;
  }

  /** Asks the engine for the rules of the lines that have none yet; the engine knows, the page does not guess. */
  async #nameRules() {
    if (this.#lab.busy && this.#lab.engine?.kind === "native") return;
    const rows = [...this.#list.children]
      .filter((row) => row.__event && !this.#rules.has(row.__event.id))
      .slice(0, RULES_AT_ONCE);
    for (const row of rows) {
      const { id } = row.__event;
      try {
        const answer = await this.#lab.ask({ call: "explain", event: id });
        if (row.__event !== this.#lab.events[id - 1]) continue;
        this.#rules.set(id, answer.rule ?? "other");
        showRule(row, answer.rule ?? "other");
      } catch {
        return;
      }
    }
    if (rows.length === RULES_AT_ONCE) this.#later();
  }

  #mark() {
    const selection = this.#lab.selection;
    const id = selection?.kind === "event" ? selection.id : 0;
    if (id === 0 && this.#marked === 0) return;
    this.#marked = id;
    for (const row of this.#list.children) {
      const chosen = id > 0 && row.__event?.id === id;
      row.classList.toggle("selected", chosen);
      row.firstChild?.setAttribute?.("aria-current", chosen ? "true" : "false");
    }
  }
}

function showRule(row, name) {
  const rule = ruleOf(name);
  if (rule.name === "other") return;
  const { source } = rule;
  const title = t(`rule.${rule.name}`);
  row.querySelector(".feed-rule").replaceChildren(
    el("span", { class: "rule-name", title }, t(`rule.${rule.name}.name`)),
    el(
      "a",
      {
        class: "rule-link",
        href: source.url,
        target: "_blank",
        rel: "noreferrer noopener",
        title: t(`ui.source.${source.work}`, { section: source.section, title: source.title }),
        "aria-label": t(`ui.source.${source.work}`, { section: source.section, title: source.title }),
      },
      `§${source.section}`,
    ),
    el(
      "code",
      { class: "rule-file", title: t("ui.file") },
      rule.file.split("/").at(-1) === "lib.rs" ? rule.file.split("/").slice(-3).join("/") : rule.file.split("/").at(-1),
    ),
  );
}
