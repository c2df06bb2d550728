// Everything known of the chosen peer, and what can be done with it.

import { Failure, call } from "./api";
import { connect } from "./connect";
import { sparkline } from "./charts";
import { announce, byId, copyButton, Drawn, el, fill, setText, type Child } from "./dom";
import { ago, code, count, ms, plural, remote, shortId, visible, words } from "./format";
import { Controls, failureBox, Outcome } from "./running";
import { page, peer, refresh, select, selected } from "./state";
import { focusRow, state, way } from "./table";
import type { PeerInfo, Pinged } from "./types";

/** The number of round trip times kept of a peer, and of peers that they are kept of. */
const MOST_TIMES = 60;
const MOST_SERIES = 500;
const PINGS = 5;

const series = new Map<string, number[]>();

function measured(id: string, ...times: number[]): void {
  const all = [...(series.get(id) ?? []), ...times].slice(-MOST_TIMES);
  series.delete(id);
  series.set(id, all);
  for (const oldest of series.keys()) {
    if (series.size <= MOST_SERIES) break;
    series.delete(oldest);
  }
}

/** Takes what the node measures by itself from the rows as they change. */
function rowTimes(): void {
  const seen = new Map<string, number | null>();
  page.watch((now) => {
    for (const row of now?.peers ?? []) {
      if (row.latency_ms !== null && seen.get(row.peer_id) !== row.latency_ms) measured(row.peer_id, row.latency_ms);
      seen.set(row.peer_id, row.latency_ms);
    }
    if (seen.size > 4 * MOST_SERIES) seen.clear();
  });
}

let connectedNow = false;
let armed = false;

export function details(): void {
  rowTimes();
  const pane = byId("details");
  const parts = new Map([...byId("details-body").children].map((part) => [part.id, new Drawn(part as HTMLElement)]));
  const outcome = new Outcome();
  byId("details-outcome").append(outcome.element);
  const controls = actions(outcome);
  byId("details-close").addEventListener("click", close);
  pane.addEventListener("keydown", (event) => event.key === "Escape" && close());

  selected.watch((id) => {
    outcome.clear();
    disarm();
    pane.hidden = id === null;
    document.body.toggleAttribute("data-details", id !== null);
    if (id === null) return;
    fill(byId("details-title"), el("bdi", { class: "code", dir: "ltr", title: visible(id) }, shortId(id)));
    byId("details-id").replaceChildren(code(id), copyButton(id, "the peer id"));
    for (const scrolled of [pane, pane.parentElement]) scrolled?.scrollTo(0, 0);
    const row = page.value?.peers.find((known) => known.peer_id === id);
    if (row) announce(`Details of ${shortId(id)}`);
  });
  peer.watch((now) => {
    const unknown = now instanceof Failure;
    byId("details-body").hidden = now === null || unknown;
    fill(byId("details-unknown"), unknown && failureBox(now));
    if (now === null || unknown) {
      connectedNow = false;
      fill(byId("details-state"));
    } else {
      connectedNow = now.connected;
      draw(parts, now);
    }
    controls.update();
  });
}

function close(): void {
  const id = selected.value;
  select(null);
  if (id !== null) focusRow(id);
}

function actions(outcome: Outcome): Controls {
  const button = (name: string) => byId<HTMLButtonElement>(`do-${name}`);
  const controls = new Controls([button("connect"), button("disconnect"), button("ping"), button("forget")], (element) => {
    if (peer.value === null || peer.value instanceof Failure) return "Nothing is known of this peer";
    if (element.id === "do-connect" && connectedNow) return "It is connected";
    if ((element.id === "do-disconnect" || element.id === "do-ping") && !connectedNow) return "It isn't connected";
    return null;
  });
  const act = (name: string, action: (id: string) => Promise<void>) =>
    button(name).addEventListener("click", () => {
      const id = selected.value;
      if (id !== null && controls.allowed) void controls.during(() => action(id));
    });
  act("connect", async (id) => {
    await connect({ peer_id: id }, outcome);
  });
  act("disconnect", async (id) => {
    const done = await outcome.run("Disconnecting", (signal) => call<{ was_connected: boolean }>("disconnect_peer", { peer_id: id }, { signal }));
    refresh("page", "summary", "peer");
    if (done) outcome.done(done.was_connected ? "Disconnected. It isn't dialled again unasked." : "It wasn't connected any more.");
  });
  act("ping", (id) => ping(id, outcome));
  button("forget").addEventListener("blur", disarm);
  act("forget", async (id) => {
    if (!armed) {
      armed = true;
      setText(button("forget"), "Really forget?");
      announce("Press again to forget this peer: its addresses, tags and history");
      return;
    }
    disarm();
    const done = await outcome.run("Forgetting", (signal) => call("remove_peer", { peer_id: id }, { signal }));
    refresh("page", "summary");
    if (done && selected.value === id) close();
  });
  return controls;
}

function disarm(): void {
  armed = false;
  setText(byId("do-forget"), "Forget");
}

