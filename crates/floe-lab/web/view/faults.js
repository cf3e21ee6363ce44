// The panel of everything that a viewer may do to the world: each action of docs/design/lab.md has its controls here.

import { el } from "./dom.js";
import { t, onLanguage } from "../text/i18n.js";

export class FaultsView {
  #lab;
  #root;
  #key = "";
  /** What the viewer has typed survives a change of the language or of the nodes. */
  #values = {
    key: "x",
    value: "5",
    disk: "stall",
    rate: "100",
    ahead: "0",
    delay_from: "8",
    delay_to: "12",
    loss: "0",
    duplicate: "0",
    change: "add-learner",
    link_ms: "50",
  };

  constructor(root, lab) {
    this.#root = root;
    this.#lab = lab;
    lab.on("world", () => this.#draw(true));
    lab.on("state", () => this.#draw());
    onLanguage(() => this.#draw(true));
    root.addEventListener("input", (event) => {
      if (event.target.name)
        this.#values[event.target.name] = event.target.type === "checkbox" ? event.target.checked : event.target.value;
    });
  }

  #draw(force = false) {
    const { state } = this.#lab;
    if (!state) return;
    const ids = state.nodes.map((node) => node.id);
    const key = ids.join();
    if (key === this.#key && !force) return;
    this.#key = key;
    if (this.#lab.readOnly) {
      this.#root.replaceChildren(el("p", { class: "empty" }, t("ui.read-only")));
      return;
    }
    this.#root.replaceChildren(this.#client(ids), this.#node(ids), this.#network(ids), this.#members(ids));
  }

  #client(ids) {
    return this.#group(
      "ui.act.client",
      [
        this.#input("key", "ui.key", { maxlength: "16" }),
        this.#number("value", "ui.value"),
        this.#select("ask", "ui.ask", [["", t("ui.ask.leader")], ...ids.map(pair)]),
      ],
      [
        this.#button("act.set", () => ({
          do: "set",
          key: this.#text("key"),
          value: this.#int("value"),
          ...this.#asked(),
        })),
        this.#button("act.add", () => ({
          do: "add",
          key: this.#text("key"),
          value: this.#int("value"),
          ...this.#asked(),
        })),
        this.#button("act.get", () => ({ do: "get", key: this.#text("key"), ...this.#asked() })),
      ],
      el(
        "details",
        {},
        el("summary", {}, t("ui.request")),
        el("p", { class: "plain" }, t("ui.request.about")),
        el(
          "div",
          { class: "fields" },
          this.#number("request_client", "ui.request.client"),
          this.#number("request_sequence", "ui.request.sequence"),
        ),
      ),
    );
  }

  #asked() {
    const asked = {};
    if (this.#values.ask) asked.node = Number(this.#values.ask);
    if (this.#values.request_client && this.#values.request_sequence)
      asked.request = [this.#int("request_client"), this.#int("request_sequence")];
    return asked;
  }

  #node(ids) {
    const node = () => Number(this.#values.node ?? ids[0]);
    const on = (name) => () => ({ do: name, node: node(), ...this.#lasting() });
    return this.#group(
      "ui.act.node",
      [this.#select("node", "ui.node", ids.map(pair)), this.#number("for_ms", "ui.for", { min: "1" })],
      [
        this.#button("act.crash", on("crash")),
        this.#button("act.restart", () => ({ do: "restart", node: node() })),
        this.#button("act.pause", on("pause")),
        this.#button("act.resume", () => ({ do: "resume", node: node() })),
        this.#button("act.wipe", on("wipe")),
        this.#button("act.campaign", () => ({ do: "campaign", node: node() })),
        this.#button("act.transfer", () => ({ do: "transfer", to: node() })),
        this.#button("act.snapshot", () => ({ do: "snapshot", node: node() })),
      ],
      el(
        "div",
        { class: "fields" },
        this.#select(
          "disk",
          "ui.disk",
          ["slow", "stall", "fail", "ok"].map((mode) => [mode, t(`disk.${mode}`)]),
        ),
        this.#button("act.disk", () => ({ do: "disk", node: node(), mode: this.#values.disk, ...this.#lasting() })),
      ),
      el(
        "div",
        { class: "fields" },
        this.#number("rate", "ui.clock.rate.name", { min: "50", max: "200" }),
        this.#button("act.clock-rate", () => ({ do: "clock", node: node(), rate_percent: this.#int("rate") })),
        this.#number("ahead", "ui.clock.ahead.name", { min: "0" }),
        this.#button("act.clock-ahead", () => ({ do: "clock", node: node(), ahead_ms: this.#int("ahead") })),
      ),
    );
  }

  #lasting() {
    return this.#values.for_ms ? { for_ms: this.#int("for_ms") } : {};
  }

  #network(ids) {
    const half = Math.floor(ids.length / 2);
    this.#values.side_a ??= ids.slice(0, half).join(" ");
    this.#values.side_b ??= ids.slice(half).join(" ");
    const set = (name) =>
      String(this.#values[name] ?? "")
        .split(/[^0-9]+/)
        .filter(Boolean)
        .map(Number);
    const from = () => Number(this.#values.link_from ?? ids[0]);
    const to = () => Number(this.#values.link_to ?? ids[1] ?? ids[0]);
    return this.#group(
      "ui.act.network",
      [
        this.#input("side_a", "ui.side.a"),
        this.#input("side_b", "ui.side.b"),
        this.#number("cut_ms", "ui.for", { min: "1" }),
      ],
      [
        this.#button("act.partition", () => ({
          do: "partition",
          sides: [set("side_a"), set("side_b")].filter((side) => side.length > 0),
          ...this.#cutting(),
        })),
        this.#button("act.heal", () => ({ do: "heal" })),
      ],
      el(
        "div",
        { class: "fields" },
        this.#select("link_from", "ui.from", ids.map(pair)),
        this.#select("link_to", "ui.to", ids.map(pair), String(ids[1] ?? ids[0])),
        this.#button("act.cut", () => ({ do: "cut", from: [from()], to: [to()], ...this.#cutting() }), {
          a: "",
          b: "",
        }),
        this.#button("act.cut-way", () => ({ do: "cut", from: [from()], to: [to()], both: false, ...this.#cutting() })),
        this.#number("link_ms", "ui.delay.link", { min: "0" }),
        this.#button("act.link", () => ({ do: "link", from: from(), to: to(), delay_ms: this.#int("link_ms") })),
      ),
      el(
        "div",
        { class: "fields" },
        this.#number("delay_from", "ui.delay.from", { min: "0" }),
        this.#number("delay_to", "ui.delay.to", { min: "0" }),
        this.#number("loss", "ui.loss", { min: "0", max: "100" }),
        this.#number("duplicate", "ui.duplicate", { min: "0", max: "100" }),
        el(
          "label",
          { class: "inline" },
          el("input", { type: "checkbox", name: "reorder", checked: this.#values.reorder === true }),
          el("span", {}, t("ui.reorder")),
        ),
        this.#button("act.network", () => ({
          do: "network",
          delay_ms: [this.#int("delay_from"), Math.max(this.#int("delay_from"), this.#int("delay_to"))],
          loss_percent: this.#int("loss"),
          duplicate_percent: this.#int("duplicate"),
          reorder: this.#values.reorder === true,
        })),
      ),
    );
  }

  #cutting() {
    return this.#values.cut_ms ? { for_ms: this.#int("cut_ms") } : {};
  }

  #members(ids) {
    const changes = ["add-learner", "add-voter", "promote", "demote", "remove", "replace"];
    const one = () => {
      const change = { change: this.#values.change, node: Number(this.#values.member ?? ids[0]) };
      if (this.#values.change === "replace") change.with = Number(this.#values.member_with ?? ids[0]);
      return change;
    };
    this.#values.several ??= [];
    const list = el("output", { class: "plain" }, this.#several());
    return this.#group(
      "ui.act.members",
      [
        this.#select(
          "change",
          "ui.change",
          changes.map((change) => [change, t(`change.name.${change}`)]),
        ),
        this.#select("member", "ui.node", ids.map(pair)),
        this.#select("member_with", "ui.with", ids.map(pair)),
      ],
      [
        this.#button("act.member", () => ({ do: "member", ...one() })),
        el(
          "button",
          {
            type: "button",
            class: "quiet",
            onclick: () => {
              this.#values.several.push(one());
              list.textContent = this.#several();
            },
          },
          t("act.member.also"),
        ),
        this.#button("act.members", () => {
          const changes_ = this.#values.several.length > 0 ? this.#values.several : [one()];
          this.#values.several = [];
          list.textContent = "";
          return { do: "member", changes: changes_ };
        }),
      ],
      list,
    );
  }

  #several() {
    return this.#values.several
      .map((change) => `${t(`change.name.${change.change}`)} ${change.node}${change.with ? ` → ${change.with}` : ""}`)
      .join(", ");
  }

  #group(title, fields, buttons, ...rest) {
    return el(
      "fieldset",
      { class: "act-group" },
      el("legend", {}, t(title)),
      el("div", { class: "fields" }, fields),
      el("div", { class: "buttons" }, buttons),
      rest,
    );
  }

  #input(name, label, more = {}) {
    return el(
      "label",
      {},
      el("span", {}, t(label)),
      el("input", { name, type: "text", value: this.#values[name] ?? "", autocomplete: "off", ...more }),
    );
  }

  #number(name, label, more = {}) {
    return el(
      "label",
      {},
      el("span", {}, t(label)),
      el("input", { name, type: "number", inputmode: "numeric", value: this.#values[name] ?? "", ...more }),
    );
  }

  #select(name, label, options, fallback) {
    const select = el(
      "select",
      { name },
      options.map(([value, shown]) => el("option", { value }, shown)),
    );
    select.value = String(this.#values[name] ?? fallback ?? options[0]?.[0] ?? "");
    return el("label", {}, el("span", {}, t(label)), select);
  }

  #button(key, action, values) {
    return el(
      "button",
      { type: "button", title: t(`${key}.means`), "data-act": key.slice(4), onclick: () => this.#lab.act(action()) },
      t(key, values),
    );
  }

  #text(name) {
    return String(this.#values[name] ?? "");
  }

  #int(name) {
    return Math.trunc(Number(this.#values[name] ?? 0)) || 0;
  }
}

function pair(id) {
  return [String(id), String(id)];
}
