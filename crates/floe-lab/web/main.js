// Sets up the bench: chooses the engine, opens the world that the address asks for, and connects views and keys.

import { Lab } from "./model/lab.js";
import { Player } from "./model/player.js";
import { readFragment, fragmentOf } from "./model/link.js";
import { EngineError } from "./engine/client.js";
import { WasmEngine } from "./engine/wasm.js";
import { NativeEngine } from "./engine/native.js";
import { LiveEngine } from "./engine/live.js";
import { TraceEngine } from "./engine/trace.js";
import { ClusterView } from "./view/cluster.js";
import { LogView } from "./view/log.js";
import { FeedView } from "./view/feed.js";
import { InspectorView } from "./view/inspector.js";
import { TimelineView } from "./view/timeline.js";
import { FaultsView } from "./view/faults.js";
import { VerdictView } from "./view/verdict.js";
import { TableView } from "./view/table.js";
import { ToursView } from "./view/tours.js";
import { SelectionBar } from "./view/selection.js";
import { Tabs } from "./view/tabs.js";
import { Notices } from "./view/notice.js";
import { settingsDialog } from "./view/settings.js";
import { shareDialog } from "./view/share.js";
import { helpDialog } from "./view/help.js";
import { listenToKeys } from "./view/keyboard.js";
import { setUpTheme } from "./view/theme.js";
import { currentLanguage, onLanguage, preferredLanguage, setLanguage, t } from "./text/i18n.js";

const LIVE_POLL_MS = 500;
/** A first world in which something is to be seen at once. */
const FIRST_WORLD = { version: 1, seed: 7, voters: 5 };

const at = (id) => document.getElementById(id);
const lab = new Lab();
const player = new Player(lab);
const notices = new Notices(at("notices"), at("live"), lab);
const tabs = new Tabs(at("tabs"), ["events", "inspect", "act", "table"]);
const cluster = new ClusterView(at("cluster"), lab, player);
const timeline = new TimelineView(at("timeline"), lab, player);
const logs = new LogView(at("logs"), lab);
new FeedView(at("panel-events"), lab);
new InspectorView(at("panel-inspect"), lab);
new FaultsView(at("panel-act"), lab);
new TableView(at("panel-table"), lab);
new VerdictView(at("verdict"), at("alarm"), lab, player);
new SelectionBar(at("selection"), lab, () => tabs.show("inspect"));
const tours = new ToursView(at("tour"), lab, player, (list) => {
  cluster.focus(list);
  logs.focus(list);
  for (const id of ["feed", "verdict", "timeline"]) {
    at({ feed: "panel-events", verdict: "verdict", timeline: "timeline" }[id]).classList.toggle(
      "lit",
      list?.includes(id) === true,
    );
  }
});
const query = new URLSearchParams(location.search);
let simulator = null;
let polling = null;

/** The engine that runs worlds: as WebAssembly in the page, or behind `floe lab`. */
async function simulatorEngine() {
  simulator ??=
    query.get("engine") === "native"
      ? new NativeEngine()
      : await WasmEngine.load(new URL("engine.wasm.gz", document.baseURI));
  return simulator;
}

async function openWorld(settings, time = 0) {
  try {
    stopLive();
    lab.use(await simulatorEngine());
    await lab.open(settings, time);
    showMode();
    at("loading").hidden = true;
    return true;
  } catch (error) {
    lab.report(error);
    at("loading").hidden = lab.state !== null;
    if (error instanceof EngineError && error.what === "no-engine") at("loading").hidden = true;
    return false;
  }
}

async function openTrace(text, name) {
  try {
    stopLive();
    player.pause();
    lab.use(new TraceEngine(text));
    await lab.open({ version: 1, actions: [] }, 0);
    await lab.seek(lab.engine.end);
    await lab.seek(0);
    at("loading").hidden = true;
    showMode(t("ui.trace", { name }));
    notices.show("info", t("ui.trace.limits"));
  } catch (error) {
    lab.report(error);
    if (simulator === null) await openWorld(FIRST_WORLD);
    else if (lab.engine?.kind === "trace" && lab.state === null) await openWorld(FIRST_WORLD);
  }
}

async function openLive() {
  lab.use(new LiveEngine());
  showMode(t("ui.live"));
  const poll = async () => {
    try {
      if (lab.state === null) await lab.open({ version: 1, actions: [] });
      else await lab.enqueue(() => lab.seekNow(0));
      notices.recovered();
      at("loading").hidden = true;
    } catch (error) {
      lab.report(error);
      if (error.what === "not-attached") {
        stopLive();
        await openWorld(FIRST_WORLD);
        return;
      }
    }
    polling = setTimeout(poll, LIVE_POLL_MS);
  };
  await poll();
}

function stopLive() {
  clearTimeout(polling);
  polling = null;
}

function showMode(text = "") {
  const mode = at("mode");
  mode.textContent = text || (lab.engine?.kind === "native" ? "native" : "");
  mode.hidden = mode.textContent === "";
  document.body.dataset.engine = lab.engine?.kind ?? "none";
}

