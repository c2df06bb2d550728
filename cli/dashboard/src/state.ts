// Keeps what the page knows, and keeps it current: events mark parts as stale, and what is stale is loaded again, all
// of it together and at most four times a second. Nothing is polled but the statistics, slowly.

import { Failure, access, asFailure, call, loadAccess } from "./api";
import { signal } from "./signal";
import type { Discovery, PeerEvent, PeerInfo, PeerPage, Status, Summary } from "./types";

export interface View {
  search: string;
  protocol: string;
  connected: "all" | "connected" | "away";
  sort: "last_seen" | "first_seen" | "latency" | "peer_id";
  limit: number;
  offset: number;
}

export const view = signal<View>({ search: "", protocol: "", connected: "all", sort: "last_seen", limit: 50, offset: 0 });
export const status = signal<Status | null>(null);
export const summary = signal<Summary | null>(null);
export const page = signal<PeerPage | null>(null);
export const discovery = signal<Discovery | null>(null);
export const bootstrap = signal<string[] | null>(null);
export const selected = signal<string | null>(null);
export const peer = signal<PeerInfo | Failure | null>(null);
/** The reason why the node can't be asked at the moment. */
export const trouble = signal<Failure | null>(null);
/** The time at which this run of the node began, by this machine's clock. */
export const startedAt = signal<number | null>(null);

export type Part = "status" | "summary" | "page" | "discovery" | "bootstrap" | "peer";

const PARTS: Part[] = ["status", "summary", "page", "discovery", "bootstrap", "peer"];
const REFRESH_MS = 250;
const SLOW_TICK_MS = 10_000;

const loaders: Record<Part, () => Promise<void>> = {
  async status() {
    took(await call<Status>("status"));
  },
  async summary() {
    summary.set(await call<Summary>("get_peers_summary"));
  },
  async page() {
    await loadPage();
  },
  async discovery() {
    discovery.set(await call<Discovery>("get_discovery"));
  },
  async bootstrap() {
    bootstrap.set((await call<{ bootstrap_peers: string[] }>("list_bootstrap_peers")).bootstrap_peers);
  },
  async peer() {
    await loadPeer();
  },
};

const stale = new Set<Part>();
const loading = new Set<Part>();
let timer: ReturnType<typeof setTimeout> | undefined;
let last = 0;

/** Loads parts again soon; all of them without arguments. */
export function refresh(...parts: Part[]): void {
  for (const part of parts.length > 0 ? parts : PARTS) stale.add(part);
  schedule();
}

function schedule(): void {
  if (timer !== undefined || stale.size === 0 || document.hidden || !access.value.reads) return;
  timer = setTimeout(run, Math.max(0, last + REFRESH_MS - performance.now()));
}

function run(): void {
  timer = undefined;
  last = performance.now();
  for (const part of stale) {
    // One that is on its way is asked again when it's there: its answer may be older than what made it stale.
    if (loading.has(part)) continue;
    stale.delete(part);
    loading.add(part);
    void load(part);
  }
}

async function load(part: Part): Promise<void> {
  try {
    await loaders[part]();
    trouble.set(null);
  } catch (error) {
    fail(asFailure(error));
  } finally {
    loading.delete(part);
    schedule();
  }
}

/** A call failed in a way that says something of the node, or of the way to it. */
export function fail(failure: Failure): void {
  if (failure.nodeDown || failure.tokenRefused) trouble.set(failure);
}

let asked = 0;

async function loadPage(): Promise<void> {
  const wanted = view.value;
  const number = ++asked;
  const params: Record<string, unknown> = { limit: wanted.limit, offset: wanted.offset, sort: wanted.sort };
  if (wanted.search !== "") params["search"] = wanted.search;
  if (wanted.protocol !== "") params["filter_protocol"] = wanted.protocol;
  if (wanted.connected !== "all") params["filter_connected"] = wanted.connected === "connected";
  const got = await call<PeerPage>("list_peers", params);
  if (number !== asked || wanted !== view.value) {
    refresh("page");
    return;
  }
  const { total } = got.pagination;
  if (got.peers.length === 0 && wanted.offset > 0) {
    // The list has become shorter than where we stood.
    turn(Math.max(0, Math.ceil(total / wanted.limit) - 1) * wanted.limit);
    return;
  }
  page.set(got);
}

async function loadPeer(): Promise<void> {
  const id = selected.value;
  if (id === null) return peer.set(null);
  try {
    const { peer_info } = await call<{ peer_info: PeerInfo }>("get_peer", { peer_id: id });
    if (selected.value === id) peer.set(peer_info);
  } catch (error) {
    const failed = asFailure(error);
    if (failed.unreachable || failed.nodeDown) throw failed;
    if (selected.value === id) peer.set(failed);
  }
}

/** Changes what the table shows; anything but the page itself starts at the first page again. */
export function look(change: Partial<View>): void {
  view.set({ ...view.value, offset: 0, ...change });
  refresh("page");
}

export function turn(offset: number): void {
  view.set({ ...view.value, offset });
  refresh("page");
}

export function select(id: string | null): void {
  if (id === selected.value) return;
  peer.set(null);
  selected.set(id);
  refresh("peer");
}

function took(got: Status): void {
  status.set(got);
  const began = Date.now() / 1000 - got.uptime_seconds;
  if (startedAt.value === null || Math.abs(startedAt.value - began) > 2) startedAt.set(began);
}

/** Asks the node for its state and what is allowed; tells whether this is another run than before. */
export async function begin(): Promise<boolean> {
  const before = { run: startedAt.value, id: status.value?.peer_id };
  try {
    await loadAccess();
    // Calls would be refused, and the browser would log each of them.
    if (!access.value.reads) throw new Failure("token", access.value.reason ?? "Enter the token", null, {}, 401);
    took(await call<Status>("status"));
    trouble.set(null);
  } catch (error) {
    fail(asFailure(error));
    throw error;
  }
  return before.run !== startedAt.value || before.id !== status.value?.peer_id;
}

/** The parts that an event makes stale. */
export function heard(event: PeerEvent): void {
  const parts: Part[] = ["summary"];
  if (event.peer_id !== null && event.event !== "message") parts.push("page");
  if (event.peer_id !== null && event.peer_id === selected.value) parts.push("peer");
  if (event.event === "discovery" || event.event === "peer_discovered") parts.push("discovery");
  if (event.event === "listen_addr" || event.event === "external_addr") parts.push("status");
  refresh(...parts);
}

export function keepCurrent(): void {
  setInterval(() => refresh("summary", "discovery", "bootstrap", "peer"), SLOW_TICK_MS);
  document.addEventListener("visibilitychange", schedule);
}
