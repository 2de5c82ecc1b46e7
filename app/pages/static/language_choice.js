// The choice of the interface's language.

import { LANGUAGES, language, text } from "./language.js";
import { html } from "./vendor/lit-html-3.3.3/lit-html.js";

export function languageChoice(chosen) {
  return html`<label class="hidden" for="language">${text("language")}</label>
    <select id="language" @change=${(event) => chosen(event.target.value)}>
      ${Object.entries(LANGUAGES).map(
        ([code, name]) =>
          html`<option value=${code} lang=${code} ?selected=${code === language()}>${name}</option>`,
      )}
    </select>`;
}
