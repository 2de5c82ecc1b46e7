// What the console looks like in a given state.

import { bars, dots } from "./charts.js";
import { documents } from "./documents_view.js";
import { languageChoice } from "./language_choice.js";
import { dollars, filled, language, reason, seconds, text } from "./language.js";
import { html, nothing } from "./vendor/lit-html-3.3.3/lit-html.js";

const SHOWN_CALLS = 15;
const SERIES = { "llama-scout": 0, haiku: 1 };

export function view(state, actions) {
  return html`
    <header>
      <h1>ZANTARA <small>${text("console")}</small></h1>
      <div class="actions"><a href="/">${text("toChat")}</a> ${languageChoice(actions.speak)}</div>
    </header>
    <main>
      <p role="status" class="problem">${state.reachable ? "" : text("unreachable")}</p>
      ${state.refused ? refused(state, actions) : nothing}
      ${state.service ? service(state.service) : nothing} ${documents(state, actions)}
    </main>
  `;
}

function refused({ refused: status }, actions) {
  return html`<div role="alert">
    <p class="problem">${text(status === 403 ? "keyLacks" : "keyNeeded")}</p>
    <button class="primary" @click=${actions.useAnotherKey}>${text("keyOther")}</button>
  </div>`;
}

function service(now) {
  return html`
    ${figures(now)} ${models(now.models)}
    <div class="charts">${firstTokens(now)} ${money(now.days)}</div>
    ${fallbacks(now)} ${lastCalls(now.calls)}
  `;
}

function card(name, title, content) {
  return html`<section class="card" aria-labelledby=${name}><h2 id=${name}>${title}</h2>${content}</section>`;
}

function figures(now) {
  const rate = new Intl.NumberFormat(language(), { style: "percent", maximumFractionDigits: 1 });
  const live = now.models.reduce((sum, model) => sum + model.under_way, 0);
  const all = {
    liveCalls: live,
    requests: now.requests_under_way,
    turns: now.turns,
    fallbackRate: now.turns ? rate.format(now.fallbacks / now.turns) : "–",
    spent: dollars(now.cost_usd),
    saved: dollars(now.saved_usd),
  };
  return card("now", text("now"), html`<dl class="figures">
    ${Object.entries(all).map(
      ([key, value]) => html`<div data-figure=${key}><dt>${text(key)}</dt><dd>${value}</dd></div>`,
    )}
  </dl>`);
}

function models(all) {
  const circuit = (model) =>
    filled(text("circuits")[model.circuit], { wait: seconds(Math.ceil(model.retry_after_s) * 1000) });
  const row = (model) => [
    html`<strong>${text("models")[model.ai]}</strong><br>${model.model}`,
    html`<span class="circuit" data-state=${model.circuit}>${circuit(model)}</span>`,
    text("keys")[model.key],
    model.calls,
    orDash(model.median_ttft_ms, seconds),
  ];
  const heads = ["model", "circuit", "keyState", "calls", "medianFirst"].map((key) => text(key));
  const content = all.length ? table(heads, all.map(row), text("modelsTitle")) : text("reasons").no_ai_configured;
  return card("models", text("modelsTitle"), content);
}

function firstTokens({ calls, models: all }) {
  const timed = calls.filter((call) => call.ttft_ms !== null && !call.aside);
  const medians = all.filter((model) => model.median_ttft_ms !== null);
  const figure = (model) => `${text("models")[model.ai]} ${seconds(model.median_ttft_ms)}`;
  const label = text("ttftAbout", { figures: medians.map(figure).join(", ") });
  const points = timed.map((call) => ({
    at: call.ended,
    value: call.ttft_ms / 1000,
    series: SERIES[call.ai],
    title: `${text("models")[call.ai]}: ${seconds(call.ttft_ms)}, ${clock(call.ended)}`,
  }));
  const content = points.length
    ? html`${legend(text("models")["llama-scout"], text("models").haiku)}
        ${dots({ points, label, amount: (value) => seconds(value * 1000), time: clock })}
        <p class="note">${label}</p>`
    : html`<p class="note">${text("noCalls")}</p>`;
  return card("ttft", text("ttftChart"), content);
}

function money(days) {
  if (days === null) return card("money", text("moneyChart"), html`<p class="problem">${text("unreadable")}</p>`);
  if (!days.length) return card("money", text("moneyChart"), html`<p class="note">${text("noDays")}</p>`);
  const sum = (name) => dollars(days.reduce((total, day) => total + day[name], 0));
  const label = text("moneyAbout", { cost: sum("cost_usd"), saved: sum("saved_usd"), days: days.length });
  const bar = (day) => ({
    name: day.day,
    first: day.cost_usd,
    second: day.saved_usd,
    title: `${day.day}: ${text("spent")} ${dollars(day.cost_usd)}, ${text("saved")} ${dollars(day.saved_usd)}`,
  });
  const rows = days.map((day) => [day.day, day.calls, dollars(day.cost_usd), dollars(day.saved_usd)]);
  const heads = ["day", "calls", "spent", "saved"].map((key) => text(key));
  return card("money", text("moneyChart"), html`
    ${legend(text("spent"), text("saved"))} ${bars({ days: days.map(bar), label, amount: dollars })}
    <p class="note">${label}</p>
    <details><summary>${text("asTable")}</summary>${table(heads, rows, text("moneyChart"))}</details>`);
}

function fallbacks({ calls, fallback_kinds: kinds }) {
  const last = calls.filter((call) => call.fallback_kind !== null).slice(-SHOWN_CALLS).reverse();
  const rows = last.map((call) => [clock(call.ended), reason(call.fallback_kind), outcome(call)]);
  const counts = Object.entries(kinds).map(([kind, count]) => `${reason(kind)} (${count})`);
  const heads = ["when", "kind", "outcome"].map((key) => text(key));
  const content = counts.length
    ? html`<p class="note">${counts.join(", ")}</p>${rows.length ? table(heads, rows, text("fallbacksTitle")) : nothing}`
    : html`<p class="note">${text("noFallbacks")}</p>`;
  return card("fallbacks", text("fallbacksTitle"), content);
}

function lastCalls(calls) {
  const rows = calls.slice(-SHOWN_CALLS).reverse().map((call) => [
    clock(call.ended),
    text("models")[call.ai],
    outcome(call),
    orDash(call.ttft_ms, seconds),
    seconds(call.duration_s * 1000),
    orDash(call.cost_usd, dollars),
  ]);
  const heads = ["when", "model", "outcome", "firstToken", "took", "cost"].map((key) => text(key));
  const content = rows.length ? table(heads, rows, text("callsTitle")) : html`<p class="note">${text("noCalls")}</p>`;
  return card("calls", text("callsTitle"), content);
}

function outcome(call) {
  const how = text("outcomes")[call.outcome] ?? reason(call.outcome);
  return call.aside ? `${text("aside")}: ${how}` : how;
}

function legend(first, second) {
  return html`<p class="legend"><span class="first">${first}</span> <span class="second">${second}</span></p>`;
}

function table(heads, rows, name) {
  return html`<div class="scrollable" tabindex="0" role="group" aria-label=${name}><table>
    <thead><tr>${heads.map((head) => html`<th scope="col">${head}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr>${row.map((cell) => html`<td>${cell}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

function orDash(value, shown) {
  return value === null ? "–" : shown(value);
}

function clock(at) {
  const form = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
  return new Intl.DateTimeFormat(language(), form).format(at * 1000);
}
