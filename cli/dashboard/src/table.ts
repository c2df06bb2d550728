// The table of peers: filters, sort and paging, all done by the node; rows that stay the same elements while what they
// say changes, so that focus and selection survive; and the keyboard.

import { announce, byId, copyButton, el, fill, icon, setAttribute, setText } from "./dom";
import { ago, code, count, ms, remote, shortId, visible } from "./format";
import { look, page, select, selected, summary, turn, view, type View } from "./state";
import type { PeerPage, PeerRow } from "./types";

const SEARCH_PAUSE_MS = 200;
const FLASH_MS = 1600;
/** The most protocols to choose from; beyond them there is the search. */
const MOST_CHOICES = 250;

interface Row {
  element: HTMLTableRowElement;
  shown: string;
  connected: boolean;
}

const rows = new Map<string, Row>();

export function table(): void {
  toolbar();
  pager();
  page.watch((now) => now !== null && show(now));
  selected.watch(mark);
  const body = byId("rows");
  body.addEventListener("keydown", keys);
  body.addEventListener("click", (event) => {
    const row = (event.target as Element).closest<HTMLElement>("tr[data-id]");
    // Whoever is marking text to copy it isn't choosing a row.
    if (!row || getSelection()?.isCollapsed === false) return;
    select(row.dataset["id"] ?? null);
    if (detailsCover()) byId("details-title").focus();
  });
}

function show(now: PeerPage): void {
  const body = byId("rows");
  const focused = body.contains(document.activeElement) ? document.activeElement : null;
  const present = new Set(now.peers.map((peer) => peer.peer_id));
  let gone = false;
  for (const [id, row] of rows) {
    if (present.has(id)) continue;
    gone ||= row.element.contains(focused);
    row.element.remove();
    rows.delete(id);
  }
  now.peers.forEach((peer, i) => {
    const row = rows.get(peer.peer_id) ?? fresh(peer.peer_id);
    update(row, peer);
    setAttribute(row.element, "aria-rowindex", String(now.pagination.offset + i + 2));
    if (body.children[i] !== row.element) body.insertBefore(row.element, body.children[i] ?? null);
  });
  setAttribute(byId("peers-table"), "aria-rowcount", String(now.pagination.total + 1));
  byId("empty").hidden = now.peers.length > 0;
  if (now.peers.length === 0) setText(byId("empty"), emptyWords());
  showPager(now);
  mark();
  // Moving an element takes the focus from it.
  if (focused instanceof HTMLElement && focused.isConnected) focused.focus({ preventScroll: true });
  else if (gone) body.querySelector<HTMLElement>("tr")?.focus({ preventScroll: true });
}

function emptyWords(): string {
  const { search, protocol, connected } = view.value;
  if (search !== "" || protocol !== "" || connected !== "all") return "No peer matches. Change the search or the filters.";
  return "No peers yet. Connect to one by its address, or let discovery find some.";
}

function fresh(id: string): Row {
  const element = el("tr", { role: "row", "data-id": id, tabindex: -1, "aria-selected": "false" });
  const row = { element, shown: "", connected: false };
  rows.set(id, row);
  return row;
}

function update(row: Row, peer: PeerRow): void {
  const shown = JSON.stringify([peer.connected, peer.agent_version, peer.direction, peer.transport, peer.latency_ms, peer.last_seen, peer.multiaddrs]);
  if (shown === row.shown) return;
  const turned = row.shown !== "" && row.connected !== peer.connected;
  row.shown = shown;
  row.connected = peer.connected;
  setAttribute(row.element, "data-connected", String(peer.connected));
  fill(row.element, ...cells(peer));
  if (turned) flash(row.element);
}

function flash(element: HTMLElement): void {
  element.classList.add("turned");
  setTimeout(() => element.classList.remove("turned"), FLASH_MS);
}

