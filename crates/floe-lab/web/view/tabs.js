// The tabs of the side: one panel at a time, arrow keys between them.

import { el } from "./dom.js";
import { t, onLanguage } from "../text/i18n.js";

export class Tabs {
  #names;
  #buttons = new Map();
  #present;

  constructor(root, names) {
    this.#names = names;
    for (const name of names) {
      const button = el(
        "button",
        {
          type: "button",
          role: "tab",
          id: `tab-${name}`,
          "aria-controls": `panel-${name}`,
          onclick: () => this.show(name),
        },
        el("span", { "data-t": `ui.tab.${name}` }, t(`ui.tab.${name}`)),
      );
      this.#buttons.set(name, button);
      root.append(button);
    }
    root.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      const at = names.indexOf(this.#present) + by + names.length;
      this.show(names[at % names.length]);
      this.#buttons.get(this.#present).focus();
    });
    root.setAttribute("aria-label", t("ui.panels"));
    onLanguage(() => root.setAttribute("aria-label", t("ui.panels")));
    this.show(names[0]);
  }

  show(name) {
    this.#present = name;
    for (const other of this.#names) {
      const on = other === name;
      this.#buttons.get(other).setAttribute("aria-selected", String(on));
      this.#buttons.get(other).tabIndex = on ? 0 : -1;
      document.getElementById(`panel-${other}`).hidden = !on;
    }
  }

  /** Shows a panel unless the viewer is at work in the one for actions or reads the table. */
  suggest(name) {
    if (this.#present === "act" || this.#present === "table") return;
    this.show(name);
  }
}
