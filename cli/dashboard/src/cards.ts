// The row of figures at the top.

import { copyButton, Drawn, el, byId, setText, type Child } from "./dom";
import { ago, bytes, count, plural, shortId, span } from "./format";
import { discovery, startedAt, status, summary } from "./state";

export function cards(): void {
  const parts = new Map<string, Drawn>();
  const row = byId("cards");
  for (const [id, title] of [["peers", "Peers"], ["connected", "Connected"], ["discovery", "Discovery"], ["bootstrap", "Bootstrap"], ["node", "This node"]] as const) {
    const body = el("div", { class: "card-body" }, el("div", { class: "card-figure none" }, "–"));
    row.append(el("div", { class: "card", id: `card-${id}` }, el("h2", {}, title), body));
    parts.set(id, new Drawn(body));
  }
  const draw = (id: string, figure: Child[], below: Child[], key: unknown) =>
    parts.get(id)?.draw(key, () => [el("div", { class: "card-figure" }, ...figure), el("div", { class: "card-below" }, ...below)]);

  summary.watch((now) => {
    if (now === null) return;
    const { stats } = now;
    document.title = `${count(stats.connected_peers)} connected · peerkit`;
    draw("peers", [count(stats.total_peers)], [`${count(stats.total_discovered)} found by discovery`], [stats.total_peers, stats.total_discovered]);
    draw(
      "connected",
      [count(stats.connected_peers), el("small", {}, ` of at most ${count(stats.limits.max_connections)}`)],
      [`received ${bytes(stats.traffic.bytes_in)}, sent ${bytes(stats.traffic.bytes_out)}`],
      [stats.connected_peers, stats.limits, bytes(stats.traffic.bytes_in), bytes(stats.traffic.bytes_out)],
    );
    draw("bootstrap", [count(stats.bootstrap_peers)], [stats.bootstrap_peers === 1 ? "address to start from" : "addresses to start from"], stats.bootstrap_peers);
  });
  discovery.watch((now) => {
    if (now === null) return;
    const on = Object.values(now.sources).filter((source) => source.enabled).length;
    draw(
      "discovery",
      [el("span", { class: now.discovery_active ? "state on" : "state off" }, now.discovery_active ? "On" : "Off")],
      now.last_pass === null ? ["no pass yet, ", plural(on, "source")] : ["last pass ", ago(now.last_pass), `, ${plural(on, "source")}`],
      [now.discovery_active, now.last_pass, on],
    );
  });
  const uptime = el("span", { class: "number" });
  status.watch((now) => {
    if (now === null) return;
    draw(
      "node",
      [el("bdi", { class: "code", dir: "ltr", title: now.peer_id }, shortId(now.peer_id)), copyButton(now.peer_id, "this node's peer id")],
      ["up ", uptime, ` · ${now.profile} · ${now.version}`],
      [now.peer_id, now.profile, now.version],
    );
  });
  const tickUptime = () => startedAt.value !== null && setText(uptime, span(Date.now() / 1000 - startedAt.value));
  startedAt.watch(tickUptime);
  setInterval(tickUptime, 1000);
}