function cells(peer: PeerRow): HTMLElement[] {
  const cell = (name: string, ...children: (Node | string)[]) => el("td", { role: "gridcell", class: `col-${name}` }, ...children);
  const short = el("bdi", { class: "code id", dir: "ltr", title: visible(peer.peer_id) }, shortId(peer.peer_id));
  const copy = copyButton(peer.peer_id, `peer id ${shortId(peer.peer_id)}`);
  // The row is the stop of the Tab key; the pane of details has this button too.
  copy.tabIndex = -1;
  const agent = remote(peer.agent_version, 120);
  agent.title = visible(peer.agent_version ?? "");
  return [
    cell("status", state(peer.connected)),
    cell("peer", el("span", { class: "with-copy" }, short, copy)),
    cell("agent", agent),
    cell("transport", ...way(peer)),
    cell("latency", peer.latency_ms === null ? el("span", { class: "none" }, "–") : ms(peer.latency_ms)),
    cell("seen", ago(peer.last_seen)),
    cell("address", ...addresses(peer.multiaddrs)),
  ];
}

/** Said by shape and word, not by colour alone. */
export function state(connected: boolean): HTMLElement {
  return el("span", { class: connected ? "state on" : "state off" }, connected ? "Connected" : "Away");
}

export function way(peer: Pick<PeerRow, "transport" | "direction">): (Node | string)[] {
  if (peer.transport === null) return [el("span", { class: "none" }, "–")];
  const inbound = peer.direction === "inbound";
  const words = inbound ? "inbound" : "outbound";
  return [el("span", { class: "way", title: `${peer.transport}, ${words}` }, icon(inbound ? "in" : "out"), peer.transport.toUpperCase(), el("span", { class: "visually-hidden" }, ` ${words}`))];
}

function addresses(all: string[]): (Node | string)[] {
  const first = all[0];
  if (first === undefined) return [el("span", { class: "none" }, "none known")];
  const shown = code(first, 160);
  shown.title = visible(first);
  const more = all.slice(1).map((address) => visible(address, 160));
  const badge = more.length > 0 && el("span", { class: "more", title: more.join("\n") }, `+${more.length}`);
  return [el("span", { class: "with-more" }, shown, badge)];
}

/** Marks the chosen row; one row at a time is where Tab stops. */
function mark(): void {
  let stop: HTMLElement | undefined;
  for (const [id, row] of rows) {
    const chosen = id === selected.value;
    setAttribute(row.element, "aria-selected", String(chosen));
    if (chosen || row.element === document.activeElement) stop = row.element;
  }
  stop ??= byId("rows").querySelector<HTMLElement>("tr") ?? undefined;
  for (const row of rows.values()) row.element.tabIndex = row.element === stop ? 0 : -1;
}

function keys(event: KeyboardEvent): void {
  const row = (event.target as Element).closest<HTMLElement>("tr[data-id]");
  if (!row || event.target !== row || event.altKey || event.ctrlKey || event.metaKey) return;
  const go = (to: Element | null) => {
    if (!(to instanceof HTMLElement)) return;
    row.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  };
  switch (event.key) {
    case "ArrowDown":
      go(row.nextElementSibling);
      break;
    case "ArrowUp":
      go(row.previousElementSibling);
      break;
    case "Home":
      go(row.parentElement?.firstElementChild ?? null);
      break;
    case "End":
      go(row.parentElement?.lastElementChild ?? null);
      break;
    case "PageDown":
      step(1);
      break;
    case "PageUp":
      step(-1);
      break;
    case "Enter":
    case " ":
      select(row.dataset["id"] ?? null);
      byId("details-title").focus();
      break;
    default:
      return;
  }
  event.preventDefault();
}

/** Lays the pane over the table where there's little room. */
function detailsCover(): boolean {
  return getComputedStyle(byId("details")).position === "fixed";
}

/** Puts the focus back where the user chose from. */
export function focusRow(id: string): void {
  (rows.get(id)?.element ?? byId("rows").querySelector<HTMLElement>("tr") ?? byId("search")).focus();
}

