// Dialogs: the browser's own element, which keeps the focus and gives it back; built anew each time they open.

import { el } from "./dom.js";
import { t } from "../text/i18n.js";

/** Opens a dialog with this title and content; `content` gets a function that closes it. */
export function openDialog(name, title, content) {
  const dialog = el("dialog", { class: `dialog dialog-${name}`, "aria-labelledby": `dialog-${name}-title` });
  const close = () => dialog.close();
  dialog.append(
    el(
      "div",
      { class: "dialog-head" },
      el("h2", { id: `dialog-${name}-title` }, title),
      el(
        "button",
        { type: "button", class: "icon", "aria-label": t("ui.close"), title: t("ui.close"), onclick: close },
        "✕",
      ),
    ),
    el("div", { class: "dialog-body" }, content(close)),
  );
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) close();
  });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Whether a dialog is open: the keys of the bench rest meanwhile. */
export function dialogIsOpen() {
  return document.querySelector("dialog[open]") !== null;
}
