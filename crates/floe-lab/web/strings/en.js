// The table of strings, English: the page's and the tours'. Its keys are those of zh.js.

import page from "./en/page.js";
import tours from "./en/tours.js";

export default { ...page, ...tours };
