// The host of two models side by side in the book: both are the page's own.

import { predictedBy } from "./comparison.js";
import { ModelHost } from "./model_host.js";

/** @import { LiveModels } from "./live.js" */
/** @import { TwoState } from "../frontend/types" */
/** @import { StaticModel } from "./static_host.js" */

/** @extends {ModelHost<TwoState>} */
class TwoHost extends ModelHost {
  now() {
    return this.model.get("text");
  }

  /**
   * @param {string} text
   * @returns {Promise<Partial<TwoState>>}
   */
  async answer(text) {
    const [one, other] = [await this.run(this.names[0], text), await this.run(this.names[1], text)];
    if (String(one.ids) !== String(other.ids)) throw new Error("the two models do not read the same tokens");
    const [first, second] = [one, other].map(({ attention }) => new DataView(attention.buffer));
    return {
      tokens: one.tokens,
      first,
      second,
      encodings: ["float32", "float32"],
      prediction: predictedBy(one, other),
      device: other.device,
      latency_ms: one.latency_ms + other.latency_ms,
    };
  }
}

/**
 * Let two models of the page answer a view.
 *
 * @param {StaticModel<TwoState>} model
 * @param {LiveModels} models
 * @param {string} names with a space between them
 */
export function connectTwo(model, models, names) {
  return new TwoHost(model, models, names.split(" ")).connect(["text"]);
}
