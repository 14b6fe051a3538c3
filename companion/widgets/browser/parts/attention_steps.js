// The part of the book's script that draws the steps of attention.

import { showSteps } from "../steps_host.js";
import { widgets } from "../widgets.js";

widgets.attention_steps = showSteps;
