// The script of a page of its own with the masks of a sentence.

import { renderSight } from "../../frontend/who_sees_whom.js";
import { mountAll } from "../static_host.js";

mountAll({ who_sees_whom: renderSight }, null);
