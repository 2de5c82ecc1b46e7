// The interface's language: what was chosen here before, else the browser's first that there is.

import { kept } from "./kept.js";
import { TEXTS } from "./texts.js";

const KEPT_AS = "zantara.language";

export const LANGUAGES = { en: "English", it: "Italiano", id: "Indonesia" };

let current = chosen() ?? preferred();
document.documentElement.lang = current;

export function language() {
  return current;
}

export function setLanguage(code) {
  current = code;
  document.documentElement.lang = code;
  kept.setItem(KEPT_AS, code);
}

/** The text under `key`, with `{name}` filled in from `values`; lists and tables as they are. */
export function text(key, values = {}) {
  const found = TEXTS[current][key];
  return typeof found === "string" ? filled(found, values) : found;
}

/** `{name}` in a text, filled in from `values`. */
export function filled(found, values) {
  return found.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** Why the first choice did not answer; a kind that has no words yet is shown as it is. */
export function reason(kind) {
  return TEXTS[current].reasons[kind] ?? kind;
}

export function dollars(amount) {
  const form = { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol" };
  return new Intl.NumberFormat(current, { ...form, maximumSignificantDigits: 2 }).format(amount);
}

export function seconds(milliseconds) {
  const unit = { style: "unit", unit: "second", maximumSignificantDigits: 2 };
  return new Intl.NumberFormat(current, unit).format(milliseconds / 1000);
}

function chosen() {
  const code = kept.getItem(KEPT_AS);
  return code in LANGUAGES ? code : null;
}

function preferred() {
  const codes = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase());
  return codes.map((code) => (code === "in" ? "id" : code)).find((c) => c in LANGUAGES) ?? "en";
}
