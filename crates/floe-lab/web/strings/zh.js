// The table of strings, Chinese: the page's and the tours'. Its keys are those of en.js.

import page from "./zh/page.js";
import tours from "./zh/tours.js";

export default { ...page, ...tours };
