// The part of the book's script that draws the replay of a training run.

import { renderReplay } from "../../frontend/training_replay.js";
import { widgets } from "../widgets.js";

widgets.training_replay = renderReplay;
