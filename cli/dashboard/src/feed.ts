// The feed of events, newest first: at most so many, of all kinds or one, standing still while somebody reads.

import { byId, el, setText } from "./dom";
import { bytes, clock, code, ms, plural, remote, shortId, visible, words } from "./format";
import { select } from "./state";
import type { PeerEvent } from "./types";

const MOST = 500;

const KINDS = ["peer_discovered", "peer_connected", "peer_identified", "peer_disconnected", "dial_failed", "connections_refused", "listen_addr", "external_addr", "discovery", "message", "stopped"];

let events: PeerEvent[] = [];
let waiting: PeerEvent[] = [];
let paused = false;
let kind = "";
let drawing = false;

export function feed(): void {
  const filter = byId<HTMLSelectElement>("feed-kind");
  filter.append(el("option", { value: "" }, "All kinds"), ...KINDS.map((name) => el("option", { value: name }, words(name))));
  filter.addEventListener("change", () => {
    kind = filter.value;
    redraw();
  });
  const pause = byId<HTMLButtonElement>("feed-pause");
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    if (!paused) {
      const late = waiting;
      waiting = [];
      events = [...events, ...late].slice(-MOST);
      redraw();
    }
    showWaiting();
  });
  byId("feed-clear").addEventListener("click", () => {
    events = [];
    waiting = [];
    redraw();
    showWaiting();
  });
  byId("feed-rows").addEventListener("click", (event) => {
    const button = (event.target as Element).closest<HTMLElement>("button[data-id]");
    if (button) select(button.dataset["id"] ?? null);
  });
  redraw();
}

export function show(event: PeerEvent): void {
  const list = paused ? waiting : events;
  list.push(event);
  if (list.length > MOST) list.splice(0, list.length - MOST);
  if (paused) showWaiting();
  else later();
}

/** Events that were lost because they came faster than they were read. */
export function lost(number: number): void {
  show({ seq: 0, timestamp: Date.now() / 1000, peer_id: null, event: "lagged", lagged: number });
}

/** The newest event drawn by now; many events of one moment are drawn together. */
let drawnUpTo: PeerEvent | undefined;

function later(): void {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    const from = drawnUpTo === undefined ? 0 : events.lastIndexOf(drawnUpTo) + 1;
    const rows = byId("feed-rows");
    for (const event of events.slice(from)) if (wanted(event)) rows.prepend(row(event));
    while (rows.children.length > MOST) rows.lastElementChild?.remove();
    drawnUpTo = events.at(-1);
    showEmpty();
  });
}

function redraw(): void {
  byId("feed-rows").replaceChildren(...events.filter(wanted).map(row).reverse());
  drawnUpTo = events.at(-1);
  showEmpty();
}

function wanted(event: PeerEvent): boolean {
  return kind === "" || event.event === kind || event.event === "lagged";
}

function showEmpty(): void {
  byId("feed-empty").hidden = byId("feed-rows").children.length > 0;
}

function showWaiting(): void {
  setText(byId("feed-pause"), paused ? `Resume${waiting.length > 0 ? ` (${waiting.length}${waiting.length === MOST ? "+" : ""} new)` : ""}` : "Pause");
}

function row(event: PeerEvent): HTMLElement {
  const who = event.peer_id;
  return el(
    "li",
    { "data-kind": event.event },
    el("time", { class: "number", datetime: new Date(event.timestamp * 1000).toISOString() }, clock(event.timestamp)),
    el("span", { class: "kind" }, words(event.event)),
    who === null
      ? el("span", { class: "who none" }, "this node")
      : el("button", { type: "button", class: "who link", "data-id": who, title: visible(who) }, el("bdi", { class: "code", dir: "ltr" }, shortId(who))),
    el("span", { class: "what" }, ...what(event)),
  );
}

function text(event: PeerEvent, field: string): string {
  const value = event[field];
  return typeof value === "string" ? value : "";
}

function what(event: PeerEvent): (Node | string)[] {
  switch (event.event) {
    case "peer_discovered":
      return [`by ${words(text(event, "source"))} `, ...first(event["multiaddrs"])];
    case "peer_connected":
      return [`${words(text(event, "direction"))}, ${words(text(event, "transport"))} `, code(text(event, "address"), 200)];
    case "peer_identified":
      return [remote(text(event, "agent_version"), 120), ` speaks ${plural(list(event["protocols"]).length, "protocol")}`];
    case "peer_disconnected":
      return [words(text(event, "reason")), event["inferred"] === true ? " (inferred)" : "", text(event, "error") === "" ? "" : `: ${visible(text(event, "error"))}`];
    case "dial_failed":
      return [el("strong", { class: "code-name" }, visible(text(event, "code"), 64)), ` ${visible(text(event, "error"))} (${words(text(event, "source"))})`];
    case "listen_addr":
    case "external_addr":
      return [`${event["event"] === "listen_addr" ? "listening" : "reachable"} ${event["active"] === true ? "at" : "no longer at"} `, code(text(event, "address"), 200)];
    case "discovery":
      return [found(event["found"]), ` in ${ms(Number(event["duration_ms"] ?? 0))}`];
    case "message":
      return [`${bytes((text(event, "data_base64").length * 3) / 4)} on `, remote(text(event, "topic"), 120)];
    case "stopped":
      return [`the node stopped: ${words(text(event, "code"))}`];
    case "lagged":
      return [`${plural(Number(event["lagged"]), "event")} lost: they came faster than they could be read`];
    default:
      return [visible(JSON.stringify(event), 300)];
  }
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function first(addresses: unknown): (Node | string)[] {
  const all = list(addresses);
  return all.length === 0 ? [] : [code(String(all[0]), 200), all.length > 1 ? ` +${all.length - 1}` : ""];
}

function found(value: unknown): string {
  const by = Object.entries((value ?? {}) as Record<string, number>).filter(([, n]) => n > 0);
  return by.length === 0 ? "a pass found nobody new" : `a pass found ${by.map(([source, n]) => `${n} by ${words(source)}`).join(", ")}`;
}
