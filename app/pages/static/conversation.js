// The conversation as this browser keeps it, and as the service is told of it.

import { kept } from "./kept.js";

const KEPT_AS = "zantara.conversation";
const MAX_KEPT_TURNS = 50;
// Of what the service takes: 200 messages of 32,000 characters, 1 MB in all.
const MAX_SENT_TURNS = 10;
export const MAX_CHARACTERS = 32_000;

/** A turn that has just been asked. `state` goes on to `answered`, `stopped` or `failed`. */
export function newTurn(question) {
  return { question, state: "asked", answer: "", sources: [], routes: [], tools: [], done: null, problem: null };
}

export function keptTurns() {
  try {
    return JSON.parse(kept.getItem(KEPT_AS) ?? "[]").filter((turn) => turn.state !== "asked");
  } catch {
    return []; // what an older version of this page or a person has left there
  }
}

/** Keep the last turns, fewer where the browser has no room for them. */
export function keep(turns) {
  for (let last = turns.slice(-MAX_KEPT_TURNS); last.length || !turns.length; last = last.slice(1)) {
    try {
      return kept.setItem(KEPT_AS, JSON.stringify(last));
    } catch (error) {
      if (error.name !== "QuotaExceededError") throw error;
    }
  }
}

/** What `/chat` takes as `messages`: the last answered turns, and the question. */
export function messages(turns, question) {
  const told = turns.filter((turn) => turn.answer.trim()).slice(-MAX_SENT_TURNS);
  const message = (role, content) => ({ role, content: content.slice(0, MAX_CHARACTERS) });
  const before = told.flatMap((turn) => [
    message("user", turn.question),
    message("assistant", turn.answer),
  ]);
  return [...before, message("user", question)];
}
