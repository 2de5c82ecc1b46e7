// The conversation as this browser keeps it, and as the service is told of it.

import { sent } from "./files.js";
import { kept } from "./kept.js";

const KEPT_AS = "zantara.conversation";
const MAX_KEPT_TURNS = 50;
// Of what the service takes: 200 messages of 32,000 characters.
const MAX_SENT_TURNS = 10;
export const MAX_CHARACTERS = 32_000;

/** A turn that has just been asked. `state` goes on to `answered`, `stopped` or `failed`. */
export function newTurn(question, files) {
  return { question, files, state: "asked", answer: "", sources: [], routes: [], tools: [], done: null, problem: null };
}

export function keptTurns() {
  try {
    const turns = JSON.parse(kept.getItem(KEPT_AS) ?? "[]").filter((turn) => turn.state !== "asked");
    return turns.map((turn) => ({ files: [], ...turn }));
  } catch {
    return []; // what an older version of this page or a person has left there
  }
}

/** Keep the last turns, fewer where the browser has no room for them. */
export function keep(turns) {
  for (let last = turns.slice(-MAX_KEPT_TURNS); last.length || !turns.length; last = last.slice(1)) {
    try {
      return kept.setItem(KEPT_AS, JSON.stringify(last, withoutContents));
    } catch (error) {
      if (error.name !== "QuotaExceededError") throw error;
    }
  }
}

/** A browser has no room for pictures: of a file its name is kept. */
function withoutContents(key, value) {
  return key === "files" ? value.map(({ name }) => ({ name })) : value;
}

/** What `/chat` takes as `messages`: the last answered turns before `asked`, and its question. */
export function messages(turns, asked) {
  const told = [...turns.filter((turn) => turn.answer.trim()).slice(-MAX_SENT_TURNS), asked];
  const files = sent(told);
  const message = (role, content, more) => ({ role, content: content.slice(0, MAX_CHARACTERS), ...more });
  return told.flatMap((turn, n) => {
    const said = message("user", turn.question, files[n].length ? { files: files[n] } : {});
    return turn === asked ? [said] : [said, message("assistant", turn.answer)];
  });
}
