// The logs of all nodes, aligned by index: terms by colour and number, commit, applied and durable marks, conflicts, a diff of two.

import { el, set, text, throttled } from "./dom.js";
import { t, onLanguage } from "../text/i18n.js";
import { drawGroups, hue } from "./groups.js";
import { roleText } from "./node.js";

const MOST_COLUMNS = 128;

export class LogView {
  #lab;
  #root;
  #grid;
  #note;
  #selects = [];
  #cells = new Map();
  #shape = "";
  #span = { first: 1, last: 0 };
  #focus = [];
  #later;

  constructor(root, lab) {
    this.#root = root;
    this.#lab = lab;
    this.#grid = el("div", { class: "log-grid", role: "grid", tabindex: "-1" });
    this.#note = el("p", { class: "log-note", "aria-live": "polite" });
    const pick = (name) => {
      const select = el("select", { onchange: () => this.#draw(true) });
      this.#selects.push(select);
      return el("label", { class: "inline" }, el("span", { "data-t": name }, t(name)), select);
    };
    const head = el(
      "div",
      { class: "panel-head" },
      el("h2", { "data-t": "ui.log" }, t("ui.log")),
      el(
        "div",
        { class: "log-legend", "aria-hidden": "true" },
        legend("committed", "ui.legend.committed"),
        legend("applied", "ui.legend.applied"),
        legend("volatile", "ui.legend.volatile"),
        legend("conflict", "ui.legend.conflict"),
      ),
      el("div", { class: "log-diff" }, pick("ui.diff"), pick("ui.diff.with")),
    );
    root.append(head, el("div", { class: "log-scroll" }, this.#grid), this.#note);
    this.#grid.addEventListener("keydown", (event) => this.#keys(event));
    this.#later = throttled(() => this.#draw(), 90);
    lab.on("state", this.#later);
    lab.on("selection", this.#later);
    lab.on("world", () => this.#draw(true));
    onLanguage(() => this.#draw(true));
  }

  focus(list) {
    this.#focus = list ?? [];
    this.#draw(true);
  }

  #pair() {
    const [a, b] = this.#selects.map((select) => Number(select.value));
    return a && b && a !== b ? [a, b] : null;
  }

  #draw(force = false) {
    const state = this.#lab.state;
    if (!state) return;
    const grouped = state.nodes.some((node) => node.groups);
    const nodes = state.nodes.filter((node) => node.status !== "absent" || node.log?.length);
    const { first, last } = span(nodes);
    const compacted = nodes.some((node) => node.base?.[0] > 0);
    const shape = `${nodes.map((node) => node.id).join()}|${compacted}|${last < first}|${grouped}|${document.documentElement.lang}`;
    this.#grid.setAttribute("aria-label", t("ui.log"));
    if (shape !== this.#shape || force) {
      this.#shape = shape;
      this.#fillSelects(nodes);
      if (grouped) drawGroups(this.#grid, state.nodes);
      else this.#build(nodes, first, last);
    } else if (!grouped && (first !== this.#span.first || last !== this.#span.last)) this.#shift(nodes, first, last);
    this.#span = { first, last };
    if (grouped) {
      drawGroups(this.#grid, state.nodes);
      return;
    }
    const pair = this.#pair();
    const terms = majorityTerms(nodes);
    for (const node of nodes) this.#drawRow(node, first, last, terms, pair);
    this.#drawNote(nodes, pair);
  }

  #fillSelects(nodes) {
    for (const select of this.#selects) {
      const kept = select.value;
      select.replaceChildren(
        el("option", { value: "" }, "–"),
        ...nodes.map((node) => el("option", { value: String(node.id) }, String(node.id))),
      );
      select.value = kept;
      if (select.selectedIndex < 0) select.value = "";
    }
  }

  #build(nodes, first, last) {
    const scroll = this.#grid.parentElement;
    const atEnd = scroll.scrollLeft + scroll.clientWidth >= scroll.scrollWidth - 8;
    const held = this.#grid.contains(document.activeElement) ? document.activeElement.dataset : null;
    const left = scroll.scrollLeft;
    this.#cells.clear();
    const count = Math.max(0, last - first + 1);
    this.#grid.style.setProperty("--columns", String(Math.max(count, 1)));
    this.#grid.setAttribute("aria-colcount", String(count + 1));
    const header = el(
      "div",
      { role: "row", class: "log-row log-head" },
      el("div", { role: "columnheader", class: "log-name" }, t("ui.index")),
    );
    for (let index = first; index <= last; index += 1) header.append(this.#head(index));
    // Among the indexes, so that nothing moves when the first entry comes.
    if (count === 0)
      header.append(
        el(
          "div",
          { role: "columnheader", class: "log-empty" },
          t(nodes.some((node) => node.base?.[0] > 0) ? "ui.log.compacted" : "ui.log.empty"),
        ),
      );
    const rows = nodes.map((node) => {
      const name = el("div", { role: "rowheader", class: "log-name" });
      const row = el("div", { role: "row", class: "log-row", "data-node": node.id }, name);
      this.#cells.set(`${node.id}`, name);
      for (let index = first; index <= last; index += 1) row.append(this.#cell(node.id, index));
      return row;
    });
    this.#grid.replaceChildren(header, ...rows);
    // The newest entries stay in sight, unless the reader looks at older ones.
    scroll.scrollLeft = atEnd ? scroll.scrollWidth : left;
    const reachable =
      (held && this.#cells.get(`${held.node}:${held.index}`)) || this.#grid.querySelector('[role="gridcell"]');
    reachable?.setAttribute("tabindex", "0");
    if (held) reachable?.focus({ preventScroll: true });
  }

  #head(index) {
    return el(
      "div",
      { role: "columnheader", class: `log-index${this.#focus.includes(`index:${index}`) ? " lit" : ""}` },
      String(index),
    );
  }

  #cell(node, index) {
    const cell = el(
      "div",
      {
        role: "gridcell",
        class: "cell none",
        tabindex: "-1",
        "data-node": node,
        "data-index": index,
        onclick: () => this.#choose(node, index),
      },
      el("span", { class: "cell-term", "aria-hidden": "true" }),
      el("span", { class: "cell-text", "aria-hidden": "true" }),
      el("span", { class: "unseen" }),
    );
    this.#cells.set(`${node}:${index}`, cell);
    return cell;
  }

  /** While time runs, logs grow at their end and are compacted at their front: only those columns change. */
  #shift(nodes, first, last) {
    const before = this.#span;
    if (first < before.first || last < before.last || first > before.last) {
      this.#build(nodes, first, last);
      return;
    }
    const scroll = this.#grid.parentElement;
    const atEnd = scroll.scrollLeft + scroll.clientWidth >= scroll.scrollWidth - 8;
    const [header, ...rows] = this.#grid.children;
    for (let index = before.first; index < first; index += 1) {
      header.children[1].remove();
      for (const node of nodes) {
        this.#cells.get(`${node.id}:${index}`)?.remove();
        this.#cells.delete(`${node.id}:${index}`);
      }
    }
    for (let index = before.last + 1; index <= last; index += 1) {
      header.append(this.#head(index));
      nodes.forEach((node, at) => rows[at].append(this.#cell(node.id, index)));
    }
    this.#grid.style.setProperty("--columns", String(last - first + 1));
    this.#grid.setAttribute("aria-colcount", String(last - first + 2));
    if (!this.#grid.querySelector('[role="gridcell"][tabindex="0"]'))
      this.#grid.querySelector('[role="gridcell"]')?.setAttribute("tabindex", "0");
    if (atEnd) scroll.scrollLeft = scroll.scrollWidth;
  }

  #drawRow(node, first, last, terms, pair) {
    const name = this.#cells.get(`${node.id}`);
    if (!name) return;
    const base = Array.isArray(node.base) ? node.base[0] : 0;
    text(name, "");
    const label = `${node.id} ${roleText(node)}`;
    if (name.__label !== label) {
      name.__label = label;
      name.replaceChildren(el("b", {}, String(node.id)), el("span", {}, roleText(node)));
    }
    const lit = this.#focus.includes("log") || this.#focus.includes(`log:${node.id}`);
    name.parentElement.classList.toggle("lit", lit);
    name.parentElement.classList.toggle("aside", pair !== null && !pair.includes(node.id));
    const log = new Map((node.log ?? []).map((entry) => [entry.index, entry]));
    const other = pair && pair.includes(node.id) ? this.#lab.node(pair[0] === node.id ? pair[1] : pair[0]) : null;
    const otherLog = other ? new Map((other.log ?? []).map((entry) => [entry.index, entry])) : null;
    const selection = this.#lab.selection;
    for (let index = first; index <= last; index += 1) {
      const cell = this.#cells.get(`${node.id}:${index}`);
      const entry = log.get(index);
      const classes = ["cell"];
      if (!entry) classes.push(index <= base ? "in-snapshot" : "none");
      else {
        classes.push(`hue-${hue(entry.term)}`);
        classes.push(index <= node.commit ? "committed" : "open");
        if (index <= node.applied) classes.push("applied");
        if (index === node.commit) classes.push("commit-line");
        if (!entry.durable) classes.push("volatile");
        if (terms.get(index) !== undefined && terms.get(index) !== entry.term) classes.push("conflict");
      }
      if (otherLog && otherLog.get(index)?.term !== entry?.term) classes.push("differs");
      if (selection?.kind === "entry" && selection.index === index)
        classes.push(selection.node === node.id ? "selected" : "same-index");
      if (this.#focus.includes(`log:${node.id}:${index}`) || this.#focus.includes(`index:${index}`))
        classes.push("lit");
      set(cell, { class: classes.join(" ") });
      const [termText, contentText, said] = cell.children;
      text(termText, entry ? String(entry.term) : "");
      text(contentText, entry ? shortText(entry) : index <= base ? "⌂" : "");
      const label = this.#cellLabel(node, index, entry, base);
      text(said, label);
      set(cell, {
        title: label,
        "aria-selected": String(selection?.kind === "entry" && selection.index === index && selection.node === node.id),
      });
    }
  }

  #cellLabel(node, index, entry, base) {
    if (!entry) return t(index <= base ? "ui.entry.snapshot" : "ui.entry.none", { node: node.id, index });
    const state =
      index <= node.applied ? "applied" : index <= node.commit ? "committed" : entry.durable ? "durable" : "volatile";
    return t("ui.entry.label", {
      node: node.id,
      index,
      term: entry.term,
      text: entryText(entry),
      state: t(`entry.${state}`),
    });
  }

  #drawNote(nodes, pair) {
    if (!pair) {
      text(this.#note, "");
      return;
    }
    const [a, b] = pair.map((id) => nodes.find((node) => node.id === id));
    text(this.#note, diffText(a, b));
  }

  #choose(node, index) {
    this.#lab.select({ kind: "entry", node, index });
  }

  /** Arrow keys walk through the matrix; one cell at a time can be reached by the tab key. */
  #keys(event) {
    const cell = event.target.closest('[role="gridcell"]');
    if (!cell) return;
    const [node, index] = [Number(cell.dataset.node), Number(cell.dataset.index)];
    const rows = [...this.#grid.querySelectorAll(".log-row[data-node]")].map((row) => Number(row.dataset.node));
    const at = rows.indexOf(node);
    const to = {
      ArrowLeft: `${node}:${index - 1}`,
      ArrowRight: `${node}:${index + 1}`,
      ArrowUp: `${rows[at - 1]}:${index}`,
      ArrowDown: `${rows[at + 1]}:${index}`,
    }[event.key];
    if (event.key === "Enter" || event.key === " ") {
      this.#choose(node, index);
    } else if (!to) return;
    event.preventDefault();
    event.stopPropagation();
    const next = to && this.#cells.get(to);
    if (!next) return;
    for (const other of this.#grid.querySelectorAll('[role="gridcell"][tabindex="0"]'))
      other.setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  }
}

function legend(name, key) {
  return el(
    "span",
    { class: "legend" },
    el("i", { class: `cell-sample ${name}` }),
    el("span", { "data-t": key }, t(key)),
  );
}

/** The indexes that the matrix shows: from the first that any log still has to the last. */
function span(nodes) {
  let first = Infinity;
  let last = 0;
  for (const node of nodes) {
    for (const entry of [node.log?.[0], node.log?.at(-1)]) {
      if (!entry) continue;
      first = Math.min(first, entry.index);
      last = Math.max(last, entry.index);
    }
  }
  if (!Number.isFinite(first)) return { first: 1, last: 0 };
  return { first: Math.max(first, last - MOST_COLUMNS + 1), last };
}

/** The term that most logs have at each index where they are not all of one term. */
function majorityTerms(nodes) {
  const counts = new Map();
  for (const node of nodes) {
    for (const entry of node.log ?? []) {
      const here = counts.get(entry.index) ?? new Map();
      here.set(entry.term, (here.get(entry.term) ?? 0) + 1);
      counts.set(entry.index, here);
    }
  }
  const terms = new Map();
  for (const [index, here] of counts) {
    if (here.size < 2) continue;
    // A tie is shown on both sides: no term is the one that counts.
    const sorted = [...here].sort((a, b) => b[1] - a[1]);
    terms.set(index, sorted[0][1] > sorted[1][1] ? sorted[0][0] : -1);
  }
  return terms;
}

/** What an entry holds, in full. */
export function entryText(entry) {
  if (entry.kind === "empty") return t("entry.empty");
  if (entry.kind === "membership") return t("entry.membership", { text: entry.text });
  if (entry.kind === "witnessed") return t("entry.witnessed");
  return entry.text ?? "";
}

function shortText(entry) {
  if (entry.kind === "empty") return "∅";
  if (entry.kind === "membership") return "⚙";
  if (entry.kind === "witnessed") return "◦";
  return (entry.text ?? "·").replace(/^set (\S+) (.+)$/, "$1=$2").replace(/^add (\S+) (.+)$/, "$1+$2");
}

/** Where two logs agree and where they part, in words. */
export function diffText(a, b) {
  const [left, right] = [a, b].map((node) => new Map((node.log ?? []).map((entry) => [entry.index, entry.term])));
  const last = Math.max(0, ...left.keys(), ...right.keys());
  const first = Math.min(...left.keys(), ...right.keys(), last + 1);
  for (let index = first; index <= last; index += 1) {
    const [here, there] = [left.get(index), right.get(index)];
    if (here === there) continue;
    // What one of them keeps in a snapshot is not a difference.
    if (here === undefined && index <= (a.base?.[0] ?? 0)) continue;
    if (there === undefined && index <= (b.base?.[0] ?? 0)) continue;
    if (here === undefined) return t("ui.diff.lacks", { a: a.id, b: b.id, index, last });
    if (there === undefined) return t("ui.diff.lacks", { a: b.id, b: a.id, index, last });
    return t("ui.diff.parts", { a: a.id, b: b.id, index, before: index - 1, here, there });
  }
  return t("ui.diff.same", { a: a.id, b: b.id, last });
}
