// The part of the book's script that draws the levels of a stream.

import { renderStream } from "../../frontend/through_the_layers.js";
import { widgets } from "../widgets.js";

widgets.through_the_layers = renderStream;
