// What draws the widgets of a page of the book. The attention view comes with the script of every page; whatever else a
// page holds, the build gives it the part that draws it: parts/.

import { render } from "../frontend/attention_view.js";

/** @type {import("./static_host.js").Widgets} */
export const widgets = { attention_view: render };
