// The keyboard of the bench: every key is listed here once, for the help and for the work.

import { dialogIsOpen } from "./dialog.js";

/** What each key does: what is shown in the help, the key of its text, and the name of the command. */
export const KEYS = [
  { shown: "Space", key: "keys.play", keys: [" "], command: "toggle" },
  { shown: "→", key: "keys.step", keys: ["ArrowRight"], command: "step" },
  { shown: "←", key: "keys.back", keys: ["ArrowLeft"], command: "back" },
  { shown: "⇧ →", key: "keys.later", keys: ["Shift+ArrowRight"], command: "later" },
  { shown: "⇧ ←", key: "keys.earlier", keys: ["Shift+ArrowLeft"], command: "earlier" },
  { shown: "+", key: "keys.faster", keys: ["+", "Shift++", "="], command: "faster" },
  { shown: "-", key: "keys.slower", keys: ["-"], command: "slower" },
  { shown: "r", key: "keys.role", keys: ["r"], command: "next-role" },
  { shown: "c", key: "keys.commit", keys: ["c"], command: "next-commit" },
  { shown: "v", key: "keys.violation", keys: ["v"], command: "next-violation" },
  { shown: "b", key: "keys.bookmark", keys: ["b"], command: "bookmark" },
  { shown: "1 … 9", key: "keys.node", keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9"], command: "node" },
  { shown: "x", key: "keys.crash", keys: ["x"], command: "crash" },
  { shown: "p", key: "keys.pause", keys: ["p"], command: "pause" },
  { shown: "e", key: "keys.campaign", keys: ["e"], command: "campaign" },
  { shown: "i", key: "keys.isolate", keys: ["i"], command: "isolate" },
  { shown: "h", key: "keys.heal", keys: ["h"], command: "heal" },
  { shown: "s", key: "keys.set", keys: ["s"], command: "set" },
  { shown: "m", key: "keys.message", keys: ["m"], command: "message" },
  { shown: "d", key: "keys.lose", keys: ["d", "Delete"], command: "lose" },
  { shown: "u", key: "keys.undo", keys: ["u", "Ctrl+z"], command: "undo" },
  { shown: "⇧ u", key: "keys.redo", keys: ["Shift+U", "Ctrl+Shift+Z", "Ctrl+y"], command: "redo" },
  { shown: "t", key: "keys.tours", keys: ["t"], command: "tours" },
  { shown: "n", key: "keys.tour-next", keys: ["n"], command: "tour-next" },
  { shown: "w", key: "keys.world", keys: ["w"], command: "world" },
  { shown: "a", key: "keys.share", keys: ["a"], command: "share" },
  { shown: "l", key: "keys.language", keys: ["l"], command: "language" },
  { shown: "Esc", key: "keys.nothing", keys: ["Escape"], command: "nothing" },
  { shown: "?", key: "keys.help", keys: ["?", "Shift+?"], command: "help" },
];

const COMMANDS = new Map(KEYS.flatMap(({ keys, command }) => keys.map((key) => [key, command])));

/** Runs `commands[NAME](event)` for each key, unless somebody is typing or a dialog is open. */
export function listenToKeys(commands) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.altKey || event.metaKey || dialogIsOpen()) return;
    const target = event.target;
    const typing = target.matches?.(
      "input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]",
    );
    if (typing && event.key !== "Escape") return;
    const name = `${event.ctrlKey ? "Ctrl+" : ""}${event.shiftKey ? "Shift+" : ""}${event.key}`;
    const command = COMMANDS.get(name);
    if (!command) return;
    // Space and the arrow keys belong to what has the focus.
    if (event.key === " " && target.closest?.("button, summary, a, [role=button], [role=tab]")) return;
    if (event.key.startsWith("Arrow") && target.closest?.("[role=grid], [role=tablist], .table-scroll")) return;
    event.preventDefault();
    commands[command]?.(event);
  });
}
