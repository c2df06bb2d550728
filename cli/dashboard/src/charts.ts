// The two drawings: a line of round trip times, and how many peers speak which protocol. Both also say in words what
// they show.

import { el, svg } from "./dom";
import { count, ms, plural, visible } from "./format";

const WIDTH = 240;
const HEIGHT = 48;
const PAD = 4;

/** A line of the latest values, left to right, with its last one marked. */
export function sparkline(values: readonly number[]): HTMLElement {
  const latest = values.at(-1);
  if (latest === undefined) return el("p", { class: "hint" }, "No round trip times yet: ping the peer.");
  const low = Math.min(...values);
  const high = Math.max(...values);
  const middle = [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? latest;
  const label = `Round trip times, the last ${values.length}: lowest ${ms(low)}, median ${ms(middle)}, highest ${ms(high)}`;
  const x = (i: number) => (values.length === 1 ? WIDTH - PAD : PAD + (i / (values.length - 1)) * (WIDTH - 2 * PAD));
  // From zero up, so that a flat line of a good connection doesn't look like mountains.
  const y = (value: number) => HEIGHT - PAD - (value / (high * 1.1 || 1)) * (HEIGHT - 2 * PAD);
  const points = values.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`);
  const area = `${x(0).toFixed(1)},${HEIGHT - PAD} ${points.join(" ")} ${x(values.length - 1).toFixed(1)},${HEIGHT - PAD}`;
  const chart = svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "sparkline", role: "img", "aria-label": label, preserveAspectRatio: "none" },
    svg("line", { x1: PAD, x2: WIDTH - PAD, y1: HEIGHT - PAD, y2: HEIGHT - PAD, class: "axis" }),
    svg("polygon", { points: area, class: "area" }),
    svg("polyline", { points: points.join(" "), class: "line" }),
    // A line of no length with round ends: a dot that stays round however wide the drawing is stretched.
    svg("line", { x1: x(values.length - 1), x2: x(values.length - 1), y1: y(latest), y2: y(latest), class: "latest" }),
  );
  return el(
    "div",
    { class: "sparkline-box" },
    chart,
    el("p", { class: "sparkline-words", "aria-hidden": "true" }, `low ${ms(low)} · median ${ms(middle)} · high ${ms(high)}`),
  );
}

/** The protocols most spoken; choosing one shows who speaks it. */
export function protocolBars(protocols: Record<string, number>, chosen: string, choose: (name: string) => void): HTMLElement {
  const top = Object.entries(protocols)
    .sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))
    .slice(0, 8);
  if (top.length === 0) return el("p", { class: "hint" }, "No peer has told its protocols yet.");
  const most = top[0]?.[1] ?? 1;
  const rows = top.map(([name, n]) => {
    const pressed = name === chosen;
    const button = el(
      "button",
      {
        type: "button",
        class: "bar",
        "aria-pressed": String(pressed),
        title: pressed ? "Show peers of every protocol" : "Show the peers that speak it",
        on: { click: () => choose(pressed ? "" : name) },
      },
      el("bdi", { class: "bar-name", dir: "ltr" }, visible(name, 80)),
      el("span", { class: "bar-count" }, count(n), el("span", { class: "visually-hidden" }, n === 1 ? " peer" : " peers")),
      svg(
        "svg",
        { class: "bar-line", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
        svg("rect", { x: 0, y: 0, width: 100, height: 4, class: "bar-all" }),
        svg("rect", { x: 0, y: 0, width: Math.max(1, (n / most) * 100), height: 4, class: "bar-part" }),
      ),
    );
    return el("li", {}, button);
  });
  const others = Object.keys(protocols).length - top.length;
  return el(
    "div",
    {},
    el("ul", { class: "bars" }, ...rows),
    others > 0 && el("p", { class: "hint" }, `and ${plural(others, "other")}; the filter above the table has them`),
  );
}
