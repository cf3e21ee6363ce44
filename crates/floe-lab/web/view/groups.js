// A world of many groups: there is no room for their logs. Who leads which group, in which term, and who sleeps.

import { el } from "./dom.js";
import { t } from "../text/i18n.js";

/** Terms take so many hues in turn (`--hue-0` … of the style). */
const HUES = 8;

/** The hue of a term; the first term has the first one. */
export function hue(term) {
  return (term + HUES - 1) % HUES;
}

/** Draws one row a machine, one column a group. */
export function drawGroups(grid, nodes) {
  const all = new Set(nodes.flatMap((node) => (node.groups ?? []).map((group) => group.group)));
  const groups = [...all].sort((a, b) => a - b);
  grid.style.setProperty("--columns", String(Math.max(1, groups.length)));
  const head = (name, text) => el("div", { role: "columnheader", class: name }, text);
  const header = el(
    "div",
    { role: "row", class: "log-row log-head" },
    head("log-name", t("ui.group")),
    groups.map((group) => head("log-index", String(group))),
  );
  const rows = nodes.map((node) => {
    const mine = new Map((node.groups ?? []).map((group) => [group.group, group]));
    const name = el(
      "div",
      { role: "rowheader", class: "log-name" },
      el("b", {}, String(node.id)),
      el("span", {}, node.status === "up" ? "" : t(`status.${node.status}`)),
    );
    const cells = groups.map((id) => cell(node, mine.get(id)));
    return el("div", { role: "row", class: "log-row", "data-node": node.id }, name, cells);
  });
  grid.replaceChildren(header, ...rows);
}

function cell(node, group) {
  if (!group) return el("div", { role: "gridcell", class: "cell none" });
  const role = group.role ?? "none";
  const label = t("ui.group.label", {
    group: group.group,
    node: node.id,
    role: t(`role.${role}`),
    term: group.term,
    commit: group.commit,
    asleep: group.asleep ? t("ui.group.asleep") : "",
  });
  const sign = role === "leader" ? "★" : group.asleep ? "z" : "·";
  return el(
    "div",
    {
      role: "gridcell",
      class: `cell group-${role} hue-${hue(group.term)}${group.asleep ? " asleep" : ""}`,
      title: label,
    },
    el("span", { class: "cell-term", "aria-hidden": "true" }, String(group.term)),
    el("span", { class: "cell-text", "aria-hidden": "true" }, sign),
    el("span", { class: "unseen" }, label),
  );
}
