// Discovery: on or off, a look now, and what each source has found or why it hasn't.

import { call } from "./api";
import { byId, Drawn, el, setText, type Child } from "./dom";
import { ago, count, plural, span, visible, words } from "./format";
import { Controls, Outcome } from "./running";
import { discovery, refresh } from "./state";
import type { Discovery, SourceReport } from "./types";

export function discoveryPanel(): void {
  const toggle = byId<HTMLButtonElement>("discovery-toggle");
  const look = byId<HTMLButtonElement>("discovery-look");
  const outcome = new Outcome();
  byId("discovery-outcome").append(outcome.element);
  const controls = new Controls([toggle, look]);
  const words = new Drawn(byId("discovery-words"));
  const sources = new Drawn(byId("discovery-sources"));

  discovery.watch((now) => {
    if (now === null) return;
    setText(toggle, now.discovery_active ? "Stop" : "Start");
    words.draw([now.discovery_active, now.interval_s, now.last_pass, now.total_discovered], () => summary(now));
    sources.draw(now.sources, () => [table(now)]);
  });
  toggle.addEventListener("click", () => {
    const stop = discovery.value?.discovery_active === true;
    void controls.during(async () => {
      const done = await outcome.run(stop ? "Stopping discovery" : "Starting discovery", (signal) => call<Discovery>(stop ? "stop_discovery" : "start_discovery", {}, { signal }));
      if (done) took(done);
    });
  });
  look.addEventListener("click", () => {
    void controls.during(async () => {
      const done = await outcome.run("Looking for peers", (signal) => call<Discovery>("discover_peers", {}, { signal }));
      if (!done) return;
      took(done);
      const found = done.discovered_peers.length;
      outcome.done(found === 0 ? "No peer that wasn't known" : `${plural(found, "new peer")} found`, !done.complete && el("p", { class: "hint" }, "The pass goes on."));
    });
  });
}

function took(done: Discovery): void {
  discovery.set(done);
  refresh("summary", "page", "discovery");
}

function summary(now: Discovery): Child[] {
  return [
    el("span", { class: now.discovery_active ? "state on" : "state off" }, now.discovery_active ? `On, a pass every ${span(now.interval_s)}` : "Off: nothing is asked or dialled unasked"),
    el("span", { class: "from" }, "last pass ", ago(now.last_pass), ` · ${count(now.total_discovered)} found since start`),
  ];
}

function table(now: Discovery): HTMLElement {
  const entries = Object.entries(now.sources).sort(([, a], [, b]) => Number(b.enabled) - Number(a.enabled));
  if (entries.length === 0) return el("p", { class: "hint" }, "No source.");
  const heads = [["Source", "What a source is"], ["New", "New peers in the last pass"], ["All", "New peers since start"], ["Heard", "How often it told of any peer"]];
  return el(
    "table",
    { class: "plain sources" },
    el("caption", { class: "visually-hidden" }, "Sources of discovery"),
    el("thead", {}, el("tr", {}, ...heads.map(([name, title], i) => el("th", { scope: "col", title: i === 0 ? null : title, class: i === 0 ? null : "number" }, name ?? "")))),
    ...entries.map(([name, source]) => el("tbody", { class: source.enabled ? null : "off" }, ...sourceRows(name, source))),
  );
}

function sourceRows(name: string, source: SourceReport): HTMLElement[] {
  const number = (value: number) => el("td", { class: "number" }, source.enabled || value > 0 ? count(value) : "");
  const row = el("tr", {}, el("th", { scope: "row" }, words(name), !source.enabled && el("span", { class: "from" }, " off")), number(source.found), number(source.total_found), number(source.heard));
  const dropped = Object.entries(source.dropped);
  const notes: Child[] = [
    source.enabled && source.note !== null && el("p", { class: "hint" }, visible(source.note)),
    source.last_error !== null && el("p", { class: "bad-text" }, el("strong", { class: "code-name" }, visible(source.last_error.code, 64)), ` ${visible(source.last_error.message)} · `, ago(source.last_error.at)),
    dropped.length > 0 && el("p", { class: "hint" }, `refused: ${dropped.map(([reason, n]) => `${visible(reason, 40)} ${count(n)}`).join(", ")}`),
  ];
  if (!notes.some(Boolean)) return [row];
  return [row, el("tr", { class: "notes" }, el("td", { colspan: 4 }, ...notes))];
}
