// The table of strings, and which language it is read in.

import en from "../strings/en.js";
import zh from "../strings/zh.js";

const TABLES = { en, zh };
const TAGS = { en: "en", zh: "zh-Hans" };
const listeners = new Set();
let language = "en";

/** The languages that there are. */
export const LANGUAGES = Object.keys(TABLES);

export function currentLanguage() {
  return language;
}

/** Whether the table has such a string. */
export function has(key) {
  return key in TABLES[language] || key in en;
}

/** The string of this key, with `{name}` replaced by `values.name`. A key without a string is shown itself. */
export function t(key, values = {}) {
  const text = TABLES[language][key] ?? en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** Changes the language, of the page's own attributes and texts too, and tells everybody who draws. */
export function setLanguage(next) {
  language = next in TABLES ? next : "en";
  document.documentElement.lang = TAGS[language];
  translate(document);
  for (const listener of listeners) listener(language);
}

export function onLanguage(listener) {
  listeners.add(listener);
}

/** Fills in the texts of a piece of the page: `data-t` is its text, `data-t-label` its label, `data-t-title` its title. */
export function translate(root) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll("[data-t-label]"))
    element.setAttribute("aria-label", t(element.dataset.tLabel));
  for (const element of root.querySelectorAll("[data-t-title]"))
    element.setAttribute("title", t(element.dataset.tTitle));
}

/** The language that the reader's browser asks for first among those that there are. */
export function preferredLanguage() {
  for (const tag of navigator.languages ?? [navigator.language]) {
    const base = tag.toLowerCase().split("-")[0];
    if (base in TABLES) return base;
  }
  return "en";
}
