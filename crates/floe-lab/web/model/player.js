// Lets the world's time run: one `seek` a frame at most, and none while the engine is still at work.

/** World time per time of the viewer. */
export const SPEEDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 4, 8];
export const DEFAULT_SPEED = 0.05;
/** A tab that slept must not leap through the world when it wakes. */
const LONGEST_FRAME_MS = 100;

export class Player {
  playing = false;
  speed = DEFAULT_SPEED;
  /** The moment that is drawn: between two states of the engine it runs ahead of `lab.state.at`. */
  now = 0;
  /** Playing stops here, if it is not null (the end of a tour's step). */
  stopAt = null;
  #lab;
  #last = 0;
  #listeners = new Set();
  #frames = new Set();

  constructor(lab) {
    this.#lab = lab;
    lab.on("state", () => {
      if (!this.playing || Math.abs(lab.state.at - this.now) > 50e6 * Math.max(1, this.speed)) this.now = lab.state.at;
    });
    lab.on("world", () => {
      this.now = lab.state.at;
      this.stopAt = null;
    });
    const frame = (time) => {
      this.#frame(time);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  /** Called when playing, speed or the stop changed; with `arrived` when playing ended at `stopAt`, `ended` when the world did. */
  onChange(listener) {
    this.#listeners.add(listener);
  }

  /** Called with the moment to draw, on each animation frame in which it may have moved. */
  onFrame(listener) {
    this.#frames.add(listener);
  }

  #changed(why) {
    for (const listener of this.#listeners) listener(why);
  }

  play(stopAt = null) {
    // A running cluster has only its present.
    if (this.#lab.state === null || this.#lab.engine.kind === "live") return;
    this.stopAt = stopAt;
    this.playing = true;
    this.now = this.#lab.state.at;
    this.#last = 0;
    this.#changed();
  }

  pause() {
    this.#halt();
  }

  #halt(why) {
    if (!this.playing) return;
    this.playing = false;
    this.stopAt = null;
    if (this.#lab.state) this.now = this.#lab.state.at;
    this.#changed(why);
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  setSpeed(speed) {
    this.speed = speed;
    this.#changed();
  }

  /** The next faster, or slower, speed. */
  shift(by) {
    const at = SPEEDS.findIndex((speed) => speed >= this.speed - 1e-9);
    this.setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, at + by))]);
  }

  #frame(time) {
    const lab = this.#lab;
    if (lab.state === null) return;
    if (this.playing) {
      const elapsed = this.#last === 0 ? 0 : Math.min(LONGEST_FRAME_MS, time - this.#last);
      this.#last = time;
      if (!lab.busy || lab.engine.kind === "native") this.now += elapsed * 1e6 * this.speed;
      const end = this.stopAt;
      if (end !== null && this.now >= end) this.now = end;
      if (!lab.busy) this.#advance(end);
    }
    for (const listener of this.#frames) listener(this.now, time);
  }

  async #advance(end) {
    const lab = this.#lab;
    if (lab.state.verdict?.holds === false || lab.state.end !== null) {
      this.#halt("ended");
      return;
    }
    const went = await lab.seek(this.now);
    if (!went || (end !== null && lab.state.at >= end)) {
      this.#halt(went && end !== null ? "arrived" : undefined);
    }
  }
}
