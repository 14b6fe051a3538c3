// The part of the book's script that draws a head lab, which a model of the page answers.

import { renderLab } from "../../frontend/head_lab.js";
import { connectLab } from "../lab_host.js";
import { widgets } from "../widgets.js";

widgets.head_lab = ({ model, el, book, name }) => {
  renderLab({ model, el });
  if (book && name) connectLab(model, book.models, name);
};
