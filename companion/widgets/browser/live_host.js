// The host of a live view in the book: its model is the page's own, loaded at the first key or, if large, on a click.

import { Cancelled } from "./live.js";

/** @import { LiveModels, Loading } from "./live.js" */
/** @import { Saved, StaticModel } from "./static_host.js" */

const LARGE = 10_000_000; // bytes that are not loaded unasked

/** @param {number} bytes */
const inMB = (bytes) => Math.round(bytes / 1e6);

/**
 * Run the page's own model on the text, and show its answer, or why there is none.
 *
 * @param {StaticModel} model
 * @param {LiveModels} models
 * @param {string} name
 */
export async function answer(model, models, name) {
  const text = model.get("text");
  const { title } = models.catalogue.models[name];
  const before = { device: model.get("device"), latency_ms: model.get("latency_ms") };
  /** @type {Loading} */
  const loading = ({ got, all }) => {
    const device = `loading ${title}: ${inMB(got)} of ${inMB(all)} MB`;
    model.update({ device, latency_ms: 0, loaded: Math.min(1, got / all) });
  };
  const rest = { answered: text, loading: false, loaded: undefined };
  try {
    const result = await models.answer(name, text, model.get("webgpu") === true, loading);
    model.update({ ...result, ...rest, error: "", shown: text, offer: undefined });
  } catch (problem) {
    const error = problem instanceof Cancelled ? "" : /** @type {Error} */ (problem).message;
    model.update({ ...before, ...rest, error, offer: models.ready.has(name) ? undefined : model.get("offer") });
  }
  if (model.get("text") !== text) await follow(model, models, name); // typed while the model was loaded
}

/**
 * Answer a new text, or leave it unanswered while its model waits for a click.
 *
 * @param {StaticModel} model
 * @param {LiveModels} models
 * @param {string} name
 */
export async function follow(model, models, name) {
  if (model.get("offer") && !models.ready.has(name)) model.update({ answered: model.get("text") });
  else await answer(model, models, name);
}

/**
 * Let a model of the page answer a view; return what to do when the reader has changed something.
 *
 * @param {StaticModel} model
 * @param {LiveModels} models
 * @param {string} name
 * @returns {Promise<Saved>}
 */
export async function connect(model, models, name) {
  const entry = models.catalogue.models[name];
  if (!entry) return () => {}; // the book was built without it
  const waits = entry.bytes > LARGE && !(await models.isKept(name));
  const offer = waits ? { title: entry.title, bytes: entry.bytes, runtime: models.catalogue.runtime } : undefined;
  model.update({ is_live: true, webgpu: "gpu" in navigator ? false : undefined, offer });
  return (changed) => {
    if (changed.has("loading") && !model.get("loading")) models.cancel(name);
    else if (changed.has("loading")) answer(model, models, name);
    else if (changed.has("text") || changed.has("webgpu")) follow(model, models, name);
  };
}
