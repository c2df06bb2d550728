// Connecting to a peer, from the form above the table and from the pane of details.

import { call } from "./api";
import { byId, el } from "./dom";
import { code, ms, shortId } from "./format";
import { attemptsTable, failedDial, lookupsList } from "./report";
import { Controls, Outcome } from "./running";
import { refresh, select } from "./state";
import type { Connected } from "./types";

export function connectForm(): void {
  const field = byId<HTMLInputElement>("connect-to");
  const button = byId<HTMLButtonElement>("connect-button");
  const outcome = new Outcome();
  byId("connect-outcome").append(outcome.element);
  const controls = new Controls([button, field]);
  byId<HTMLFormElement>("connect-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const to = field.value.trim();
    if (to === "" || !controls.allowed) return field.focus();
    void controls.during(async () => {
      const reached = await connect(target(to), outcome);
      if (reached === undefined) return;
      field.value = "";
      select(reached.peer_id);
    });
  });
  field.addEventListener("input", () => outcome.clear());
}

/** An address begins with a slash; but `/p2p/ID` alone is an id. */
function target(text: string): { peer_id: string } | { multiaddr: string } {
  return text.startsWith("/") && !/^\/(p2p|ipfs)\/[^/]+\/?$/.test(text) ? { multiaddr: text } : { peer_id: text };
}

export async function connect(to: { peer_id?: string; multiaddr?: string }, outcome: Outcome): Promise<Connected | undefined> {
  const reached = await outcome.run("Connecting", (signal) => call<Connected>("connect_peer", to, { signal }), failedDial);
  refresh("page", "summary", "peer");
  if (reached === undefined) return undefined;
  const how = reached.already_connected ? "was connected already" : `connected in ${ms(reached.duration_ms)}`;
  const failed = reached.attempts.filter((attempt) => attempt.stage !== null);
  outcome.done(
    `${shortId(reached.peer_id)} ${how}`,
    el("p", { class: "hint" }, "at ", code(reached.address, 200)),
    failed.length > 0 && attemptsTable(reached.attempts),
    lookupsList(reached.lookups),
  );
  return reached;
}
