// The dialog that makes a world: its settings, as lab.md lists them, and the bugs that it may have.

import { el } from "./dom.js";
import { openDialog } from "./dialog.js";
import { t } from "../text/i18n.js";

const DEFAULTS = {
  seed: 7,
  voters: 3,
  learners: 0,
  joiners: 0,
  groups: 1,
  heartbeat_ms: 50,
  election_timeout_ms: 150,
  delay_from: 8,
  delay_to: 12,
  sync_ms: 3,
  apply_ms: 1,
  loss_percent: 0,
  pre_vote: true,
  check_quorum: true,
  reads: "index",
  snapshot_after: 0,
  trailing: 0,
  clients: 0,
  mutant: "",
  witnesses: "",
};

/** Asks for the settings of a new world, beginning with those of the present one. */
export async function settingsDialog(lab, open) {
  const mutants = lab.readOnly ? [] : await lab.ask({ call: "mutants" }).catch(() => []);
  const present = lab.settings ?? {};
  const known = {
    ...DEFAULTS,
    ...Object.fromEntries(Object.entries(present).filter(([name, value]) => name in DEFAULTS && value !== null)),
  };
  if (Array.isArray(present.delay_ms)) [known.delay_from, known.delay_to] = present.delay_ms;
  known.witnesses = (present.witnesses ?? []).join(" ");
  openDialog("settings", t("ui.world.title"), (close) => {
    const form = el("form", { class: "settings", method: "dialog" });
    const number = (name, min, max) =>
      el(
        "label",
        {},
        el("span", {}, t(`settings.${name}`)),
        el("input", { name, type: "number", min, max, required: true, value: String(known[name]) }),
      );
    const check = (name) =>
      el(
        "label",
        { class: "inline" },
        el("input", { type: "checkbox", name, checked: known[name] === true }),
        el("span", {}, t(`settings.${name}`)),
      );
    const select = (name, options) => {
      const list = el(
        "select",
        { name },
        options.map(([value, shown]) => el("option", { value }, shown)),
      );
      list.value = String(known[name] ?? "");
      return el("label", {}, el("span", {}, t(`settings.${name}`)), list);
    };
    const group = (title, ...fields) =>
      el("fieldset", { class: "act-group" }, el("legend", {}, t(title)), el("div", { class: "fields" }, fields));
    const presets = [
      ["one", { voters: 1 }],
      ["three", { voters: 3 }],
      ["five", { voters: 5 }],
      ["chaos", { world: { seed: Math.floor(Math.random() * 1e6), voters: 5, seconds: 60 } }],
    ];
    form.append(
      el(
        "div",
        { class: "buttons" },
        presets.map(([name, settings]) =>
          el(
            "button",
            {
              type: "button",
              "data-preset": name,
              onclick: () => {
                close();
                open({ version: 1, ...settings });
              },
            },
            t(`preset.${name}`),
          ),
        ),
      ),
      group(
        "settings.group.nodes",
        el(
          "label",
          {},
          el("span", {}, t("settings.seed")),
          el("input", {
            name: "seed",
            type: "text",
            inputmode: "numeric",
            pattern: "[0-9]{1,20}",
            required: true,
            value: String(known.seed),
          }),
        ),
        number("voters", 1, 9),
        number("learners", 0, 7),
        number("joiners", 0, 7),
        el(
          "label",
          {},
          el("span", {}, t("settings.witnesses")),
          el("input", { name: "witnesses", type: "text", pattern: "[0-9 ,]*", value: known.witnesses }),
        ),
        number("groups", 1, 50),
        number("clients", 0, 9),
      ),
      group(
        "settings.group.times",
        number("heartbeat_ms", 1, 10000),
        number("election_timeout_ms", 10, 60000),
        number("delay_from", 0, 10000),
        number("delay_to", 0, 10000),
        number("sync_ms", 0, 10000),
        number("apply_ms", 0, 10000),
        number("loss_percent", 0, 100),
      ),
      group(
        "settings.group.rules",
        check("pre_vote"),
        check("check_quorum"),
        select(
          "reads",
          ["index", "lease", "stale"].map((name) => [name, t(`settings.reads.${name}`)]),
        ),
        number("snapshot_after", 0, 100000),
        number("trailing", 0, 100000),
      ),
      mutants.length > 0
        ? group(
            "settings.group.mutant",
            el("p", { class: "plain" }, t("settings.mutant.about")),
            select("mutant", [
              ["", t("settings.mutant.none")],
              ...mutants.map((mutant) => [mutant.name, `${mutant.name} · ${mutant.origin}`]),
            ]),
          )
        : null,
      el(
        "div",
        { class: "buttons end" },
        el("button", { type: "submit", class: "primary", id: "open-settings" }, t("ui.world.open")),
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const data = new FormData(form);
      const settings = { version: 1 };
      settings.seed = Number.isSafeInteger(Number(data.get("seed"))) ? Number(data.get("seed")) : data.get("seed");
      for (const name of [
        "voters",
        "learners",
        "joiners",
        "groups",
        "heartbeat_ms",
        "election_timeout_ms",
        "sync_ms",
        "apply_ms",
        "loss_percent",
        "snapshot_after",
        "trailing",
        "clients",
      ])
        settings[name] = Number(data.get(name));
      settings.delay_ms = [
        Number(data.get("delay_from")),
        Math.max(Number(data.get("delay_from")), Number(data.get("delay_to"))),
      ];
      for (const name of ["pre_vote", "check_quorum"]) settings[name] = data.get(name) !== null;
      settings.reads = data.get("reads");
      settings.witnesses = String(data.get("witnesses"))
        .split(/[^0-9]+/)
        .filter(Boolean)
        .map(Number);
      if (data.get("mutant")) settings.mutant = data.get("mutant");
      close();
      open(settings);
    });
    return form;
  });
}
