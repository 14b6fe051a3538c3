// The static host: gives the front end the `model` that a kernel would, over state inlined in the page.

/** @import { LiveModels } from "./live.js" */
/** @import { Model, State } from "../frontend/types" */
/** @typedef {(changed: Set<keyof State>) => void} Saved */
/**
 * What a page of the book can do that a page of its own cannot: answer with a model, load a picture from a file.
 *
 * @typedef {object} Book
 * @property {LiveModels} models
 * @property {(model: StaticModel<State>, name: string) => Promise<Saved>} connect an attention view to a model
 * @property {(file: string) => Promise<Record<string, any>>} picture
 */

/** Where the pictures come from that the page was built with. */
export const PRECOMPUTED = "precomputed";

const UNPACK = "This browser cannot unpack the picture (no DecompressionStream); the table shows it in words.";
const NO_DRAWING = "The widget could not be drawn here; what it shows stands above in words.";
/**
 * What draws each widget, by its name. In a page of the book it is handed the book too, and in a figure with a model its
 * name.
 *
 * @typedef {Record<string, (context: { model: any, el: HTMLElement, book: Book | null, name: string }) => unknown>} Widgets
 */

/**
 * What a kernel's host hands to `render`: get, set, save_changes, on, off.
 *
 * @template {object} Traits
 * @implements {Model<Traits>}
 */
export class StaticModel {
  /** @type {Map<string, (() => void)[]>} */
  listeners = new Map();
  /** @type {Set<keyof Traits>} */
  changed = new Set();

  /**
   * @param {Traits} state
   * @param {(changed: Set<keyof Traits>) => void} onSave
   */
  constructor(state, onSave) {
    this.state = state;
    this.onSave = onSave;
  }

  /**
   * @template {keyof Traits} Name
   * @param {Name} name
   */
  get(name) {
    return this.state[name];
  }

  /**
   * @template {keyof Traits} Name
   * @param {Name} name
   * @param {Traits[Name]} value
   */
  set(name, value) {
    if (this.state[name] === value) return;
    this.state[name] = value;
    this.changed.add(name);
    this.tell(name);
  }

  /** @param {keyof Traits} name */
  tell(name) {
    for (const listener of this.listeners.get(`change:${String(name)}`) ?? []) listener();
  }

  save_changes() {
    const changed = this.changed;
    this.changed = new Set();
    this.onSave(changed);
  }

  /**
   * Take over a whole answer before anyone hears of a part of it.
   *
   * @param {Partial<Traits>} values
   */
  update(values) {
    Object.assign(this.state, values);
    for (const name of Object.keys(values)) this.tell(/** @type {keyof Traits} */ (name));
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
 * Show the picture of a chosen text, which lies in the page, or in a file of its own beside the page's scripts.
 *
 * @param {StaticModel<State>} model
 * @param {HTMLScriptElement | undefined} source
 * @param {Book | null} book
 */
export async function choose(model, source, book) {
  const chosen = model.get("example");
  try {
    const { file } = source?.dataset ?? {};
    const packed = file && book ? await book.picture(file) : JSON.parse(source?.textContent ?? "");
    const attention = await unpack(packed.attention);
    if (model.get("example") !== chosen) return; // another one was chosen meanwhile
    model.update({ device: PRECOMPUTED, latency_ms: 0, ...packed, attention });
  } catch (problem) {
    model.update({ error: `The picture could not be loaded (${/** @type {Error} */ (problem).message}).` });
  }
}

/**
 * Draw a figure over the words that it holds; they come back where it cannot be drawn.
 *
 * @param {HTMLElement} figure
 * @param {Widgets} widgets
 * @param {Book | null} book
 */
export async function mount(figure, widgets, book) {
  const words = [...figure.childNodes];
  const say = (/** @type {string} */ textContent) =>
    figure.append(Object.assign(document.createElement("p"), { textContent }));
  if (!("DecompressionStream" in window)) {
    say(UNPACK);
    return;
  }
  try {
    await draw(figure, widgets, book);
  } catch (problem) {
    console.error(problem); // a state of another version, or a part of the script that did not come
    figure.replaceChildren(...words);
    say(NO_DRAWING);
  }
}

/**
 * @param {HTMLElement} figure
 * @param {Widgets} widgets
 * @param {Book | null} book
 */
async function draw(figure, widgets, book) {
  const { widget = "", model: name = "" } = figure.dataset;
  const source = figure.querySelector('script[type="application/json"]')?.textContent ?? "";
  const packed = JSON.parse(source);
  /** @type {State} */
  const state = { error: "", latency_ms: 0, ...packed };
  if ("attention" in packed) Object.assign(state, { attention: await unpack(packed.attention), is_live: false });
  const pictures = /** @type {HTMLScriptElement[]} */ ([...figure.querySelectorAll("script[data-picture]")]);
  /** @type {Saved} */
  let saved = () => {};
  const model = new StaticModel(state, (changed) => {
    if (changed.has("example")) choose(model, pictures[state.example], book);
    else saved(changed);
  });
  if (name && book && widget === "attention_view") saved = await book.connect(model, name);
  figure.replaceChildren();
  await widgets[widget]({ model, el: figure, book, name });
}

/**
 * Bring every figure of the page to life, once all of it is there, and all of its deferred scripts.
 *
 * @param {Widgets} widgets that the page may hold
 * @param {Book | null} book that the page is of, if it is of one
 */
export function mountAll(widgets, book) {
  const start = () => {
    for (const figure of document.querySelectorAll("figure.companion-widget")) {
      mount(/** @type {HTMLElement} */ (figure), widgets, book);
    }
  };
  if (document.readyState === "complete") start();
  else document.addEventListener("DOMContentLoaded", start);
}
