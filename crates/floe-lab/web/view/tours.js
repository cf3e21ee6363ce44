// The runner of tours: a menu, and a card that tells each step, plays it, checks its claims, and lets the viewer take over.

import { el, put } from "./dom.js";
import { openDialog } from "./dialog.js";
import { t, has, onLanguage } from "../text/i18n.js";
import { TOURS } from "../tours/index.js";
import { checkClaims, doStep, goTo } from "../tour/run.js";

const TOUR_SPEED = 0.05;

export class ToursView {
  #lab;
  #player;
  #card;
  #focus;
  #tour = null;
  #number = 0;
  /** What the engine said about the present step: where it begins and ends, its claims. */
  #done = null;
  #status = "idle";
  #error = "";
  #fresh = false;

  /** `focus(list)` lights things up. */
  constructor(card, lab, player, focus) {
    this.#card = card;
    this.#lab = lab;
    this.#player = player;
    this.#focus = focus;
    lab.on("acted", () => this.#takenOver());
    lab.on("world", () => {
      if (this.#status !== "loading") this.leave();
      if (lab.readOnly) this.#begun();
    });
    lab.on("acted", () => this.#begun());
    lab.on("stepped", () => this.#begun());
    player.onChange((what) => {
      if (player.playing) this.#begun();
      if (this.#tour && what === "arrived" && this.#status === "playing") this.#set("done");
      else if (this.#tour && this.#status === "playing" && !player.playing) this.#set("paused");
      else if (this.#tour && this.#status === "paused" && player.playing && player.stopAt === null) this.#resume();
    });
    onLanguage(() => this.#draw());
  }

  get present() {
    return this.#tour ? { tour: this.#tour.id, step: this.#number, status: this.#status } : null;
  }

  /** The list of all tours, by subject. */
  menu() {
    const groups = [...new Set(TOURS.map((tour) => tour.group))];
    openDialog("tours", t("ui.tours"), (close) => [
      el("p", { class: "plain" }, t("ui.tours.about")),
      groups.map((group) =>
        el(
          "section",
          { class: "tour-group" },
          el("h3", {}, t(`tour.group.${group}`)),
          el(
            "ul",
            {},
            TOURS.filter((tour) => tour.group === group).map((tour) =>
              el(
                "li",
                {},
                el(
                  "button",
                  {
                    type: "button",
                    class: "tour-choice",
                    "data-tour": tour.id,
                    onclick: () => {
                      close();
                      this.start(tour.id);
                    },
                  },
                  el("b", {}, t(`tour.${tour.id}.title`)),
                  el("span", {}, t(`tour.${tour.id}.about`)),
                ),
              ),
            ),
          ),
        ),
      ),
    ]);
  }

  /** Begins a tour, at one of its steps. */
  async start(id, step = 0) {
    const entry = TOURS.find((tour) => tour.id === id);
    if (!entry) {
      this.#lab.report({ what: "no-such-tour", detail: id });
      return;
    }
    try {
      this.#tour = (await entry.load()).default;
    } catch (error) {
      this.#lab.report({ what: "no-such-tour", detail: `${id}: ${error.message}` });
      return;
    }
    this.#fresh = false;
    document.body.classList.add("on-tour");
    await this.#go(Math.min(step, this.#tour.steps.length - 1), true);
  }

  leave() {
    if (!this.#tour) return;
    this.#tour = null;
    this.#set("idle");
    this.#focus([]);
    document.body.classList.remove("on-tour");
  }

  /** Goes to a step: the engine does it, then the page plays it from its beginning. */
  async #go(number, fresh = false) {
    const tour = this.#tour;
    this.#player.pause();
    this.#number = number;
    this.#error = "";
    this.#set("loading");
    const continues = !fresh && this.#done !== null && !this.#done.left && number === this.#done.number + 1;
    let done = null;
    try {
      await this.#lab.enqueue(async () => {
        const { engine } = this.#lab;
        if (continues) {
          // The world may stand anywhere within the step before; the next one begins at its end.
          if (!tour.steps[number].settings) await engine.call({ call: "seek", at: this.#done.end });
          done = await doStep(engine, tour, number);
        } else done = await goTo(engine, tour, number);
        done.number = number;
        done.claims = await checkClaims(engine, tour, number, done);
        await this.#lab.adoptNow(
          done.state,
          number === 0 || tour.steps[number].settings || !continues ? "world" : "same-world",
        );
        await this.#lab.seekNow(done.begin.at);
      });
    } catch (error) {
      if (this.#tour === tour) {
        this.#error = error.message;
        this.#done = null;
        this.#set("failed");
      }
      return;
    }
    if (this.#tour !== tour) return;
    this.#done = done;
    this.#focus(tour.steps[number].focus);
    this.#player.setSpeed(tour.steps[number].speed ?? TOUR_SPEED);
    if (done.end > done.begin.at) {
      this.#set("playing");
      this.#player.play(done.end);
    } else this.#set("done");
  }

  #resume() {
    if (this.#lab.state.at >= this.#done?.end) return;
    this.#player.stopAt = this.#done.end;
    this.#set("playing");
  }

  /** The rest of a step at once, or the next one. */
  async next() {
    if (!this.#tour || this.#status === "loading") return;
    if (this.#status === "left" || this.#status === "failed") {
      await this.#go(this.#number, true);
      return;
    }
    if (this.#status === "playing" || this.#status === "paused") {
      this.#player.pause();
      await this.#lab.seek(this.#done.end);
      this.#set("done");
      return;
    }
    if (this.#number + 1 < this.#tour.steps.length) await this.#go(this.#number + 1);
  }

  async back() {
    if (this.#tour && this.#number > 0) await this.#go(this.#number - 1, true);
  }

  async again() {
    if (this.#tour) await this.#go(this.#number, true);
  }

  #takenOver() {
    if (!this.#tour || this.#status === "loading") return;
    if (this.#done) this.#done.left = true;
    this.#set("left");
  }

  #set(status) {
    this.#status = status;
    this.#draw();
  }

  #draw() {
    this.#card.dataset.status = this.#status;
    if (this.#tour === null) {
      this.#drawIntro();
      return;
    }
    this.#card.hidden = false;
    const tour = this.#tour;
    const step = tour.steps[this.#number];
    const last = this.#number + 1 === tour.steps.length;
    const pending = this.#status === "playing" || this.#status === "paused";
    const nextKey =
      this.#status === "left" || this.#status === "failed"
        ? "ui.tour.return"
        : pending
          ? "ui.tour.skip"
          : "ui.tour.next";
    const focused = this.#card.contains(document.activeElement) ? document.activeElement.id : null;
    this.#card.dataset.tour = tour.id;
    this.#card.dataset.step = String(this.#number + 1);
    put(
      this.#card,
      el(
        "div",
        { class: "tour-head" },
        el("h2", {}, t(`tour.${tour.id}.title`)),
        el("span", { class: "tour-count" }, `${this.#number + 1} / ${tour.steps.length}`),
        el(
          "button",
          {
            type: "button",
            class: "icon",
            id: "tour-leave",
            "aria-label": t("ui.tour.leave"),
            title: t("ui.tour.leave"),
            onclick: () => this.leave(),
          },
          "✕",
        ),
      ),
      progress(this.#number + 1, tour.steps.length),
      el("div", { class: "tour-text", "aria-live": "polite" }, paragraphs(t(step.text))),
      this.#status === "left" ? el("p", { class: "tour-note" }, t("ui.tour.left")) : null,
      this.#status === "failed"
        ? el("p", { class: "tour-note bad", role: "alert" }, t("ui.tour.failed", { detail: this.#error }))
        : null,
      this.#status === "done" && this.#done?.claims.length > 0 ? this.#claims() : null,
      el(
        "div",
        { class: "buttons tour-buttons" },
        el(
          "button",
          { type: "button", id: "tour-back", disabled: this.#number === 0, onclick: () => this.back() },
          t("ui.tour.back"),
        ),
        el("button", { type: "button", id: "tour-again", onclick: () => this.again() }, t("ui.tour.again")),
        last && this.#status === "done"
          ? el(
              "button",
              {
                type: "button",
                class: "primary",
                id: "tour-next",
                onclick: () => {
                  this.leave();
                  this.menu();
                },
              },
              t("ui.tour.end"),
            )
          : el(
              "button",
              {
                type: "button",
                class: "primary",
                id: "tour-next",
                disabled: this.#status === "loading",
                onclick: () => this.next(),
              },
              t(nextKey),
            ),
      ),
    );
    if (focused) (document.getElementById(focused) ?? this.#card.querySelector("#tour-next")).focus();
  }

  /** A word of welcome, as long as nothing has been done yet. */
  #drawIntro() {
    delete this.#card.dataset.tour;
    delete this.#card.dataset.step;
    this.#card.hidden = !this.#fresh;
    if (!this.#fresh) {
      this.#card.replaceChildren();
      return;
    }
    this.#card.replaceChildren(
      el("h2", {}, t("ui.intro.title")),
      el("div", { class: "tour-text intro" }, paragraphs(t("ui.intro.text"))),
      el(
        "div",
        { class: "buttons tour-buttons" },
        el("button", { type: "button", id: "intro-play", onclick: () => this.#player.play() }, t("ui.intro.play")),
        el(
          "button",
          {
            type: "button",
            class: "primary",
            id: "intro-story",
            disabled: TOURS.length === 0,
            onclick: () => this.start(TOURS[0].id),
          },
          t("ui.intro.story"),
        ),
      ),
    );
  }

  /** Shows the word of welcome until the viewer has begun. */
  welcome() {
    this.#fresh = true;
    this.#draw();
  }

  #begun() {
    if (!this.#fresh) return;
    this.#fresh = false;
    this.#draw();
  }

  /** What the step claims, held against the engine: a tour that tells something else than what happened says so itself. */
  #claims() {
    const { claims } = this.#done;
    const good = claims.filter((one) => one.holds).length;
    const all = good === claims.length;
    return el(
      "details",
      { class: `claims ${all ? "good" : "bad"}`, open: !all, "data-claims": all ? "hold" : "fail" },
      el("summary", {}, t(all ? "ui.tour.claims" : "ui.tour.claims.bad", { good, count: claims.length })),
      el(
        "ul",
        {},
        claims.map((one) => el("li", {}, `${one.holds ? "✓" : "✗"} `, el("code", {}, JSON.stringify(one.claim)))),
      ),
    );
  }
}

function progress(value, max) {
  return el("progress", { value: String(value), max: String(max), "aria-label": t("ui.tour.progress") });
}

/** The small markup of a tour's text: `**strong**`, `` `code` ``, `[word](glossary:KEY)`, blank lines between paragraphs. */
export function paragraphs(source) {
  return source.split(/\n\s*\n/).map((paragraph) => el("p", {}, inline(paragraph)));
}

function inline(source) {
  const parts = [];
  const pattern = /\*\*(.+?)\*\*|`(.+?)`|\[(.+?)\]\(glossary:([\w-]+)\)/g;
  let at = 0;
  for (const match of source.matchAll(pattern)) {
    parts.push(source.slice(at, match.index));
    at = match.index + match[0].length;
    if (match[1]) parts.push(el("strong", {}, match[1]));
    else if (match[2]) parts.push(el("code", {}, match[2]));
    else parts.push(glossaryWord(match[3], match[4]));
  }
  parts.push(source.slice(at));
  return parts;
}

/** A word that explains itself when asked. */
function glossaryWord(word, key) {
  const known = has(`glossary.${key}`);
  if (!known) return word;
  const note = el("span", { class: "word-note", role: "note", hidden: true }, t(`glossary.${key}`));
  const button = el(
    "button",
    {
      type: "button",
      class: "word",
      "aria-expanded": "false",
      onclick: () => {
        note.hidden = !note.hidden;
        button.setAttribute("aria-expanded", String(!note.hidden));
      },
    },
    word,
  );
  return [button, note];
}
