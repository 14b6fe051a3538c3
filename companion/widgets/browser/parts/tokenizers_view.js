// The part of the book's script that draws tokenizers side by side.

import { renderTokenizers } from "../../frontend/tokenizers_view.js";
import { widgets } from "../widgets.js";

widgets.tokenizers_view = renderTokenizers;
