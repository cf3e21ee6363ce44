// The buttons that belong to a thing on the bench: what may be done to this node, this link, this message.

import { el } from "./dom.js";
import { t } from "../text/i18n.js";

/** Actions that make sense for what is selected, as `[key of its text, action]`. */
export function actionsFor(lab, selection) {
  const state = lab.state;
  switch (selection?.kind) {
    case "node": {
      const node = lab.node(selection.id);
      if (!node) return [];
      return nodeActions(state, node);
    }
    case "packet":
      return [["act.lose", { do: "lose", packet: selection.id }]];
    case "link":
      return linkActions(state, selection);
    default:
      return [];
  }
}

function nodeActions(state, node) {
  const others = state.nodes.map((other) => other.id).filter((id) => id !== node.id);
  const id = node.id;
  const isCut = state.links.some((link) => link.cut && (link.from === id || link.to === id));
  switch (node.status) {
    case "up": {
      const list = [
        ["act.crash", { do: "crash", node: id }],
        ["act.pause", { do: "pause", node: id }],
      ];
      if (node.role !== "leader") list.push(["act.campaign", { do: "campaign", node: id }]);
      if (node.role !== "leader" && node.member !== "learner") list.push(["act.transfer", { do: "transfer", to: id }]);
      list.push(isCut ? ["act.heal", { do: "heal" }] : ["act.isolate", { do: "cut", from: [id], to: others }]);
      list.push(
        node.disk && node.disk !== "ok"
          ? ["act.disk-ok", { do: "disk", node: id, mode: "ok" }]
          : ["act.disk-stall", { do: "disk", node: id, mode: "stall" }],
      );
      list.push(["act.snapshot", { do: "snapshot", node: id }], ["act.wipe", { do: "wipe", node: id }]);
      return list;
    }
    case "paused":
      return [
        ["act.resume", { do: "resume", node: id }],
        ["act.crash", { do: "crash", node: id }],
      ];
    case "down":
    case "wiped":
      return [["act.restart", { do: "restart", node: id }]];
    case "absent":
      return [
        ["act.add-learner", { do: "member", change: "add-learner", node: id }],
        ["act.add-voter", { do: "member", change: "add-voter", node: id }],
      ];
    default:
      return [];
  }
}

function linkActions(state, { from, to }) {
  const cut = (a, b) => state.links.some((link) => link.from === a && link.to === b && link.cut);
  const list = [];
  if (!cut(from, to) && !cut(to, from)) list.push(["act.cut", { do: "cut", from: [from], to: [to] }]);
  if (!cut(from, to)) list.push(["act.cut-one", { do: "cut", from: [from], to: [to], both: false }, { from, to }]);
  if (!cut(to, from))
    list.push(["act.cut-one", { do: "cut", from: [to], to: [from], both: false }, { from: to, to: from }]);
  if (state.links.some((link) => link.cut)) list.push(["act.heal", { do: "heal" }]);
  return list;
}

/** The buttons themselves; none in a view that is read-only. */
export function actionButtons(lab, selection) {
  if (lab.readOnly) return null;
  const list = actionsFor(lab, selection);
  if (list.length === 0) return null;
  return el(
    "div",
    { class: "buttons" },
    list.map(([key, action, values]) =>
      el(
        "button",
        {
          type: "button",
          "data-do": action.do,
          "data-key": `${key}-${JSON.stringify(values ?? "")}`,
          title: t(`${key}.means`),
          onclick: () => lab.act(action),
        },
        t(key, values),
      ),
    ),
  );
}
