// The whole state as tables of text: for screen readers, for copying, and for those who prefer to read.

import { el, throttled } from "./dom.js";
import { t, onLanguage } from "../text/i18n.js";
import { describePacket, messageName } from "../text/describe.js";
import { time, logId } from "../text/format.js";
import { roleText, valuesText } from "./node.js";

export class TableView {
  #lab;
  #root;

  constructor(root, lab) {
    this.#root = root;
    this.#lab = lab;
    const later = throttled(() => this.#draw(), 400);
    lab.on("state", later);
    lab.on("world", later);
    onLanguage(later);
    new IntersectionObserver(later).observe(root);
  }

  #draw() {
    const { state } = this.#lab;
    if (!state || this.#root.offsetParent === null) return;
    // A button under the reader's finger must not go away because a clock ticked.
    if (this.#root.contains(document.activeElement) && document.activeElement.tagName === "BUTTON" && this.#lab.busy)
      return;
    const focused = this.#root.contains(document.activeElement) ? document.activeElement.dataset?.key : null;
    const scrolls = [...this.#root.querySelectorAll(".table-scroll")].map((box) => box.scrollLeft);
    this.#root.replaceChildren(
      el("p", { class: "plain" }, t("ui.table.at", { at: time(state.at), event: state.event })),
      table(
        "ui.table.nodes",
        [
          "ui.node",
          "ui.role",
          "ui.term",
          "ui.vote",
          "ui.leader",
          "ui.commit",
          "ui.applied",
          "ui.durable",
          "ui.last",
          "ui.values",
          "ui.timer",
        ],
        state.nodes.map((node) => [
          node.id,
          roleText(node),
          node.term ?? "–",
          node.vote || "–",
          node.leader || "–",
          node.commit ?? "–",
          node.applied ?? "–",
          node.durable ?? "–",
          logId(node.last),
          valuesText(node.values) || "–",
          node.timer && node.timer.kind !== "none" ? time(Math.max(0, node.timer.due_at - state.at)) : "–",
        ]),
      ),
      table(
        "ui.table.packets",
        ["ui.message", "ui.from", "ui.to", "ui.term", "ui.arrives", "ui.says", "ui.actions"],
        state.packets.slice(0, 60).map((packet) => [
          messageName(packet.kind),
          packet.from,
          packet.to,
          packet.term ?? "–",
          time(packet.arrives_at),
          packet.text ?? "",
          el(
            "span",
            { class: "buttons" },
            el(
              "button",
              {
                type: "button",
                "data-key": `look-${packet.id}`,
                "aria-label": t("ui.look", { what: describePacket(packet) }),
                onclick: () => this.#lab.select({ kind: "packet", id: packet.id, packet }),
              },
              t("ui.look.short"),
            ),
            this.#lab.readOnly
              ? null
              : el(
                  "button",
                  {
                    type: "button",
                    "data-key": `lose-${packet.id}`,
                    "aria-label": `${t("act.lose")}: ${describePacket(packet)}`,
                    onclick: () => this.#lab.act({ do: "lose", packet: packet.id }),
                  },
                  t("act.lose"),
                ),
          ),
        ]),
      ),
      table(
        "ui.table.links",
        ["ui.from", "ui.to", "ui.link.state"],
        state.links.map((link) => [link.from, link.to, link.cut ? t("ui.link.is-cut") : `${link.delay_ms ?? ""} ms`]),
      ),
      table(
        "ui.table.clients",
        ["ui.op", "ui.client", "ui.op.node", "ui.op.state", "ui.op.answer"],
        state.clients
          .slice(-40)
          .map((op) => [op.text, op.client, op.node || "–", t(`client.${op.state}`), op.answer ?? "–"]),
      ),
    );
    [...this.#root.querySelectorAll(".table-scroll")].forEach((box, at) => {
      box.scrollLeft = scrolls[at] ?? 0;
    });
    if (focused) this.#root.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }
}

function table(caption, heads, rows) {
  return el(
    "div",
    { class: "table-scroll", tabindex: "0", role: "region", "aria-label": t(caption) },
    el(
      "table",
      {},
      el("caption", {}, t(caption)),
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          heads.map((head) => el("th", { scope: "col" }, t(head))),
        ),
      ),
      el(
        "tbody",
        {},
        rows.length === 0
          ? el("tr", {}, el("td", { colspan: String(heads.length), class: "dim" }, t("ui.none")))
          : rows.map((row) =>
              el(
                "tr",
                {},
                row.map((cell, at) => (at === 0 ? el("th", { scope: "row" }, cell) : el("td", {}, cell))),
              ),
            ),
      ),
    ),
  );
}
