// Question: the text box of a view, the texts to choose from, the model that answers, and how old its answer is.

import { build, make, nextRow } from "./elements.js";

/** @import { Model } from "./types" */

const SOON = 400; // ms before a picture is called old
const QUOTED = 60; // characters of its text
const READING = "The model reads your text.";

export class Question {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  ageing = undefined;

  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.ui = build();
  }

  drawLive() {
    const { ui, model } = this;
    const latency = model.get("latency_ms");
    const facts = [model.get("model_name"), model.get("device"), latency > 0 && `${Math.round(latency)} ms`];
    ui.ask.hidden = !model.get("is_live");
    ui.status.textContent = facts.filter(Boolean).join(" · ");
    const busy = model.get("asking") || model.get("answered") !== model.get("text");
    ui.status.classList.toggle("ca-busy", busy);
    this.drawChoice();
    ui.error.textContent = model.get("error");
    ui.box.setAttribute("aria-invalid", String(Boolean(model.get("error"))));
    ui.gpuLabel.hidden = model.get("webgpu") === undefined;
    ui.gpu.checked = Boolean(model.get("webgpu"));
    ui.caption.textContent = model.get("caption");
    const mask = model.get("mask");
    ui.nextTitle.textContent = mask ? `Behind ${mask}` : "Next token";
    const rows = model.get("next_tokens").map((next) => nextRow(next, model.get("is_live"), mask));
    ui.predict.hidden = rows.length === 0;
    const focused = Array.from(ui.next.children).findIndex((row) => row.contains(document.activeElement));
    ui.next.replaceChildren(...rows);
    if (focused >= 0) rows[Math.min(focused, rows.length - 1)]?.querySelector("button")?.focus();
    this.drawOffer();
    this.drawSending();
  }

  /** The texts to choose from; what there is to see is said of the text as it was chosen, and of no other. */
  drawChoice() {
    const { ui, model } = this;
    const examples = model.get("examples");
    ui.choice.hidden = examples.length === 0;
    if (ui.pick.length !== examples.length) {
      ui.pick.replaceChildren(...examples.map(({ text }, k) => make("option", { value: k }, text)));
    }
    ui.pick.value = String(model.get("example"));
    const chosen = examples[model.get("example")];
    ui.look.textContent = chosen && chosen.text === model.get("shown") ? chosen.look : "";
  }

  /** A model that is loaded on a click: what it weighs, then how far it is. */
  drawOffer() {
    const { ui, model } = this;
    const [offer, loading, loaded] = [model.get("offer"), Boolean(model.get("loading")), model.get("loaded") ?? 0];
    const [held, offered] = [ui.offer.contains(document.activeElement), !ui.offer.hidden];
    ui.offer.hidden = !offer;
    ui.load.hidden = loading;
    ui.progress.hidden = ui.cancel.hidden = !loading;
    ui.progress.value = loaded;
    if (offer) {
      const [size, more] = [offer.bytes, offer.runtime].map((bytes) => `${Math.round(bytes / 1e6)} MB`);
      ui.load.textContent = `Load ${offer.title}, ${size}`;
      ui.note.textContent = `and what runs it, ${more}: once, your browser keeps both.`;
    }
    if (held) (offer ? [ui.load, ui.cancel][Number(loading)] : ui.box).focus();
    if (loading) ui.said.textContent = `Loading the model: ${25 * Math.floor(4 * loaded)} %`;
    else if (offer) ui.said.textContent = ui.said.textContent && "The model is not loaded.";
    else if (offered) ui.said.textContent = "The model is loaded.";
  }

  /** A model that a button asks: whether it waits, or reads. */
  drawSending() {
    const { ui, model } = this;
    const [asking, offer] = [model.get("asking"), model.get("offer")];
    ui.question.textContent = asking === undefined ? "Type: the model reads along" : "Type, then ask the model";
    ui.sending.hidden = asking === undefined || Boolean(offer);
    ui.send.textContent = asking ? "Reading …" : "Ask";
    if (asking && !offer) ui.said.textContent = READING;
    else if (ui.said.textContent === READING) ui.said.textContent = model.get("error") ? "" : "The model has answered.";
  }

  /** A picture that is not of the text in the box is dimmed, and says so, if its answer does not come soon. */
  drawAge() {
    const { ui, model } = this;
    const of = model.get("shown");
    const old = model.get("is_live") && ui.box.value !== of;
    if (!old) {
      clearTimeout(this.ageing);
      this.ageing = undefined;
      ui.root.classList.remove("ca-old");
      ui.stale.hidden = true;
      return;
    }
    const quoted = of.length > QUOTED ? `${of.slice(0, QUOTED)} …` : of;
    ui.stale.textContent = `Not your text yet: the picture is of “${quoted}”`;
    this.ageing ??= setTimeout(() => {
      ui.root.classList.add("ca-old");
      ui.stale.hidden = false;
    }, SOON);
  }
}
