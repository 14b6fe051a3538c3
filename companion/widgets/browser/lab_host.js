// The host of a head lab in the book: its model is the page's own, loaded at the first change or, if large, on a click.

import { chosenNow, keyOf } from "../frontend/head_choice.js";
import { compared } from "./comparison.js";
import { Cancelled } from "./live.js";
import { inMB } from "./live_host.js";

/** @import { LiveModels, Loading } from "./live.js" */
/** @import { Answer } from "./live_worker.js" */
/** @import { Edited, LabState } from "../frontend/types" */
/** @import { StaticModel } from "./static_host.js" */

class LabHost {
  busy = false;
  /** @type {{ text: string, answer: Answer } | undefined} with all heads as they are */
  whole = undefined;

  /**
   * @param {StaticModel<LabState>} model
   * @param {LiveModels} models
   * @param {string} name
   */
  constructor(model, models, name) {
    this.model = model;
    this.models = models;
    this.name = name;
  }

  /** Answer what is chosen, and then what was chosen meanwhile: one question at a time. */
  async follow() {
    const { model } = this;
    if (this.busy) return;
    this.busy = true;
    const mayAsk = () => model.get("loading") || !model.get("offer") || this.models.ready.has(this.name);
    for (let failed = ""; mayAsk(); ) {
      const now = chosenNow(model);
      const key = keyOf(now);
      const known = key === keyOf(model.get("shown")) && !model.get("loading");
      if (known) model.update({ error: "" }); // changed back
      if (known || key === failed) break;
      const before = { device: model.get("device"), latency_ms: model.get("latency_ms") };
      try {
        model.update({ ...(await this.answer(now)), shown: now, error: "", offer: undefined });
      } catch (problem) {
        failed = key;
        const error = problem instanceof Cancelled ? "" : /** @type {Error} */ (problem).message;
        model.update({ ...before, error, offer: this.models.ready.has(this.name) ? undefined : model.get("offer") });
      }
      model.update({ loading: false, loaded: undefined });
    }
    this.busy = false;
  }

  /**
   * @param {Edited} now
   * @returns {Promise<Partial<LabState>>}
   */
  async answer(now) {
    const { model, models, name } = this;
    const { title } = models.catalogue.models[name];
    /** @type {Loading} */
    const loading = ({ got, all }) => {
      const device = `loading ${title}: ${inMB(got)} of ${inMB(all)} MB`;
      model.update({ device, latency_ms: 0, loaded: Math.min(1, got / all) });
    };
    const { text, off, patched, source } = now;
    if (this.whole?.text !== text) {
      this.whole = { text, answer: await models.run(name, text, { everywhere: true, loading }) };
    }
    const before = this.whole.answer;
    const edited = off.length + patched.length > 0;
    const edit = { off, patched, source };
    const after = edited ? await models.run(name, text, { everywhere: true, loading, edit }) : before;
    return { result: compared(before, after), device: after.device, latency_ms: after.latency_ms };
  }
}

/**
 * Let a model of the page answer a head lab.
 *
 * @param {StaticModel<LabState>} model
 * @param {LiveModels} models
 * @param {string} name
 */
export async function connectLab(model, models, name) {
  const entry = models.catalogue.models[name];
  if (!entry) return; // the book was built without it
  const offer = await models.offer(name);
  const host = new LabHost(model, models, name);
  model.update({ is_live: true, offer });
  for (const trait of /** @type {const} */ (["text", "off", "patched", "source"])) {
    model.on(`change:${trait}`, () => queueMicrotask(() => host.follow())); // when all of a change is there
  }
  model.on("change:loading", () => {
    if (model.get("loading")) host.follow();
    else if (model.get("offer")) models.cancel(name);
  });
}
