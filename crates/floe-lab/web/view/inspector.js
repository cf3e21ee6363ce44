// The inspector: a node, a message, an entry, an event or an operation, with what the engine says about why.

import { el, throttled } from "./dom.js";
import { t, has, onLanguage } from "../text/i18n.js";
import { describe, describePacket, fieldsText, messageName } from "../text/describe.js";
import { ruleOf } from "../text/rules.js";
import { ids, logId, time } from "../text/format.js";
import { nodeSentence, roleText, valuesText } from "./node.js";
import { entryText } from "./log.js";
import { actionButtons } from "./buttons.js";

const REDRAW_MS = 120;

export class InspectorView {
  #lab;
  #root;
  #later;
  #turn = 0;

  constructor(root, lab) {
    this.#root = root;
    this.#lab = lab;
    this.#later = throttled(() => this.#draw(), REDRAW_MS);
    for (const topic of ["state", "selection", "world"]) lab.on(topic, this.#later);
    onLanguage(this.#later);
    new IntersectionObserver(this.#later).observe(root);
  }

  async #draw() {
    if (!this.#lab.state || this.#root.offsetParent === null) return;
    this.#turn += 1;
    const turn = this.#turn;
    const selection = this.#lab.selection;
    let content;
    try {
      content = await this.#content(selection);
    } catch (error) {
      content = [
        el(
          "p",
          { class: "empty" },
          has(`error.${error.what}`) ? t(`error.${error.what}`, { detail: error.detail ?? "" }) : error.message,
        ),
      ];
    }
    // A later draw may have been faster.
    if (turn !== this.#turn) return;
    const focused = this.#root.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    this.#root.replaceChildren(...content.flat().filter(Boolean));
    if (focused) this.#root.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  async #content(selection) {
    switch (selection?.kind) {
      case "node":
        return this.#node(this.#lab.node(selection.id));
      case "packet":
        return this.#packet(selection);
      case "entry":
        return this.#entry(selection);
      case "event":
        return this.#event(selection.id);
      case "client":
        return this.#client(selection.op);
      case "link":
        return this.#link(selection);
      default:
        return [el("p", { class: "empty" }, t("ui.inspect.empty"))];
    }
  }

  #node(node) {
    if (!node) return [el("p", { class: "empty" }, t("ui.inspect.gone"))];
    const rows = [
      ["ui.role", roleText(node)],
      ["ui.term", node.term],
      ["ui.vote", node.vote || t("ui.none")],
      ["ui.leader", node.leader || t("ui.none")],
      ["ui.commit", node.commit],
      ["ui.applied", node.applied],
      ["ui.durable", node.durable],
      ["ui.last", logId(node.last)],
      ["ui.base", node.base?.[0] ? logId(node.base) : t("ui.none")],
      ["ui.values", valuesText(node.values) || t("ui.none")],
      ["ui.timer", timerText(node, this.#lab.state.at)],
      ["ui.voters", ids(node.voters)],
      node.outgoing?.length ? ["ui.outgoing", ids(node.outgoing)] : null,
      node.learners?.length ? ["ui.learners", ids(node.learners)] : null,
      [
        "ui.disk",
        node.disk
          ? t(`disk.${node.disk}`) + (node.writing ? ` · ${t("ui.writing", { count: node.writing })}` : "")
          : null,
      ],
      ["ui.clock", node.clock ? `${node.clock.rate_percent} % · ${time(node.clock.local ?? 0)}` : null],
      node.lease_until ? ["ui.lease.until", time(node.lease_until)] : null,
      node.latency_ms !== undefined && node.latency_ms !== null ? ["ui.latency", `${node.latency_ms} ms`] : null,
      node.lag !== undefined && node.lag !== null ? ["ui.lag.name", node.lag] : null,
      node.reason ? ["ui.error", node.reason] : null,
      node.sick ? ["ui.sick", node.sick] : null,
      node.endpoint ? ["ui.endpoint", node.endpoint] : null,
      node.member_id ? ["ui.member-id", node.member_id] : null,
      node.hash ? ["ui.hash", String(node.hash).slice(0, 16)] : null,
    ];
    return [
      heading(t("ui.node.title", { id: node.id }), nodeSentence(node)),
      actionButtons(this.#lab, { kind: "node", id: node.id }),
      facts(rows),
      node.votes && (node.role === "candidate" || node.role === "pre-candidate")
        ? el(
            "p",
            { class: "plain" },
            t("ui.votes", {
              term: node.votes.for_term,
              granted: ids(node.votes.granted),
              refused: ids(node.votes.refused),
            }),
          )
        : null,
      node.peers?.length ? this.#peers(node) : null,
      node.groups
        ? table(
            t("ui.groups"),
            ["ui.group", "ui.role", "ui.term", "ui.commit", "ui.asleep"],
            node.groups.map((group) => [
              group.group,
              t(`role.${group.role ?? "none"}`),
              group.term,
              group.commit,
              group.asleep ? "z" : "",
            ]),
          )
        : null,
    ];
  }

  #peers(node) {
    const timed = node.peers.some((peer) => peer.round_trip_ms !== undefined);
    return table(
      t("ui.peers"),
      ["ui.peer", "ui.match", "ui.next.index", "ui.peer.state", "ui.in-flight", ...(timed ? ["ui.round-trip"] : [])],
      node.peers.map((peer) => [
        peer.id,
        peer.match,
        peer.next,
        has(`peer.${peer.state}`) ? t(`peer.${peer.state}`) : peer.state,
        peer.in_flight,
        ...(timed ? [peer.round_trip_ms ?? "–"] : []),
      ]),
    );
  }

  async #packet(selection) {
    const packet = this.#lab.state.packets.find((one) => one.id === selection.id);
    const shown = packet ?? selection.packet;
    const sent = this.#lab.events[shown.event - 1];
    return [
      heading(messageName(shown.kind), describePacket(shown)),
      packet
        ? actionButtons(this.#lab, { kind: "packet", id: packet.id })
        : el("p", { class: "plain" }, t("ui.packet.gone")),
      facts([
        ["ui.from", shown.from],
        ["ui.to", shown.to],
        ["ui.term", shown.term],
        ["ui.sent", time(shown.sent_at)],
        ["ui.arrives", time(shown.arrives_at)],
        ["ui.says", shown.text],
      ]),
      sent && sent.at <= this.#lab.state.at && ["sent", "snapshot-sent", "beat"].includes(sent.kind)
        ? await this.#why(sent.id)
        : null,
    ];
  }

  async #entry({ node, index }) {
    const answer = await this.#lab.ask({ call: "entry", index });
    const here = this.#lab.node(node)?.log?.find((entry) => entry.index === index);
    const nodes = answer.nodes ?? [];
    return [
      heading(t("ui.entry.title", { index }), here ? entryText(here) : (answer.text ?? "")),
      table(
        t("ui.entry.where"),
        ["ui.node", "ui.term", "ui.entry.durable", "ui.entry.committed", "ui.entry.applied", "ui.entry.content"],
        nodes.map((one) => [
          one.node ?? one.id,
          one.has === false ? "–" : (one.term ?? "–"),
          tick(one.durable),
          tick(one.committed),
          tick(one.applied),
          one.text ?? "",
        ]),
      ),
      el("p", { class: "plain" }, t("ui.entry.rule")),
    ];
  }

  async #event(id) {
    const event = this.#lab.events[id - 1];
    if (!event) return [el("p", { class: "empty" }, t("ui.inspect.gone"))];
    return [
      heading(t("ui.event.title", { id }), describe(event, this.#lab)),
      el(
        "div",
        { class: "buttons" },
        el(
          "button",
          { type: "button", "data-key": "go", onclick: () => this.#lab.seek(event.at) },
          t("ui.event.go", { at: time(event.at) }),
        ),
      ),
      await this.#why(id),
      el(
        "details",
        { class: "raw" },
        el("summary", {}, t("ui.event.raw")),
        el("code", {}, `${event.kind}: ${fieldsText(event)}`),
      ),
    ];
  }

  /** The rule at work, where it stands, and the chain of causes, each a step to go to. */
  async #why(id) {
    const answer = await this.#lab.ask({ call: "explain", event: id });
    const rule = ruleOf(answer.rule ?? "other");
    const { source } = rule;
    const chain = (answer.causes ?? answer.chain ?? [])
      .map((cause) => (typeof cause === "number" ? this.#lab.events[cause - 1] : cause))
      .filter(Boolean);
    const effects = (answer.effects ?? answer.caused ?? [])
      .map((effect) => (typeof effect === "number" ? this.#lab.events[effect - 1] : effect))
      .filter(Boolean);
    return el(
      "div",
      { class: "why" },
      el("h3", {}, t("ui.why")),
      el("p", { class: "rule" }, el("b", {}, t(`rule.${rule.name}.name`)), " ", t(`rule.${rule.name}`)),
      answer.detail ? el("p", { class: "plain" }, answer.detail) : null,
      el(
        "p",
        { class: "source" },
        el(
          "a",
          { href: source.url, target: "_blank", rel: "noreferrer noopener", "data-key": "source" },
          t(`ui.source.${source.work}`, { section: source.section, title: source.title }),
        ),
        el("br"),
        el("span", {}, t("ui.file"), " "),
        el("code", {}, rule.file),
      ),
      chain.length > 0 ? el("h3", {}, t("ui.causes")) : null,
      chain.length > 0 ? this.#events(chain) : el("p", { class: "plain" }, t("ui.causes.none")),
      effects.length > 0 ? el("h3", {}, t("ui.effects")) : null,
      effects.length > 0 ? this.#events(effects.slice(0, 20)) : null,
    );
  }

  #events(events) {
    return el(
      "ol",
      { class: "chain" },
      events.map((event) =>
        el(
          "li",
          {},
          el(
            "button",
            {
              type: "button",
              class: "link-like",
              "data-key": `event-${event.id}`,
              onclick: () => this.#lab.select({ kind: "event", id: event.id }),
            },
            el("span", { class: "feed-time" }, time(event.at)),
            " ",
            describe(event, this.#lab),
          ),
        ),
      ),
    );
  }

  #client(number) {
    const op = this.#lab.state.clients.find((one) => one.op === number);
    if (!op) return [el("p", { class: "empty" }, t("ui.inspect.gone"))];
    return [
      heading(t("ui.op.title", { op: op.op }), op.text),
      facts([
        ["ui.client", op.client],
        ["ui.op.state", t(`client.${op.state}`)],
        ["ui.op.node", op.node || t("ui.none")],
        ["ui.op.invoked", time(op.invoked_at)],
        ["ui.op.answered", op.answered_at === null || op.answered_at === undefined ? "–" : time(op.answered_at)],
        ["ui.op.answer", op.answer ?? "–"],
      ]),
      el("p", { class: "plain" }, t(`client.${op.state}.means`)),
    ];
  }

  #link({ from, to }) {
    const cut = (a, b) => this.#lab.state.links.some((link) => link.from === a && link.to === b && link.cut);
    const under = this.#lab.state.packets.filter(
      (packet) => (packet.from === from && packet.to === to) || (packet.from === to && packet.to === from),
    );
    return [
      heading(t("ui.link.title", { from, to }), ""),
      actionButtons(this.#lab, { kind: "link", from, to }),
      facts([
        [`${from} → ${to}`, t(cut(from, to) ? "ui.link.is-cut" : "ui.link.is-whole")],
        [`${to} → ${from}`, t(cut(to, from) ? "ui.link.is-cut" : "ui.link.is-whole")],
      ]),
      under.length > 0
        ? el(
            "ul",
            { class: "chain" },
            under.map((packet) =>
              el(
                "li",
                {},
                el(
                  "button",
                  {
                    type: "button",
                    class: "link-like",
                    onclick: () => this.#lab.select({ kind: "packet", id: packet.id, packet }),
                  },
                  describePacket(packet),
                ),
              ),
            ),
          )
        : null,
    ];
  }
}

function tick(value) {
  return value === undefined || value === null ? "–" : value ? "✓" : "·";
}

function timerText(node, at) {
  if (!node.timer || node.timer.kind === "none") return t("ui.none");
  return t(`timer.${node.timer.kind}`, { left: time(Math.max(0, node.timer.due_at - at)) });
}

function heading(title, sentence) {
  return el("div", { class: "inspect-head" }, el("h3", {}, title), sentence ? el("p", {}, sentence) : null);
}

function facts(rows) {
  return el(
    "dl",
    { class: "facts" },
    rows
      .filter((row) => row && row[1] !== null && row[1] !== undefined)
      .map(([name, value]) => [el("dt", {}, has(name) ? t(name) : name), el("dd", {}, String(value))]),
  );
}

function table(caption, heads, rows) {
  return el(
    "div",
    { class: "table-scroll", tabindex: "0", role: "region", "aria-label": caption },
    el(
      "table",
      {},
      el("caption", {}, caption),
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
        rows.map((row) =>
          el(
            "tr",
            {},
            row.map((cell, at) => (at === 0 ? el("th", { scope: "row" }, String(cell)) : el("td", {}, String(cell)))),
          ),
        ),
      ),
    ),
  );
}
