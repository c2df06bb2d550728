// The dashboard: puts the parts together, and keeps them current from the events on.

import { readAddress } from "./api";
import { bootstrapPanel } from "./bootstrap";
import { cards } from "./cards";
import { protocolBars } from "./charts";
import { connectForm } from "./connect";
import { details } from "./details";
import { discoveryPanel } from "./discovery";
import { byId, Drawn } from "./dom";
import { feed, lost, show } from "./feed";
import { tick } from "./format";
import { header } from "./header";
import { nodePanel } from "./node";
import { follow, reconnect } from "./sse";
import { begin, heard, keepCurrent, look, refresh, select, selected, summary, view } from "./state";
import { focusRow, table } from "./table";

function protocolPanel(): void {
  const chart = new Drawn(byId("protocols"));
  const draw = () => {
    const protocols = summary.value?.protocols;
    if (protocols) chart.draw([protocols, view.value.protocol], () => [protocolBars(protocols, view.value.protocol, (protocol) => look({ protocol }))]);
  };
  summary.watch(draw);
  view.watch(draw);
}

function shortcuts(): void {
  document.addEventListener("keydown", (event) => {
    const at = event.target as HTMLElement;
    const typing = at instanceof HTMLInputElement || at instanceof HTMLSelectElement;
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      byId<HTMLInputElement>("search").select();
      byId("search").focus();
    }
    if (event.key === "Escape" && !event.defaultPrevented && selected.value !== null && !document.querySelector("dialog[open]")) {
      const id = selected.value;
      select(null);
      focusRow(id);
    }
  });
}

/** The number of the last event seen in this run of the node; 0 asks for all that are kept. */
let lastSeq = 0;

function start(): void {
  header();
  cards();
  table();
  connectForm();
  details();
  discoveryPanel();
  bootstrapPanel();
  nodePanel();
  protocolPanel();
  feed();
  shortcuts();
  setInterval(tick, 1000);
  addEventListener("hashchange", () => {
    if (readAddress()) reconnect();
  });
  keepCurrent();
  void follow({
    async prepare() {
      // Another run counts its events from one again.
      if (await begin()) lastSeq = 0;
      return lastSeq;
    },
    opened: () => refresh(),
    event(event) {
      lastSeq = event.event === "stopped" ? 0 : event.seq;
      show(event);
      heard(event);
    },
    lagged: lost,
    reset() {
      lastSeq = 0;
    },
  });
}

start();
