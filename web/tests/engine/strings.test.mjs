// The table of strings: both languages have the same keys, no text is empty, none is missing and none is left over.
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";

import en from "../../../crates/floe-lab/web/strings/en.js";
import zh from "../../../crates/floe-lab/web/strings/zh.js";

const WEB = new URL("../../../crates/floe-lab/web/", import.meta.url);

/** The page's sources with their names; the table itself and the documents are none. */
async function sources() {
  const names = await readdir(WEB, { recursive: true });
  const kept = names.filter((name) => /\.(js|html)$/.test(name) && !/^strings[/\\]/.test(name));
  return Promise.all(kept.map(async (name) => [name, await readFile(new URL(name, WEB), "utf8")]));
}

/** The families of keys that there are: what stands before the first dot. */
const families = new Set(Object.keys(en).map((key) => key.split(".")[0]));
const isKey = (text) => families.has(text.split(".")[0]) && /^[a-z]+(\.[\w-]+)+$/.test(text);

/** A source without its comments, which name keys as examples. */
const withoutComments = (text) => text.replace(/\/\*[^]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");

/** The keys that a source names whole, and the beginnings and ends of those that it puts together. */
function named(source) {
  const text = withoutComments(source);
  const whole = [...text.matchAll(/["'`]([a-z]+(?:\.[\w-]+)+)["'`]/g)].map(([, key]) => key).filter(isKey);
  const begun = [...text.matchAll(/[`"']([a-z]+\.(?:[\w-]+\.)*)(?:\$\{|["'`]\s*\+)/g)].map(([, start]) => start);
  const linked = [...text.matchAll(/\]\(glossary:([\w-]+)\)/g)].map(([, word]) => `glossary.${word}`);
  const ends = [...text.matchAll(/`\$\{\w+\}(\.[\w-]+)`/g)].map(([, end]) => end);
  return { whole: [...whole, ...linked], begun, ends };
}

test("both languages have the same keys, in the same order", () => {
  assert.deepEqual(Object.keys(zh), Object.keys(en));
});

test("no text is empty, and none is left untranslated", () => {
  for (const [language, table] of Object.entries({ en, zh })) {
    for (const [key, text] of Object.entries(table)) {
      assert.equal(typeof text, "string", key);
      assert.notEqual(text.trim(), "", `${language}: ${key} is empty`);
    }
  }
  for (const key of Object.keys(en).filter((key) => key.startsWith("tour."))) {
    assert.match(zh[key], /\p{Script=Han}/u, `${key} has no Chinese in it`);
    assert.doesNotMatch(en[key], /\p{Script=Han}/u, `${key} has Chinese in it`);
  }
});

test("a text has the same values, marks and links in both languages", () => {
  for (const key of Object.keys(en)) {
    for (const pattern of [/\{\w+\}/g, /\]\(glossary:[\w-]+\)/g]) {
      const [here, there] = [en, zh].map((table) => [...new Set(table[key].match(pattern) ?? [])].sort());
      assert.deepEqual(there, here, key);
    }
    for (const [language, table] of Object.entries({ en, zh })) {
      assert.equal((table[key].match(/\*\*/g) ?? []).length % 2, 0, `${language}: ${key} has an open **`);
      assert.equal((table[key].match(/`/g) ?? []).length % 2, 0, `${language}: ${key} has an open \``);
    }
  }
});

test("no key is missing, and none is unused", async () => {
  const texts = [...(await sources()), ["the table", [...Object.values(en), ...Object.values(zh)].join("\n")]];
  const used = new Set();
  const begun = new Set();
  const ends = new Set();
  const missing = [];
  for (const [name, text] of texts) {
    const keys = named(text);
    for (const key of keys.whole) {
      used.add(key);
      if (!(key in en)) missing.push(`${name}: ${key}`);
    }
    for (const start of keys.begun) if (families.has(start.split(".")[0])) begun.add(start);
    for (const end of keys.ends) ends.add(end);
  }
  assert.deepEqual(missing, []);
  const isNamed = (key) => used.has(key) || [...begun].some((start) => key.startsWith(start));
  const isUsed = (key) => isNamed(key) || [...ends].some((end) => key.endsWith(end) && isNamed(key.slice(0, -end.length)));
  assert.deepEqual(Object.keys(en).filter((key) => !isUsed(key)), []);
});

test("every text of the tours belongs to a step, a title or a group", async () => {
  const { TOURS } = await import("../../../crates/floe-lab/web/tours/index.js");
  const wanted = new Set(TOURS.map(({ group }) => `tour.group.${group}`));
  for (const { id, load } of TOURS) {
    const { steps } = (await load()).default;
    for (const key of [`tour.${id}.title`, `tour.${id}.about`, ...steps.map(({ text }) => text)]) {
      assert.ok(key in en, `${key} has no text`);
      wanted.add(key);
    }
  }
  assert.deepEqual(Object.keys(en).filter((key) => key.startsWith("tour.") && !wanted.has(key)), []);
});
