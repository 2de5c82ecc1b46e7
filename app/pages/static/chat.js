// The chat page: what happens, and what then is true. `chat_view.js` shows it.

import { view } from "./chat_view.js";
import { keep, keptTurns, messages, newTurn } from "./conversation.js";
import { read } from "./files.js";
import { setLanguage, text } from "./language.js";
import { Lost, Refused, request } from "./service.js";
import { sentEvents } from "./stream.js";
import { render } from "./vendor/lit-html-3.3.3/lit-html.js";

const NEAR_THE_END_PX = 120;

const state = { turns: keptTurns(), calling: null, source: null, announced: "", tools: false, files: [], refused: [] };
let drawing = false;
let drawnMs = 0;

const actions = {
  ask(question) {
    if (state.calling || !question.trim()) return;
    const { files } = state;
    state.files = [];
    state.refused = [];
    answer(newTurn(question.trim(), files));
  },
  async attach(chosen) {
    const { files, refused } = await read(chosen, state.files);
    state.files.push(...files);
    state.refused = refused;
    draw();
  },
  detach(file) {
    state.files = state.files.filter((other) => other !== file);
    state.refused = [];
    draw();
    document.querySelector("#question").focus();
  },
  stop() {
    state.calling.abort();
    document.querySelector("#question").focus();
  },
  retry() {
    const { question, files } = state.turns.pop();
    answer(newTurn(question, files));
  },
  forget() {
    if (!confirm(text("confirmNew"))) return;
    state.calling?.abort();
    state.turns = [];
    keep(state.turns);
    draw();
    document.querySelector("#question").focus();
  },
  open(source) {
    state.source = source;
    draw();
    document.querySelector("#source").showModal();
  },
  useTools(wanted) {
    state.tools = wanted;
    draw();
  },
  speak(code) {
    setLanguage(code);
    draw();
  },
};

async function answer(turn) {
  const body = { messages: messages(state.turns, turn), stream: true, tools: state.tools };
  const calling = new AbortController();
  state.calling = calling;
  state.turns.push(turn);
  state.announced = text("searching");
  draw();
  scrollToEnd();
  try {
    const response = await request("/chat", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: calling.signal,
    });
    for await (const event of sentEvents(response)) {
      take(turn, event);
      drawSoon();
    }
    if (turn.state === "asked") fail(turn, { lost: true });
  } catch (error) {
    if (calling.signal.aborted) turn.state = "stopped";
    else if (error instanceof Refused) fail(turn, error.problem);
    else if (error instanceof Lost) fail(turn, { lost: true });
    else throw error;
  } finally {
    if (state.calling === calling) state.calling = null;
  }
  draw();
  if (state.turns.includes(turn)) {
    state.announced = outcome(turn);
    keep(state.turns);
    draw();
  }
}

function take(turn, { name, data }) {
  switch (name) {
    case "sources":
      turn.sources = data;
      break;
    case "route":
      turn.routes.push(data);
      state.announced = text("answering", { model: text("models")[data.ai_used] });
      break;
    case "tool":
      turn.tools.push(data);
      break;
    case "delta":
      turn.answer += data.text;
      break;
    case "done":
      turn.done = { ...data, sources: undefined, tools: undefined };
      turn.state = "answered";
      break;
    case "error":
      fail(turn, { kind: data.kind });
      break;
  }
}

function fail(turn, problem) {
  turn.state = "failed";
  turn.problem = problem;
}

/** What a screen reader is told once the turn has ended. */
function outcome(turn) {
  if (turn.state === "stopped") return text("stopped");
  if (turn.state === "failed") return ""; // the problem itself is an alert
  const shown = document.querySelector(".turn:last-child .answer");
  return text("answered", { model: text("models")[turn.done.ai_used], answer: shown.textContent });
}

/** Whoever reads at the end of the page stays there, whatever is added to it. */
function draw() {
  const page = document.documentElement;
  const following = page.scrollHeight - page.scrollTop - page.clientHeight < NEAR_THE_END_PX;
  render(view(state, actions), document.body);
  if (following) scrollToEnd();
}

/** Once before a next frame, however many deltas come until then: a third of the time at most. */
function drawSoon() {
  if (drawing) return;
  drawing = true;
  setTimeout(() => requestAnimationFrame(drawNow), 2 * drawnMs);
}

function drawNow() {
  drawing = false;
  const started = performance.now();
  draw();
  drawnMs = performance.now() - started;
}

function scrollToEnd() {
  document.documentElement.scrollTop = document.documentElement.scrollHeight;
}

addEventListener("pagehide", () => {
  if (!state.calling) return;
  state.calling.abort(); // as leaving the page would, but for an error of the network
  state.turns.at(-1).state = "stopped";
  keep(state.turns);
});
draw();
scrollToEnd();
