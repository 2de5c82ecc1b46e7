// A model's Markdown as a fragment of the page. The text is hostile: the model repeats what
// documents say. Nothing in it is loaded, and only the sources' own addresses become links.

import { html, render } from "./vendor/lit-html-3.3.3/lit-html.js";
import DOMPurify from "./vendor/dompurify-3.4.18/purify.es.js";
import { tooDeep } from "./nesting.js";
import { Marked } from "./vendor/marked-18.2.1/marked.esm.js";

const ALLOWED = {
  ALLOWED_TAGS: (
    "a blockquote br code del em h1 h2 h3 h4 h5 h6 hr li ol p pre strong table tbody td th thead tr ul"
  ).split(" "),
  ALLOWED_ATTR: ["align", "href", "start"],
  ALLOW_ARIA_ATTR: false,
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};
const markdown = new Marked({
  renderer: {
    // A picture is what it says of itself; tags are shown as they stand, but for line breaks,
    // which models put into tables.
    image: (picture) => picture.text,
    html: ({ text }) => (/^\s*<br ?\/?>\s*$/i.test(text) ? "<br>" : escaped(text)),
  },
});
const CITATION = /\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]/;

/** Markdown as a fragment; `[n]` becomes what `citation(source)` makes of the n-th source. */
export function rendered(text, sources, citation, options = {}) {
  const fragment = parsed(text, options) ?? asText(text);
  const addresses = new Set(sources.map((source) => normalised(source.uri)).filter(Boolean));
  for (const link of fragment.querySelectorAll("a")) keepOrUnlink(link, addresses);
  // What scrolls must be within a keyboard's reach.
  for (const code of fragment.querySelectorAll("pre")) code.tabIndex = 0;
  for (const table of fragment.querySelectorAll("table")) makeScrollable(table);
  for (const node of textNodes(fragment)) cite(node, sources, citation);
  return fragment;
}

/** The Markdown's HTML, sanitised; null where the parser cannot be given it, or gives up. */
function parsed(text, options) {
  if (tooDeep(text)) return null;
  try {
    return DOMPurify.sanitize(markdown.parse(text, options), ALLOWED);
  } catch (error) {
    if (error instanceof RangeError) return null; // the stack's end
    throw error;
  }
}

function asText(text) {
  const paragraph = document.createElement("p");
  paragraph.className = "plain";
  paragraph.textContent = text;
  const fragment = document.createDocumentFragment();
  fragment.append(paragraph);
  return fragment;
}

function keepOrUnlink(link, addresses) {
  const address = normalised(link.getAttribute("href"));
  if (addresses.has(address)) {
    link.rel = "noopener noreferrer";
    link.target = "_blank";
    return;
  }
  const shown = link.textContent;
  link.replaceWith(address === null || shown === address ? shown : `${shown} (${address})`);
}

/** An http or https address in its one form, else null. */
function normalised(address) {
  const url = URL.canParse(address ?? "") ? new URL(address) : null;
  return url && /^https?:$/.test(url.protocol) ? url.href : null;
}

function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

function makeScrollable(table) {
  const frame = document.createElement("div");
  frame.className = "scrollable";
  frame.tabIndex = 0;
  table.replaceWith(frame);
  frame.append(table);
}

function textNodes(fragment) {
  fragment.normalize();
  const walker = document.createTreeWalker(fragment, NodeFilter.SHOW_TEXT);
  const nodes = [];
  while (walker.nextNode()) {
    if (!walker.currentNode.parentElement?.closest("a, code")) nodes.push(walker.currentNode);
  }
  return nodes;
}

function cite(node, sources, citation) {
  // Every second part is what the group caught.
  const parts = node.data.split(CITATION);
  if (parts.length === 1) return;
  const pieces = parts.map((part, position) => {
    if (position % 2 === 0) return part;
    const numbers = part.split(",").map(Number);
    const known = numbers.every((n) => sources[n - 1]);
    return known ? numbers.map((n) => citation(sources[n - 1])) : `[${part}]`;
  });
  const made = document.createDocumentFragment();
  render(html`${pieces}`, made);
  node.replaceWith(made);
}
