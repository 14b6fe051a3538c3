// The box in which a text is put to models, the offer to load them, and what waits for a pause; a lab and two models
// side by side have the same.

import { make } from "./elements.js";

/** @import { Offer } from "./types" */

/** @param {string} id in front of the ids of the parts */
export function askParts(id) {
  const button = { type: "button", className: "ca-button" };
  const box = make("textarea", { id: `${id}-text`, rows: 2, spellcheck: false, autocomplete: "off" });
  const [status, note] = [make("p", { className: "ca-status" }), make("p", { className: "ca-note" })];
  const [load, cancel] = [make("button", button), make("button", button, "Cancel")];
  const progress = make("progress", { max: 1, "aria-label": "Loading the model" });
  const offer = make("div", { className: "ca-offer", hidden: true }, load, progress, cancel, note);
  const line = make("div", { className: "ca-line" }, status);
  const ask = make("div", { className: "ca-ask" }, make("label", { htmlFor: box.id }, "Text"), box, offer, line);
  const error = make("p", { className: "ca-error", role: "alert" });
  return { box, status, error, load, progress, cancel, note, offer, ask };
}

/**
 * A model that is loaded on a click: what it weighs and brings, then how far it is.
 *
 * @param {ReturnType<typeof askParts>} ui
 * @param {Offer | undefined} offer
 * @param {{ loading?: boolean, loaded?: number, brings: string }} how
 */
export function drawOfferIn(ui, offer, { loading = false, loaded = 0, brings }) {
  ui.offer.hidden = !offer;
  ui.load.hidden = loading;
  ui.progress.hidden = ui.cancel.hidden = !loading;
  ui.progress.value = loaded;
  if (!offer) return;
  const [size, more] = [offer.bytes, offer.runtime].map((bytes) => `${Math.round(bytes / 1e6)} MB`);
  ui.load.textContent = `Load ${offer.title}, ${size}`;
  ui.note.textContent = `${brings} (and ${more} for what runs it).`;
}

/**
 * Who answered, where, and in what time.
 *
 * @param {string} name
 * @param {string} device
 * @param {number} latency in ms
 */
export function statusOf(name, device, latency) {
  return [name, device, latency > 0 && `${Math.round(latency)} ms`].filter(Boolean).join(" · ");
}

/** What is done after a pause. */
export class Timers {
  /** @type {Record<string, ReturnType<typeof setTimeout>>} */
  running = {};

  /**
   * Do something after a pause, unless it is put off again.
   *
   * @param {string} what
   * @param {number} pause
   * @param {() => void} act
   */
  later(what, pause, act) {
    clearTimeout(this.running[what]);
    this.running[what] = setTimeout(() => {
      delete this.running[what];
      act();
    }, pause);
  }

  /** @param {string} what */
  waits(what) {
    return what in this.running;
  }

  stop() {
    for (const timer of Object.values(this.running)) clearTimeout(timer);
  }
}
