// The host of attention's steps in a page: it unpacks their numbers before they are drawn.

import { renderSteps } from "../frontend/attention_steps.js";
import { unpack } from "./static_host.js";

/** @import { StaticModel } from "./static_host.js" */

/**
 * Unpack the numbers of the steps, and draw them.
 *
 * @param {{ model: StaticModel<any>, el: HTMLElement }} host
 */
export async function showSteps({ model, el }) {
  const [products, mask] = await Promise.all([unpack(model.get("products")), unpack(model.get("mask"))]);
  model.update({ products, mask });
  renderSteps({ model, el });
}