/** Opens what the address asks for; a link that is broken says where, and a fresh world takes its place. */
async function openAddress() {
  let wanted;
  try {
    wanted = readFragment(location.hash);
  } catch (error) {
    lab.report(error);
    wanted = readFragment("");
  }
  if (wanted.language) setLanguage(wanted.language);
  if (query.get("live") === "1" || location.pathname.endsWith("/live")) return openLive();
  if (wanted.trace) return openTraceAt(wanted.trace);
  if (wanted.tour) {
    if (await openWorld(FIRST_WORLD)) await tours.start(wanted.tour, wanted.step);
    return undefined;
  }
  const opened = await openWorld(wanted.settings ?? FIRST_WORLD, wanted.at);
  if (opened && !wanted.settings) tours.welcome();
  if (!opened && wanted.settings) await openWorld(FIRST_WORLD);
  return undefined;
}

/** A trace that stands beside the page: only on the page's own origin. */
async function openTraceAt(path) {
  const url = new URL(path, document.baseURI);
  try {
    if (url.origin !== location.origin) throw new EngineError("bad-link", `trace=${path}`);
    const response = await fetch(url);
    if (!response.ok) throw new EngineError("unreachable", `${response.status} ${url.pathname}`);
    await openTrace(await response.text(), url.pathname.split("/").at(-1));
  } catch (error) {
    lab.report(error.what ? error : new EngineError("unreachable", error.message));
    if (lab.state === null) await openWorld(FIRST_WORLD);
  }
}

function selectedNode() {
  return lab.selection?.kind === "node" ? lab.node(lab.selection.id) : null;
}

function nextPacket() {
  player.pause();
  const packets = lab.state?.packets ?? [];
  if (packets.length === 0) return;
  const present = packets.findIndex((packet) => lab.selection?.kind === "packet" && packet.id === lab.selection.id);
  const packet = packets[(present + 1) % packets.length];
  lab.select({ kind: "packet", id: packet.id, packet });
}

const openSettings = () => settingsDialog(lab, openWorld);
const openShare = () => shareDialog(lab, notices, { openTrace, stage: at("cluster"), tour: tours.present });
const swapLanguage = () => setLanguage(currentLanguage() === "en" ? "zh" : "en");

function onNode(action) {
  const node = selectedNode();
  if (node && !lab.readOnly) lab.act(action(node));
}

listenToKeys({
  toggle: () => player.toggle(),
  step: () => {
    player.pause();
    lab.step(false);
  },
  back: () => {
    player.pause();
    lab.step(true);
  },
  later: () => {
    player.pause();
    lab.seek(lab.state.at + 10e6);
  },
  earlier: () => {
    player.pause();
    lab.seek(lab.state.at - 10e6);
  },
  faster: () => player.shift(1),
  slower: () => player.shift(-1),
  "next-role": () => timeline.jump((event) => event.kind === "role"),
  "next-commit": () => timeline.jump((event) => event.kind === "commit"),
  "next-violation": () => timeline.jump((event) => event.kind === "violated", 120e9),
  bookmark: () => lab.bookmark(),
  node: (event) => {
    if (lab.node(Number(event.key))) lab.select({ kind: "node", id: Number(event.key) });
  },
  crash: () =>
    onNode((node) => ({ do: node.status === "up" || node.status === "paused" ? "crash" : "restart", node: node.id })),
  pause: () => onNode((node) => ({ do: node.status === "paused" ? "resume" : "pause", node: node.id })),
  campaign: () => onNode((node) => ({ do: "campaign", node: node.id })),
  isolate: () =>
    onNode((node) => ({
      do: "cut",
      from: [node.id],
      to: lab.state.nodes.map((other) => other.id).filter((id) => id !== node.id),
    })),
  heal: () => {
    if (!lab.readOnly) lab.act({ do: "heal" });
  },
  set: () => {
    if (!lab.readOnly) lab.act({ do: "set", key: "x", value: 1 + (lab.state.clients.length % 9) });
  },
  message: nextPacket,
  lose: () => {
    if (lab.selection?.kind === "packet" && !lab.readOnly) lab.act({ do: "lose", packet: lab.selection.id });
  },
  undo: () => lab.undo(),
  redo: () => lab.redo(),
  tours: () => tours.menu(),
  "tour-next": () => tours.next(),
  world: openSettings,
  share: openShare,
  language: swapLanguage,
  nothing: () => {
    lab.select(null);
  },
  help: helpDialog,
});

at("open-tours").addEventListener("click", () => tours.menu());
at("open-world").addEventListener("click", openSettings);
at("share").addEventListener("click", openShare);
at("language").addEventListener("click", swapLanguage);
at("help").addEventListener("click", helpDialog);
setUpTheme(at("theme"));
lab.on("selection", () => {
  // What was chosen is shown, unless a tour's reader follows the events.
  if (lab.selection && lab.selection.kind !== "event") tabs.suggest("inspect");
  if (lab.selection?.kind === "event") tabs.show("inspect");
});
lab.on("error", (error) => {
  if (error.what === "engine-died" && lab.settings) lab.open(lab.settings).catch(() => {});
});
onLanguage(() => {
  document.title = t("ui.title");
});
setLanguage(preferredLanguage());
player.onChange((why) => {
  if (why === "ended" && (lab.state.end === "over" || lab.state.end === "limit"))
    notices.show("info", t(`ui.end.${lab.state.end}`));
});
addEventListener("hashchange", openAddress);
/** What the tests look at; the page itself does not. */
globalThis.floeLab = {
  lab,
  player,
  tours,
  openTrace,
  openWorld,
  link: () => fragmentOf({ settings: lab.settings, at: lab.state.at }),
};
openAddress();
