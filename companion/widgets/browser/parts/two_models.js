// The part of the book's script that draws two models side by side, which models of the page answer.

import { connectTwo } from "../two_host.js";
import { showTwo } from "../two_page.js";
import { widgets } from "../widgets.js";

widgets.two_models = async ({ model, el, book, name }) => {
  await showTwo({ model, el });
  if (book && name) await connectTwo(model, book.models, name);
};
