// Shows a dial's outcome, address by address, and the sources that were asked for addresses.

import type { Failure } from "./api";
import { el, type Child } from "./dom";
import { code, ms, plural, sentence, visible, words } from "./format";
import type { Attempt, Lookup } from "./types";

/** The report of a failed connect. */
export function failedDial(failure: Failure): Child[] {
  return [attemptsTable(list<Attempt>(failure.detail["attempts"])), lookupsList(list<Lookup>(failure.detail["lookups"]))];
}

function list<T>(value: unknown): T[] {
  return Array.isArray(value) ? (value as T[]) : [];
}

export function attemptsTable(attempts: Attempt[]): Child {
  if (attempts.length === 0) return null;
  const rows = attempts.map((attempt) =>
    el(
      "tr",
      {},
      el("td", { class: "where" }, code(attempt.address, 200), el("span", { class: "from" }, ` from ${words(attempt.source)}`)),
      el("td", { class: "stage" }, attempt.stage === null ? "connected" : words(attempt.stage)),
      el("td", { class: "why" }, ...why(attempt)),
      el("td", { class: "number" }, ms(attempt.duration_ms)),
    ),
  );
  const heads = ["Address", "Stage", "What happened", "Time"].map((name) => el("th", { scope: "col" }, name));
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": "What became of each address" },
    el("table", { class: "plain attempts" }, el("caption", {}, `${plural(attempts.length, "address", "addresses")}`), el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows)),
  );
}

function why(attempt: Attempt): Child[] {
  if (attempt.stage === null) return ["answered"];
  if (attempt.stage === "skipped") return ["not tried"];
  return [
    attempt.code !== null && el("strong", { class: "code-name" }, visible(attempt.code, 64)),
    " ",
    visible(attempt.error ?? ""),
    attempt.hint !== null && el("p", { class: "hint" }, sentence(attempt.hint)),
  ];
}

export function lookupsList(lookups: Lookup[]): Child {
  if (lookups.length === 0) return null;
  const asked = lookups.map((lookup) => {
    const found = lookup.error === null ? plural(lookup.found, "address", "addresses") : visible(lookup.error);
    return el("li", {}, `${words(lookup.source)}: ${found} in ${ms(lookup.duration_ms)}`);
  });
  return el("div", { class: "lookups" }, el("p", { class: "hint" }, "Asked for addresses:"), el("ul", {}, ...asked));
}
