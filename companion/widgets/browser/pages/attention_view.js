// The script of a page of its own with an attention view: its picture, and no model.

import { render } from "../../frontend/attention_view.js";
import { mountAll } from "../static_host.js";

mountAll({ attention_view: render }, null);
