// The script of a page of its own with tokenizers side by side, their vocabularies in the page.

import { renderTokenizers } from "../../frontend/tokenizers_view.js";
import { mountAll } from "../static_host.js";

mountAll({ tokenizers_view: renderTokenizers }, null);
