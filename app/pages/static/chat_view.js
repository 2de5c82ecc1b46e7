// What the chat page looks like in a given state.

import { MAX_CHARACTERS } from "./conversation.js";
import { KINDS } from "./files.js";
import { languageChoice } from "./language_choice.js";
import { dollars, language, reason, seconds, text } from "./language.js";
import { rendered } from "./markdown.js";
import { html, nothing } from "./vendor/lit-html-3.3.3/lit-html.js";

export function view(state, actions) {
  return html`
    <a class="skip" href="#question">${text("skip")}</a>
    ${header(state, actions)}
    <main>
      ${state.turns.length ? conversation(state, actions) : welcome(actions)}
      <p class="hidden" role="status">${state.announced}</p>
      ${composer(state, actions)}
    </main>
    ${sourceDialog(state.source)}
  `;
}

function header(state, actions) {
  return html`<header>
    <h1>ZANTARA <small>${text("subtitle")}</small></h1>
    <div class="actions">
      ${languageChoice(actions.speak)}
      ${state.turns.length
        ? html`<button aria-label=${text("newConversation")} @click=${actions.forget}>
            ${text("newShort")}
          </button>`
        : nothing}
    </div>
  </header>`;
}

function welcome(actions) {
  return html`<section class="welcome" aria-label="ZANTARA">
    <p>${text("welcome")}</p>
    <ul>
      ${text("examples").map(
        (example) =>
          html`<li><button @click=${() => actions.ask(example)}>${example}</button></li>`,
      )}
    </ul>
  </section>`;
}

function conversation(state, actions) {
  const last = state.turns.at(-1);
  return html`<section aria-label=${text("conversation")}>
    ${state.turns.map((turn) => turnView(turn, turn === last && !state.calling, actions))}
  </section>`;
}

function turnView(turn, canRetry, actions) {
  const waiting = turn.state === "asked" && !turn.answer;
  return html`<article class="turn" aria-busy=${turn.state === "asked"}>
    <h2 class="hidden">${text("you")}</h2>
    <p class="question">${turn.question}${fileNames(turn.files)}</p>
    <h2 class="hidden">ZANTARA</h2>
    ${badge(turn.routes)} ${turn.tools.map(toolLine)}
    ${waiting ? html`<p class="waiting">${text("searching")}</p>` : nothing}
    <div class="answer">${answerOf(turn, actions)}</div>
    ${problem(turn)} ${sourceList(turn, actions)} ${figures(turn.done)}
    ${canRetry
      ? html`<button class="retry" @click=${actions.retry}>${text("retry")}</button>`
      : nothing}
  </article>`;
}

const drawn = new WeakMap();

/** The answer's fragment, made again only when there is more of it. */
function answerOf(turn, actions) {
  const before = drawn.get(turn);
  const same = before?.answer === turn.answer && before.sources === turn.sources;
  if (same && before.language === language()) return before.fragment;
  const citation = (source) =>
    html`<button
      class="citation"
      aria-label=${text("source", { n: source.n, title: source.title })}
      @click=${() => actions.open(source)}
    >${source.n}</button>`;
  const fragment = rendered(turn.answer, turn.sources, citation);
  drawn.set(turn, { answer: turn.answer, sources: turn.sources, language: language(), fragment });
  return fragment;
}

/** The passage of the open source as a fragment, made once for as long as it is shown. */
let opened = { source: null, fragment: nothing };

function passageOf(source) {
  // Nothing in it leads anywhere: it is quoted, as its document has it.
  if (opened.source !== source) opened = { source, fragment: rendered(source.text, [], () => "", { breaks: true }) };
  return opened.fragment;
}

function fileNames(files) {
  return files.map((file) => html`<span class="file">📎 ${file.name}</span>`);
}

function badge(routes) {
  if (!routes.length) return nothing;
  const name = (route) => text("models")[route.ai_used];
  const [first, ...later] = routes;
  return html`<p class="badge" data-ai=${routes.at(-1).ai_used}>
    <strong>${name(first)}</strong>
    ${first.fallback_reason
      ? html`<span>${text("because", { reason: reason(first.fallback_reason) })}</span>`
      : nothing}
    ${later.map(
      (route) =>
        html`<span>${text("tookOver", { model: name(route), reason: reason(route.fallback_reason) })}</span>`,
    )}
  </p>`;
}

function toolLine(tool) {
  const given = Object.values(tool.arguments).join(", ");
  return html`<details class="tool">
    <summary>
      ${text("tools")[tool.name] ?? tool.name}: ${given} ${tool.ok ? nothing : `(${text("toolFailed")})`}
    </summary>
    <p>${tool.result}</p>
  </details>`;
}

function problem(turn) {
  if (turn.state === "stopped") return html`<p class="note">${text("stopped")}</p>`;
  if (turn.state === "failed") return html`<p class="problem" role="alert">${problemText(turn.problem)}</p>`;
  if (turn.done?.finish_reason === "length") return html`<p class="note">${text("cutOff")}</p>`;
  if (turn.done?.degraded && turn.done.ai_used !== "extractive") {
    return html`<p class="note">${text("degraded")}</p>`;
  }
  return nothing;
}

