// The script of a page of its own with a head lab.

import { renderLab } from "../../frontend/head_lab.js";
import { mountAll } from "../static_host.js";

mountAll({ head_lab: renderLab }, null);
