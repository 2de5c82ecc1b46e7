// Bounds on Markdown that would take a parser very long, or more stack than there is: a hostile
// answer of 10,000 nested quotes or lists must not stop the page.

const MAX_DEPTH = 40;
const MAX_EMPHASIS = 300;
const MAX_SPECIAL_CHARACTERS = 10_000; // of a paragraph
const MAX_CHARACTERS = 50_000;

// The markers of quotes and lists that begin a line, each of which opens another level.
const MARKERS = /^(?:\s*(?:>|[-*+](?=\s)|\d{1,9}[.)](?=\s)))+/;
const MARKER = />|[-*+]|\d+[.)]/g;
const EMPHASIS = /[*_~]+/g;
const SPECIAL = /[!*_~]/g;

/** Whether a text is too long or too deeply nested to be parsed as Markdown. */
export function tooDeep(text) {
  if (text.length > MAX_CHARACTERS) return true;
  let cost = 0;
  let [depth, deepest, special] = [0, 0, 0];
  for (const line of text.split("\n")) {
    if (depthOfBlocks(line) > MAX_DEPTH) return true;
    if (!line.trim()) {
      // Emphasis ends with its paragraph. The parser's time grows with the square of its depth.
      cost += deepest ** 2;
      [depth, deepest, special] = [0, 0, 0];
    }
    special += line.match(SPECIAL)?.length ?? 0;
    if (special > MAX_SPECIAL_CHARACTERS) return true;
    for (const run of line.matchAll(EMPHASIS)) {
      depth = Math.max(0, depth + change(line, run));
      deepest = Math.max(deepest, depth);
    }
    if (cost + deepest ** 2 > MAX_EMPHASIS ** 2) return true;
  }
  return false;
}

/** Its markers, and the levels that its indentation may continue, at two columns each. */
function depthOfBlocks(line) {
  const found = MARKERS.exec(line);
  if (!found) return 0;
  const indent = line.length - line.trimStart().length;
  return found[0].match(MARKER).length + indent / 2;
}

/** By how many levels a run of emphasis goes deeper (before a word) or back (after one). */
function change(line, { 0: run, index }) {
  const before = line[index - 1] ?? " ";
  const after = line[index + run.length] ?? " ";
  if (/\s/.test(after)) return /\s/.test(before) ? 0 : -run.length;
  return /[\s\p{P}]/u.test(before) ? run.length : -run.length;
}
