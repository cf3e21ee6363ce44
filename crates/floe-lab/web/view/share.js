// Share: a link, a Rust test, a trace file, a picture; and opening a trace file.

import { el } from "./dom.js";
import { openDialog } from "./dialog.js";
import { t, currentLanguage } from "../text/i18n.js";
import { fragmentOf } from "../model/link.js";
import { pictureOf } from "./picture.js";

/** Offers what can be taken away. */
export function shareDialog(lab, notices, { openTrace, stage, tour }) {
  const link = new URL(location.href);
  link.hash = fragmentOf({ settings: lab.settings, at: lab.state?.at ?? 0, language: currentLanguage() });
  openDialog("share", t("ui.share"), () => {
    const field = el("input", {
      type: "text",
      readonly: true,
      id: "share-link",
      value: link.href,
      "aria-label": t("ui.share.link"),
    });
    field.addEventListener("focus", () => field.select());
    const step = new URL(location.href);
    if (tour) step.hash = fragmentOf({ ...tour, language: currentLanguage() });
    const failed = (error) => notices.error(error);
    const part = (title, about, ...rest) =>
      el("section", { class: "share-part" }, el("h3", {}, t(title)), el("p", { class: "plain" }, t(about)), rest);
    const output = el("pre", { class: "share-test", tabindex: "0", hidden: true });
    const file = el("input", {
      type: "file",
      id: "trace-file",
      accept: ".ndjson,.jsonl,.json,.txt,application/x-ndjson",
      "aria-label": t("ui.trace.open"),
    });
    file.addEventListener("change", async () => {
      if (!file.files[0]) return;
      document.querySelector("dialog.dialog-share")?.close();
      openTrace(await file.files[0].text(), file.files[0].name);
    });
    const open = part("ui.trace.open", "ui.trace.open.about", file);
    const picture = part(
      "ui.share.svg",
      "ui.share.svg.about",
      el(
        "div",
        { class: "buttons" },
        el(
          "button",
          { type: "button", id: "share-svg", onclick: () => save("floe-lab.svg", pictureOf(stage), "image/svg+xml") },
          t("ui.save"),
        ),
      ),
    );
    const trace = part(
      "ui.share.trace",
      "ui.share.trace.about",
      el(
        "div",
        { class: "buttons" },
        el(
          "button",
          {
            type: "button",
            id: "share-trace",
            onclick: async () => {
              try {
                save("floe-lab.ndjson", await lab.traceText(), "application/x-ndjson");
              } catch (error) {
                failed(error);
              }
            },
          },
          t("ui.save"),
        ),
      ),
    );
    if (lab.readOnly) return [lab.engine.kind === "trace" ? picture : [trace, picture], open];
    return [
      part(
        "ui.share.link",
        "ui.share.link.about",
        el(
          "div",
          { class: "fields" },
          field,
          copyButton(() => link.href),
        ),
      ),
      tour
        ? part(
            "ui.share.tour",
            "ui.share.tour.about",
            el(
              "div",
              { class: "fields" },
              el("input", { type: "text", readonly: true, value: step.href, "aria-label": t("ui.share.tour") }),
              copyButton(() => step.href),
            ),
          )
        : [],
      part(
        "ui.share.test",
        "ui.share.test.about",
        el(
          "div",
          { class: "buttons" },
          el(
            "button",
            {
              type: "button",
              id: "share-test",
              onclick: async () => {
                try {
                  output.textContent = (await lab.ask({ call: "as_test" })).text;
                  output.hidden = false;
                } catch (error) {
                  failed(error);
                }
              },
            },
            t("ui.show"),
          ),
          copyButton(async () => (await lab.ask({ call: "as_test" })).text),
        ),
        output,
      ),
      trace,
      picture,
      open,
    ];
  });
}

function copyButton(source) {
  const button = el(
    "button",
    {
      type: "button",
      onclick: async () => {
        try {
          await navigator.clipboard.writeText(await source());
          button.textContent = t("ui.copied");
        } catch {
          button.textContent = t("ui.copy.failed");
        }
        setTimeout(() => {
          button.textContent = t("ui.copy");
        }, 1600);
      },
    },
    t("ui.copy"),
  );
  return button;
}

function save(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const anchor = el("a", { href: url, download: name });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
