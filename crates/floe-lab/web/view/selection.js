// The bar below the cluster: what is selected, and what may be done to it at once.

import { el, put, throttled } from "./dom.js";
import { t, onLanguage } from "../text/i18n.js";
import { actionButtons } from "./buttons.js";
import { messageName } from "../text/describe.js";
import { roleText } from "./node.js";

export class SelectionBar {
  #lab;
  #root;
  #more;
  #key = "";

  constructor(root, lab, more) {
    this.#root = root;
    this.#lab = lab;
    this.#more = more;
    const later = throttled(() => this.#draw(), 80);
    for (const topic of ["state", "selection", "world"]) lab.on(topic, later);
    onLanguage(() => {
      this.#key = "";
      this.#draw();
    });
  }

  #draw() {
    const { state, selection } = this.#lab;
    if (!state) return;
    const shown = this.#name(selection);
    const key = JSON.stringify([
      selection?.kind,
      selection?.id,
      selection?.from,
      selection?.to,
      shown,
      this.#lab.readOnly,
      selection?.kind === "node" ? [this.#lab.node(selection.id)?.disk, this.#lab.node(selection.id)?.member] : null,
      state.links,
    ]);
    if (key === this.#key) return;
    this.#key = key;
    const focused = this.#root.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    if (!shown) {
      this.#root.replaceChildren(
        el("span", { class: "dim" }, t(this.#lab.readOnly ? "ui.read-only" : "ui.selection.none")),
      );
      return;
    }
    put(
      this.#root,
      el("strong", {}, shown),
      actionButtons(this.#lab, selection),
      el("button", { type: "button", class: "quiet", "data-key": "more", onclick: this.#more }, t("ui.selection.more")),
    );
    if (focused)
      (this.#root.querySelector(`[data-key="${CSS.escape(focused)}"]`) ?? this.#root.querySelector("button"))?.focus();
  }

  #name(selection) {
    switch (selection?.kind) {
      case "node": {
        const node = this.#lab.node(selection.id);
        return node ? `${t("ui.node.title", { id: node.id })} · ${roleText(node)}` : null;
      }
      case "link":
        return t("ui.link.title", selection);
      case "packet": {
        const packet = this.#lab.state.packets.find((one) => one.id === selection.id);
        return packet ? `${messageName(packet.kind)} ${packet.from} → ${packet.to}` : null;
      }
      default:
        return null;
    }
  }
}
