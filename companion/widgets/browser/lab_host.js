// The host of a head lab in the book: its model is the page's own.

import { chosenNow, keyOf } from "../frontend/head_choice.js";
import { compared } from "./comparison.js";
import { ModelHost } from "./model_host.js";

/** @import { LiveModels } from "./live.js" */
/** @import { Answer } from "./live_worker.js" */
/** @import { Edited, LabState } from "../frontend/types" */
/** @import { StaticModel } from "./static_host.js" */

/** @extends {ModelHost<LabState>} */
class LabHost extends ModelHost {
  /** @type {{ text: string, answer: Answer } | undefined} with all heads as they are */
  whole = undefined;

  now() {
    return chosenNow(this.model);
  }

  /** @param {Edited} chosen */
  key(chosen) {
    return keyOf(chosen);
  }

  /**
   * @param {Edited} now
   * @returns {Promise<Partial<LabState>>}
   */
  async answer({ text, off, patched, source }) {
    const [name] = this.names;
    if (this.whole?.text !== text) this.whole = { text, answer: await this.run(name, text) };
    const before = this.whole.answer;
    const edited = off.length + patched.length > 0;
    const after = edited ? await this.run(name, text, { edit: { off, patched, source } }) : before;
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
export function connectLab(model, models, name) {
  return new LabHost(model, models, [name]).connect(["text", "off", "patched", "source"]);
}
