// Two models side by side in a page: their weights are unpacked before they are drawn, and a page of the book answers.

import { renderTwo } from "../frontend/two_models.js";
import { unpack } from "./static_host.js";

/** @import { Book, StaticModel } from "./static_host.js" */

/**
 * Unpack the weights of both models, and draw them.
 *
 * @param {{ model: StaticModel<any>, el: HTMLElement, book: Book | null, name: string }} host
 */
export async function showTwo({ model, el, book, name }) {
  const [first, second] = await Promise.all([unpack(model.get("first")), unpack(model.get("second"))]);
  model.update({ first, second });
  renderTwo({ model, el });
  if (book && name) await book.connectTwo(model, name);
}
