// The console's part on what the index holds.

import { text } from "./language.js";
import { html, nothing } from "./vendor/lit-html-3.3.3/lit-html.js";

/** Documents on one page of the list. */
export const PAGE = 20;

export function documents(state, actions) {
  return html`<section class="card" aria-labelledby="documents">
    <h2 id="documents">${text("indexTitle")}</h2>
    ${state.service ? html`<p class="note">${contents(state.service)}</p>` : nothing}
    ${uploading(state, actions)}
    <div role="log">${state.notes.map((note) => html`<p>${note}</p>`)}</div>
    ${state.documents ? list(state, actions) : nothing}
  </section>`;
}

function contents({ index_ready: ready, documents: count, chunks }) {
  return ready ? text("indexed", { documents: count, chunks }) : text("indexing");
}

function uploading(state, actions) {
  const submit = (event) => {
    event.preventDefault();
    actions.upload(event.target);
  };
  return html`<form class="upload" @submit=${submit}>
    <label>${text("files")} <input type="file" name="file" multiple required></label>
    <label>${text("collection")} <input name="collection" maxlength="100" autocomplete="off"></label>
    <label class="tick"><input type="checkbox" name="force"> ${text("force")}</label>
    <button class="primary" ?disabled=${state.busy}>${text("upload")}</button>
  </form>`;
}

function warnings(one) {
  const line = ({ kind, where, detail }) => html`<li>
    <strong>${text("warningKinds")[kind]}</strong>${where ? html` (${where})` : nothing}: <span lang="en">${detail}</span>
  </li>`;
  return html`<details>
    <summary aria-label=${text("warningsOf", { count: one.warnings.length, id: one.id })}>
      ${one.warnings.length}
    </summary>
    <ul>${one.warnings.map(line)}</ul>
  </details>`;
}

function list({ documents: { documents: all, total }, offset }, actions) {
  const heads = ["document", "docTitle", "docLanguage", "effective", "passages", "warnings"];
  const row = (one) => html`<tr>
    <td>${one.id}</td>
    <td>${one.title}</td>
    <td>${one.language}</td>
    <td>${one.effective_date ?? "–"}</td>
    <td>${one.vectors === "ready" ? one.chunks : `${one.passages_with_vectors}/${one.chunks}`}</td>
    <td>${one.warnings.length ? warnings(one) : "–"}</td>
    <td>
      <button aria-label=${text("removeOne", { id: one.id })} @click=${() => actions.remove(one.id)}>
        ${text("remove")}
      </button>
    </td>
  </tr>`;
  const turn = (to, key) =>
    html`<button ?disabled=${to < 0 || to >= total} @click=${() => actions.turn(to)}>${text(key)}</button>`;
  const range = { from: Math.min(offset + 1, total), to: offset + all.length, total };
  return html`
    <div class="scrollable" tabindex="0" role="group" aria-label=${text("indexTitle")}><table>
      <thead><tr>${heads.map((key) => html`<th scope="col">${text(key)}</th>`)}<td></td></tr></thead>
      <tbody>${all.map(row)}</tbody>
    </table></div>
    <div class="actions">
      ${turn(offset - PAGE, "previous")} ${turn(offset + PAGE, "next")}
      <span class="note">${text("range", range)}</span>
    </div>`;
}
