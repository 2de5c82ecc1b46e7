// Asks for the key that the service wants.

import { text } from "./language.js";
import { html, nothing, render } from "./vendor/lit-html-3.3.3/lit-html.js";

let asked = null;

/** The key that the person gives, or null; one question for all who ask at once. */
export function askForKey(rejected) {
  asked ??= ask(rejected).finally(() => (asked = null));
  return asked;
}

function ask(rejected) {
  return new Promise((resolve) => {
    const holder = document.createElement("div");
    const submit = (event) => {
      event.preventDefault();
      event.target.closest("dialog").close(new FormData(event.target).get("key").trim());
    };
    const closed = (event) => {
      holder.remove();
      resolve(event.target.returnValue || null);
    };
    render(
      html`<dialog aria-labelledby="key-title" @close=${closed}>
        <form @submit=${submit}>
          <h2 id="key-title">${text("keyTitle")}</h2>
          ${rejected ? html`<p class="problem" role="alert">${text("keyRejected")}</p>` : nothing}
          <p>${text("keyNeeded")}</p>
          <label>${text("key")}
            <input name="key" type="password" autocomplete="off" required autofocus>
          </label>
          <div class="actions">
            <button type="button" @click=${(event) => event.target.closest("dialog").close("")}>
              ${text("cancel")}
            </button>
            <button class="primary">${text("keyUse")}</button>
          </div>
        </form>
      </dialog>`,
      holder,
    );
    document.body.append(holder);
    holder.querySelector("dialog").showModal();
  });
}
