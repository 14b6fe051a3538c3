// The static host: gives the front end the `model` that a kernel would, over state inlined in the page.

import { render } from "../frontend/attention_view.js";

/** @import { Model, State } from "../frontend/types" */
/** @import { LiveModels } from "./live.js" */

const UNPACK = "This browser cannot unpack the picture (no DecompressionStream); the table shows it in words.";
/** @type {Record<string, typeof render>} */
const WIDGETS = { attention_view: render };

/**
 * What a kernel's host hands to `render`: get, set, save_changes, on, off.
 *
 * @implements {Model}
 */
export class StaticModel {
  /** @type {Map<string, (() => void)[]>} */
  listeners = new Map();
  /** @type {Set<keyof State>} */
  changed = new Set();

  /**
   * @param {State} state
   * @param {(changed: Set<keyof State>) => void} onSave
   */
  constructor(state, onSave) {
    this.state = state;
    this.onSave = onSave;
  }

  /**
   * @template {keyof State} Name
   * @param {Name} name
   */
  get(name) {
    return this.state[name];
  }

  /**
   * @template {keyof State} Name
   * @param {Name} name
   * @param {State[Name]} value
   */
  set(name, value) {
    if (this.state[name] === value) return;
    this.state[name] = value;
    this.changed.add(name);
    this.tell(name);
  }

  /** @param {string} name */
  tell(name) {
    for (const listener of this.listeners.get(`change:${name}`) ?? []) listener();
  }

  save_changes() {
    const changed = this.changed;
    this.changed = new Set();
    this.onSave(changed);
  }

  /**
   * Take over a whole answer before anyone hears of a part of it.
   *
   * @param {Partial<State>} values
   */
  update(values) {
    Object.assign(this.state, values);
    for (const name of Object.keys(values)) this.tell(name);
  }

  /**
   * @param {string} event
   * @param {() => void} listener
   */
  on(event, listener) {
    this.listeners.set(event, [...(this.listeners.get(event) ?? []), listener]);
  }

  /**
   * @param {string} event
   * @param {() => void} listener
   */
  off(event, listener) {
    const others = (this.listeners.get(event) ?? []).filter((other) => other !== listener);
    this.listeners.set(event, others);
  }
}

/**
 * The bytes behind base64 and zlib.
 *
 * @param {string} text
 */
export async function unpack(text) {
  const bytes = Uint8Array.fromBase64?.(text) ?? Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new DataView(await new Response(stream).arrayBuffer());
}

/**
 * Run the page's own model on the text, and show its answer, or why there is none.
 *
 * @param {StaticModel} model
 * @param {LiveModels} models
 * @param {string} name
 */
export async function answer(model, models, name) {
  const text = model.get("text");
  const before = { device: model.get("device"), latency_ms: model.get("latency_ms") };
  try {
    const loading = (/** @type {string} */ device) => model.update({ device, latency_ms: 0 });
    const result = await models.answer(name, text, model.get("webgpu") === true, loading);
    model.update({ ...result, error: "", answered: text });
  } catch (problem) {
    model.update({ ...before, error: /** @type {Error} */ (problem).message, answered: text });
  }
}

/**
 * @param {HTMLElement} figure
 * @param {LiveModels | null} models
 */
async function mount(figure, models) {
  if (!("DecompressionStream" in window)) {
    figure.append(Object.assign(document.createElement("p"), { textContent: UNPACK }));
    return;
  }
  const { widget = "", model: name } = figure.dataset;
  const source = figure.querySelector('script[type="application/json"]')?.textContent ?? "";
  const packed = JSON.parse(source);
  /** @type {State} */
  const state = { error: "", latency_ms: 0, ...packed, attention: await unpack(packed.attention) };
  const live = name && models;
  state.is_live = Boolean(live);
  if (live && "gpu" in navigator) state.webgpu = false;
  const model = new StaticModel(state, (changed) => {
    if (live && (changed.has("text") || changed.has("webgpu"))) answer(model, models, name);
  });
  figure.replaceChildren();
  WIDGETS[widget]({ model, el: figure });
}

/**
 * Bring every figure of the page to life, once all of it is there.
 *
 * @param {LiveModels | null} models that the page may run, if it may run any
 */
export function mountAll(models) {
  const start = () => {
    for (const figure of document.querySelectorAll("figure.companion-widget")) {
      mount(/** @type {HTMLElement} */ (figure), models);
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
}