async function ping(id: string, outcome: Outcome): Promise<void> {
  const pinged = await outcome.run("Pinging", (signal) => call<Pinged>("ping_peer", { peer_id: id, count: PINGS }, { signal }));
  refresh("peer", "page");
  if (pinged === undefined) return;
  const times = pinged.rtts_ms;
  measured(id, ...times);
  const mean = times.reduce((sum, time) => sum + time, 0) / (times.length || 1);
  outcome.done(
    `${count(pinged.received)} of ${plural(pinged.sent, "ping")} answered${times.length > 0 ? `, ${ms(mean)} on average` : ""}`,
    times.length > 0 && el("p", { class: "rtts number" }, times.map(ms).join(" · ")),
  );
}

function draw(parts: Map<string, Drawn>, now: PeerInfo): void {
  const part = (name: string, key: unknown, children: () => Child[]) => parts.get(`details-${name}`)?.draw(key, children);
  fill(byId("details-state"), state(now.connected));
  const { connections: _c, protocols: _p, multiaddrs: _m, metadata: _d, ...facts } = now;
  part("facts", facts, () => factList(now));
  const times = series.get(now.peer_id) ?? [];
  part("latency", [now.peer_id, times], () => [heading("Latency"), sparkline(times)]);
  part("connections", now.connections, () => connections(now));
  part("addresses", [now.peer_id, now.multiaddrs], () => [heading("Addresses", now.multiaddrs.length), addresses(now)]);
  part("protocols", now.protocols, () => [heading("Protocols", now.protocols.length), protocols(now)]);
  part("tags", [now.tags, now.metadata], () => own(now));
}

function heading(text: string, number?: number): HTMLElement {
  return el("h3", {}, text, number !== undefined && el("span", { class: "badge" }, count(number)));
}

function factList(now: PeerInfo): Child[] {
  const facts: [string, Child[]][] = [
    ["Agent", [remote(now.agent_version)]],
    ["Protocol family", [remote(now.protocol_version)]],
    ["Transport", way(now)],
    ["Latency", [ms(now.latency_ms)]],
    ["Last seen", [ago(now.last_seen)]],
    ["First seen", [ago(now.first_seen)]],
    ["Known from", now.sources.map((source) => el("span", { class: "chip" }, words(source)))],
    ["Policy", [words(now.policy)]],
    ["Cluster member", [now.cluster_peer ? "yes" : "no"]],
    ["Connects asked for", [count(now.connection_attempts), now.last_connection_attempt !== null && ", last ", now.last_connection_attempt !== null && ago(now.last_connection_attempt)]],
    ["Connections made", [count(now.successful_connections), now.last_successful_connection !== null && ", last ", now.last_successful_connection !== null && ago(now.last_successful_connection)]],
    ["Last disconnect", now.last_disconnect === null ? [ago(null)] : [words(now.last_disconnect.reason), ", ", ago(now.last_disconnect.at)]],
    ["Next try", [ago(now.next_retry_at)]],
    ["Shared", [`${plural(now.shared_pins.length, "pin")}, ${plural(now.shared_files.length, "file")}`]],
  ];
  const error = now.last_error;
  return [
    error !== null &&
      el("div", { class: "message bad" }, el("p", {}, "Last failure: ", el("strong", { class: "code-name" }, visible(error.code, 64)), " ", visible(error.message)), el("p", { class: "hint" }, ago(error.at))),
    el("dl", {}, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, ...value)])),
  ];
}

function connections(now: PeerInfo): Child[] {
  const items = now.connections.map((connection) =>
    el("li", {}, code(connection.address, 300), el("span", { class: "from" }, ...way({ transport: connection.transport, direction: connection.direction === "inbound" ? "inbound" : "outbound" }), " opened ", ago(connection.opened_at))),
  );
  return [heading("Connections", now.connections.length), items.length === 0 ? el("p", { class: "hint" }, "None.") : el("ul", { class: "items" }, ...items)];
}

function addresses(now: PeerInfo): HTMLElement {
  if (now.multiaddrs.length === 0) return el("p", { class: "hint" }, "None known: connecting asks the DHT and the connected peers.");
  const items = now.multiaddrs.map((address) => el("li", { class: "with-button" }, code(address, 400), copyButton(`${address}/p2p/${now.peer_id}`, "the whole address")));
  return el("ul", { class: "items" }, ...items);
}

function protocols(now: PeerInfo): HTMLElement {
  if (now.protocols.length === 0) return el("p", { class: "hint" }, "It hasn't told any.");
  return el("ul", { class: "items tight" }, ...now.protocols.map((name) => el("li", {}, code(name, 200))));
}

function own(now: PeerInfo): Child[] {
  const tags = Object.entries(now.tags);
  const metadata = Object.entries(now.metadata);
  const chips = tags.map(([tag, weight]) => el("span", { class: "chip" }, remote(tag, 80), el("span", { class: "weight" }, ` ${count(weight)}`)));
  const values = metadata.flatMap(([key, value]) => [el("dt", {}, remote(key, 80)), el("dd", {}, remote(typeof value === "string" ? value : JSON.stringify(value), 2000))]);
  return [
    heading("Tags", tags.length),
    tags.length === 0 ? el("p", { class: "hint" }, "None.") : el("p", { class: "chips" }, ...chips),
    heading("Metadata", metadata.length),
    metadata.length === 0 ? el("p", { class: "hint" }, "None.") : el("dl", {}, ...values),
  ];
}
