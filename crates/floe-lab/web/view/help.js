// The help: keys, what the shapes mean, and the words of the field.

import { el, svg } from "./dom.js";
import { openDialog } from "./dialog.js";
import { t, has } from "../text/i18n.js";
import { KEYS } from "./keyboard.js";
import { MESSAGE_KINDS, messageLook, messageShape, nodeShape } from "./glyphs.js";

const WORDS = [
  "consensus",
  "node",
  "term",
  "leader",
  "follower",
  "candidate",
  "log",
  "entry",
  "commit",
  "applied",
  "durable",
  "majority",
  "heartbeat",
  "election-timeout",
  "quorum",
  "pre-vote",
  "learner",
  "witness",
  "joint",
  "snapshot",
  "lease",
  "linearizable",
  "session",
  "invariant",
];

export function helpDialog() {
  openDialog("help", t("ui.help"), () => [
    el("h3", {}, t("ui.help.keys")),
    el(
      "dl",
      { class: "keys" },
      KEYS.map(({ shown, key }) => [
        el(
          "dt",
          {},
          shown.split(" ").map((part) => el("kbd", {}, part)),
        ),
        el("dd", {}, t(key)),
      ]),
    ),
    el("h3", {}, t("ui.help.nodes")),
    el(
      "ul",
      { class: "shapes" },
      [
        ["follower", {}],
        ["candidate", { role: "candidate" }],
        ["pre-candidate", { role: "pre-candidate" }],
        ["leader", { role: "leader" }],
        ["learner", { member: "learner" }],
        ["witness", { witness: true }],
      ].map(([name, node]) =>
        el(
          "li",
          {},
          sample(nodeShape(node, 12), `node look-${name === "witness" ? "follower" : name}`, "node-shape"),
          el("span", {}, t(`role.${name}`)),
        ),
      ),
    ),
    el("h3", {}, t("ui.help.messages")),
    el(
      "ul",
      { class: "shapes" },
      MESSAGE_KINDS.filter((kind) => has(`message.${kind}`)).map((kind) => {
        const look = messageLook(kind);
        return el(
          "li",
          {},
          sample(
            messageShape(look.shape, 10),
            `packet family-${look.family}${look.reply ? " reply" : ""}`,
            "",
            look.letter,
          ),
          el("span", {}, t(`message.${kind}`)),
        );
      }),
    ),
    el("p", { class: "plain" }, t("ui.help.replies")),
    el("h3", {}, t("ui.help.words")),
    el(
      "dl",
      { class: "words" },
      WORDS.map((word) => [el("dt", {}, t(`glossary.${word}.name`)), el("dd", {}, t(`glossary.${word}`))]),
    ),
  ]);
}

function sample(d, group, shape, letter) {
  return svg(
    "svg",
    { viewBox: "-18 -18 36 36", width: 32, height: 32, "aria-hidden": "true" },
    svg(
      "g",
      { class: group },
      svg("path", { class: shape, d }),
      letter ? svg("text", { class: "packet-letter", "text-anchor": "middle", dy: "0.36em" }, letter) : null,
    ),
  );
}
