// Two models side by side in a page: their weights are unpacked before they are drawn.

import { renderTwo } from "../frontend/two_models.js";
import { unpack } from "./static_host.js";

/** @import { StaticModel } from "./static_host.js" */

/**
 * Unpack the weights of both models, and draw them.
 *
 * @param {{ model: StaticModel<any>, el: HTMLElement }} host
 */
export async function showTwo({ model, el }) {
  const [first, second] = await Promise.all([unpack(model.get("first")), unpack(model.get("second"))]);
  model.update({ first, second });
  renderTwo({ model, el });
}