function toolbar(): void {
  const search = byId<HTMLInputElement>("search");
  let timer: ReturnType<typeof setTimeout> | undefined;
  const apply = () => {
    clearTimeout(timer);
    if (search.value.trim() !== view.value.search) look({ search: search.value.trim() });
  };
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(apply, SEARCH_PAUSE_MS);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") apply();
    if (event.key === "Escape" && search.value !== "") {
      event.stopPropagation();
      search.value = "";
      apply();
    }
    if (event.key === "ArrowDown") byId("rows").querySelector<HTMLElement>("tr[tabindex='0']")?.focus();
  });
  const protocol = byId<HTMLSelectElement>("protocol");
  protocol.addEventListener("change", () => look({ protocol: choices[Number(protocol.value)] ?? "" }));
  summary.watch((now) => now !== null && showProtocols(protocol, now.protocols));
  view.watch(() => summary.value !== null && showProtocols(protocol, summary.value.protocols));
  const connected = byId<HTMLSelectElement>("connected");
  connected.addEventListener("change", () => look({ connected: connected.value as View["connected"] }));
  const sort = byId<HTMLSelectElement>("sort");
  sort.addEventListener("change", () => look({ sort: sort.value as View["sort"] }));
  for (const header of document.querySelectorAll<HTMLElement>("th[data-sort]")) {
    header.querySelector("button")?.addEventListener("click", () => look({ sort: header.dataset["sort"] as View["sort"] }));
  }
  view.watch((now) => {
    sort.value = now.sort;
    for (const header of document.querySelectorAll<HTMLElement>("th[data-sort]")) {
      const by = header.dataset["sort"] === now.sort;
      setAttribute(header, "aria-sort", by ? (header.dataset["order"] ?? "ascending") : "none");
    }
  });
}

/** The choices by their number: what remotes call their protocols is no fit value of an attribute. */
let choices: string[] = [];
let choicesShown = "";

function showProtocols(field: HTMLSelectElement, protocols: Record<string, number>): void {
  const names = Object.keys(protocols).sort().slice(0, MOST_CHOICES);
  const chosen = view.value.protocol;
  if (chosen !== "" && !names.includes(chosen)) names.unshift(chosen);
  const key = JSON.stringify([names, names.map((name) => protocols[name]), chosen]);
  // An open list stays as it is.
  if (key === choicesShown || (document.activeElement === field && field.matches(":open"))) return;
  choicesShown = key;
  choices = ["", ...names];
  const options = choices.map((name, i) =>
    el("option", { value: i, selected: name === chosen }, name === "" ? "Any protocol" : `${visible(name, 64)} (${count(protocols[name] ?? 0)})`),
  );
  fill(field, ...options);
}

function step(pages: number): void {
  const now = page.value?.pagination;
  if (!now) return;
  const to = view.value.offset + pages * view.value.limit;
  if (to < 0 || to >= now.total) return;
  turn(to);
}

function pager(): void {
  const go = (id: string, where: () => void) => byId(id).addEventListener("click", where);
  go("page-first", () => turn(0));
  go("page-previous", () => step(-1));
  go("page-next", () => step(1));
  go("page-last", () => {
    const { total } = page.value?.pagination ?? { total: 0 };
    turn(Math.max(0, Math.ceil(total / view.value.limit) - 1) * view.value.limit);
  });
  for (const name of ["first", "previous", "next", "last"] as const) byId(`page-${name}`).append(icon(name));
  const limit = byId<HTMLSelectElement>("limit");
  limit.addEventListener("change", () => look({ limit: Number(limit.value) }));
}

let announced = "";

function showPager(now: PeerPage): void {
  const { total, offset, limit } = now.pagination;
  const from = total === 0 ? 0 : offset + 1;
  const to = offset + now.peers.length;
  setText(byId("page-words"), total === 0 ? "0 peers" : `${count(from)}–${count(to)} of ${count(total)}`);
  const atStart = offset === 0;
  const atEnd = offset + limit >= total;
  for (const [id, off] of [["page-first", atStart], ["page-previous", atStart], ["page-next", atEnd], ["page-last", atEnd]] as const) {
    setAttribute(byId(id), "aria-disabled", off ? "true" : null);
    byId<HTMLButtonElement>(id).disabled = off && document.activeElement !== byId(id);
  }
  const { search, protocol, connected } = view.value;
  const asked = JSON.stringify([search, protocol, connected, offset]);
  if (asked !== announced && announced !== "") announce(total === 1 ? "1 peer" : `${total} peers, showing ${from} to ${to}`);
  announced = asked;
}
