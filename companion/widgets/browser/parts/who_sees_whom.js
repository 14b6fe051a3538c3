// The part of the book's script that draws the masks of a sentence.

import { renderSight } from "../../frontend/who_sees_whom.js";
import { widgets } from "../widgets.js";

widgets.who_sees_whom = renderSight;
