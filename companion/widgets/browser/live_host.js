// The host of a live view in the book: its model is the page's own, loaded at the first key or, if large, on a click. It
// answers each key or, if it is slow, when it is asked.

import { Cancelled } from "./live.js";
import { PRECOMPUTED } from "./static_host.js";

/** @import { LiveModels, Loading } from "./live.js" */
/** @import { State } from "../frontend/types" */
/** @import { Saved, StaticModel } from "./static_host.js" */

/** @param {number} bytes */
export const inMB = (bytes) => Math.round(bytes / 1e6);

/**
 * Run the page's own model on the text, and show its answer, or why there is none.
 *
 * @param {StaticModel<State>} model
 * @param {LiveModels} models
 * @param {string} name
 */
export async function answer(model, models, name) {
  const [text, example] = [model.get("text"), model.get("example")];
  const { title } = models.catalogue.models[name];
  const before = { device: model.get("device"), latency_ms: model.get("latency_ms") };
  /** @type {Loading} */
  const loading = ({ got, all }) => {
    const device = `loading ${title}: ${inMB(got)} of ${inMB(all)} MB`;
    model.update({ device, latency_ms: 0, loaded: Math.min(1, got / all) });
  };
  const waits = model.get("asking") !== undefined;
  if (waits) model.update({ asking: true, error: "" });
  const rest = { answered: text, loading: false, loaded: undefined, asking: waits ? false : undefined };
  try {
    const result = await models.answer(name, text, model.get("webgpu") === true, loading);
    const shown = model.get("shown");
    const overtaken = shown === model.get("text") && shown !== text; // by a text that has a picture already
    const source = model.get("example") === example ? before : { device: PRECOMPUTED, latency_ms: 0 };
    const answered = overtaken ? { ...rest, ...source, answered: shown } : { ...result, ...rest, shown: text };
    model.update({ ...answered, error: "", offer: undefined });
  } catch (problem) {
    const error = problem instanceof Cancelled ? "" : /** @type {Error} */ (problem).message;
    model.update({ ...before, ...rest, error, offer: models.ready.has(name) ? undefined : model.get("offer") });
  }
  if (model.get("answered") !== model.get("text")) await follow(model, models, name); // typed meanwhile
}

/**
 * Answer a new text, or leave it unanswered while its model waits for a click, or to be asked.
 *
 * @param {StaticModel<State>} model
 * @param {LiveModels} models
 * @param {string} name
 */
export async function follow(model, models, name) {
  const offer = models.ready.has(name) ? undefined : model.get("offer");
  if (offer || model.get("asking") === false) model.update({ answered: model.get("text"), offer });
  else await answer(model, models, name);
}

/** Whether a graphics card answers; a browser may have the interface and no card behind it. */
async function adapter() {
  try {
    return Boolean(await navigator.gpu?.requestAdapter());
  } catch {
    return false;
  }
}

/**
 * Let a model of the page answer a view; return what to do when the reader has changed something.
 *
 * @param {StaticModel<State>} model
 * @param {LiveModels} models
 * @param {string} name
 * @returns {Promise<Saved>}
 */
export async function connect(model, models, name) {
  const entry = models.catalogue.models[name];
  if (!entry) return () => {}; // the book was built without it
  const offer = await models.offer(name);
  const asking = entry.asked ? false : undefined;
  model.update({ is_live: true, offer, asking });
  adapter().then((answers) => answers && model.update({ webgpu: false }));
  return (changed) => {
    if (changed.has("loading") && !model.get("loading")) models.cancel(name);
    else if (changed.has("loading") || changed.has("asking")) answer(model, models, name);
    else if (changed.has("text") || changed.has("webgpu")) follow(model, models, name);
  };
}