function problemText({ kind, lost, detail, refusal, status, wait }) {
  if (lost) return text("lost");
  if (kind) return text("brokenOff", { reason: reason(kind) });
  const why = text("refusals")[refusal] ?? text("refusals")[status] ?? detail;
  const later = wait ? text("tryLater", { wait: seconds(wait * 1000) }) : "";
  return `${text("failed", { reason: why })} ${later}`;
}

function sourceList(turn, actions) {
  // While the answer is being written they would only push it about.
  if (!turn.sources.length || turn.state === "asked") return nothing;
  return html`<details class="sources" ?open=${turn.done?.ai_used === "extractive"}>
    <summary>${text("sources")} (${turn.sources.length})</summary>
    <ol>
      ${turn.sources.map(
        (source) => html`<li>
          <button @click=${() => actions.open(source)}>
            ${heading(source)}${place(source)}
          </button>
        </li>`,
      )}
    </ol>
  </details>`;
}

/** Where in its document: sections begin with the title unless the document has none. */
function heading({ title, section }) {
  return section.startsWith(title) ? section : [title, section].filter(Boolean).join(" > ");
}

function place(source) {
  if (source.page === null) return "";
  const key = pages(source) === source.page ? "pageShort" : "pagesShort";
  return `, ${text(key, { page: pages(source) })}`;
}

function pages({ page, last_page: last }) {
  return last && last !== page ? `${page}-${last}` : page;
}

function figures(done) {
  if (!done) return nothing;
  const cost = done.cost_usd === null ? text("noPrice") : dollars(done.cost_usd);
  const first = done.ttft_ms === null ? "" : `, ${text("firstWords", { time: seconds(done.ttft_ms) })}`;
  return html`<dl class="figures">
    <div><dt>${text("cost")}</dt><dd>${cost}</dd></div>
    <div><dt>${text("time")}</dt><dd>${seconds(done.latency_ms)}${first}</dd></div>
  </dl>`;
}

function composer(state, actions) {
  const submit = (event) => {
    event.preventDefault();
    const field = event.target.elements.question;
    if (state.calling || !field.value.trim()) return;
    actions.ask(field.value);
    field.value = "";
  };
  const chosen = (event) => {
    actions.attach([...event.target.files]);
    event.target.value = ""; // so that the same file can be chosen again
  };
  const enter = (event) => {
    // On a phone Enter is the only way to a new line; while a word is being composed it ends that.
    const sends = event.key === "Enter" && !event.shiftKey && !event.isComposing;
    if (!sends || !matchMedia("(pointer: fine)").matches) return;
    event.preventDefault();
    event.target.form.requestSubmit();
  };
  return html`<form class="composer" @submit=${submit}>
    <label class="hidden" for="question">${text("question")}</label>
    <textarea
      id="question"
      name="question"
      rows="1"
      maxlength=${MAX_CHARACTERS}
      placeholder=${text("placeholder")}
      @keydown=${enter}
    ></textarea>
    <div class="options note">
    <label class="attach">
      <input type="file" multiple accept=${KINDS} @change=${chosen}>
      ${text("attach")}
    </label>
    <span role="status">
      ${state.files.map(
        (file) => html`<span class="file">📎 ${file.name}
          <button type="button" aria-label=${text("detach", { name: file.name })} @click=${() => actions.detach(file)}>
            ✕
          </button></span>`,
      )}
      ${state.refused.length
        ? html`<span class="problem">${text("tooLarge", { names: state.refused.join(", ") })}</span>`
        : nothing}
    </span>
    <label>
      <input type="checkbox" .checked=${state.tools} @change=${(event) => actions.useTools(event.target.checked)}>
      ${text("useTools")}
    </label>
    </div>
    ${state.calling
      ? html`<button type="button" @click=${actions.stop}>${text("stop")}</button>`
      : html`<button class="primary">${text("send")}</button>`}
  </form>`;
}

function sourceDialog(source) {
  const close = (event) => event.currentTarget.closest("dialog").close();
  return html`<dialog id="source" aria-labelledby="source-title">
    ${source
      ? html`<div class="source">
          <h2 id="source-title">${text("source", { n: source.n, title: source.title })}</h2>
          <dl>
            ${fact("document", source.document_id)} ${fact("section", source.section)}
            ${fact("page", pages(source))} ${fact("effective", source.effective_date)}
            ${fact("address", address(source.uri))}
          </dl>
          <h3>${text("passage")}</h3>
          <blockquote tabindex="0">${passageOf(source)}</blockquote>
          <div class="actions"><button class="primary" @click=${close}>${text("close")}</button></div>
        </div>`
      : nothing}
  </dialog>`;
}

function fact(key, value) {
  return value === null || value === "" ? nothing : html`<dt>${text(key)}</dt><dd>${value}</dd>`;
}

function address(uri) {
  if (!/^https?:\/\//i.test(uri ?? "")) return uri;
  return html`<a href=${uri} target="_blank" rel="noopener noreferrer">${uri}</a>`;
}
