// Two charts in SVG: drawn here because a canvas would have neither the page's colours, nor
// words for a screen reader, nor marks that a test can find.

import { html, svg } from "./vendor/lit-html-3.3.3/lit-html.js";

const WIDTH = 480;
const HEIGHT = 210;
const LEFT = 84;
const BOTTOM = 24;
const TOP = 10;
const TICKS = 4;

/** Marks over time: `points` are `{at, value, series, title}`, `series` 0 (discs) or 1 (squares). */
export function dots({ points, label, amount, time }) {
  const scale = vertical(Math.max(...points.map((point) => point.value)));
  const first = Math.min(...points.map((point) => point.at));
  const last = Math.max(...points.map((point) => point.at));
  const x = (at) => LEFT + 8 + ((at - first) / (last - first || 1)) * (WIDTH - LEFT - 16);
  const mark = ({ at, value, series, title }) =>
    series === 0
      ? svg`<circle class="first" cx=${x(at)} cy=${scale.y(value)} r="4"><title>${title}</title></circle>`
      : svg`<rect class="second" x=${x(at) - 4} y=${scale.y(value) - 4} width="8" height="8"><title>${title}</title></rect>`;
  return frame(label, svg`
    ${grid(scale, amount)} ${points.map(mark)}
    ${below(x(first), "start", time(first))} ${below(x(last), "end", time(last))}`);
}

/** Two bars for each of `days`: `{name, first, second, title}`. */
export function bars({ days, label, amount }) {
  const scale = vertical(Math.max(...days.flatMap((day) => [day.first, day.second])));
  const step = (WIDTH - LEFT) / days.length;
  const width = Math.min(step * 0.36, 40);
  const bar = (series, x, value) =>
    svg`<rect class=${series} x=${x} y=${scale.y(Math.max(value, 0))} width=${width}
      height=${scale.y(0) - scale.y(Math.max(value, 0))}></rect>`;
  const group = (day, n) => {
    const middle = LEFT + step * (n + 0.5);
    return svg`<g class="day"><title>${day.title}</title>
      ${bar("first", middle - width, day.first)} ${bar("second", middle, day.second)}</g>`;
  };
  const named = days.length === 1 ? [0] : [0, days.length - 1];
  return frame(label, svg`
    ${grid(scale, amount)} ${days.map(group)}
    ${named.map((n) => below(LEFT + step * (n + 0.5), "middle", days[n].name))}`);
}

function frame(label, content) {
  return html`<svg class="chart" role="img" aria-label=${label} viewBox="0 0 ${WIDTH} ${HEIGHT}">
    ${content}
  </svg>`;
}

/** A scale from 0 to a round number that `most` does not pass. */
function vertical(most) {
  const power = 10 ** Math.floor(Math.log10(most > 0 ? most : 1));
  const top = [1, 2, 5, 10].find((factor) => factor * power >= most) * power;
  return { top, y: (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP) };
}

function grid({ top, y }, amount) {
  const values = Array.from({ length: TICKS + 1 }, (_, n) => (top * n) / TICKS);
  return values.map(
    (value) => svg`<line x1=${LEFT} x2=${WIDTH} y1=${y(value)} y2=${y(value)}></line>
      <text x=${LEFT - 6} y=${y(value) + 4} text-anchor="end">${amount(value)}</text>`,
  );
}

function below(x, anchor, words) {
  return svg`<text x=${x} y=${HEIGHT - 6} text-anchor=${anchor}>${words}</text>`;
}
