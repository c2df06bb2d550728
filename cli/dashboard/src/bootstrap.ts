// The bootstrap list: the addresses a node starts from.

import { call } from "./api";
import { byId, Drawn, el, icon, copyButton } from "./dom";
import { code, plural, shortId, visible } from "./format";
import { Controls, Outcome } from "./running";
import { bootstrap, refresh } from "./state";
import type { Bootstrap, FromDaemon } from "./types";

export function bootstrapPanel(): void {
  const field = byId<HTMLInputElement>("bootstrap-address");
  const add = byId<HTMLButtonElement>("bootstrap-add");
  const outcome = new Outcome();
  byId("bootstrap-outcome").append(outcome.element);
  const controls = new Controls([field, add, byId<HTMLButtonElement>("from-ipfs"), byId<HTMLButtonElement>("from-cluster")]);
  const list = new Drawn(byId("bootstrap-list"));

  const change = (method: string, multiaddr: string, what: string, done: (changed: boolean) => string) =>
    controls.during(async () => {
      const reply = await outcome.run(what, (signal) => call<Bootstrap>(method, { multiaddr }, { signal }));
      if (!reply) return;
      bootstrap.set(reply.bootstrap_peers);
      refresh("summary", "discovery");
      outcome.done(done(reply.changed));
      if (method === "add_bootstrap_peer") field.value = "";
      field.focus();
    });
  byId<HTMLFormElement>("bootstrap-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const address = field.value.trim();
    if (address === "" || !controls.allowed) return field.focus();
    void change("add_bootstrap_peer", address, "Adding", (changed) => (changed ? "Added to the list" : "It was in the list already"));
  });
  bootstrap.watch((now) => {
    if (now === null) return;
    list.draw(now, () =>
      now.length === 0
        ? [el("li", { class: "hint" }, "The list is empty.")]
        : now.map((address) => {
            const remove = el("button", { type: "button", class: "quiet icon-only", title: "Take off the list", "aria-label": `Take ${visible(address)} off the list` }, icon("close"));
            new RemoveButton(remove, () => void change("remove_bootstrap_peer", address, "Taking off", () => "Taken off the list"));
            return el("li", { class: "with-button" }, code(address, 300), copyButton(address, "the address"), remove);
          }),
    );
  });
  for (const [id, method, whom] of [["from-ipfs", "bootstrap_from_ipfs", "IPFS"], ["from-cluster", "bootstrap_from_cluster", "the cluster"]] as const) {
    byId(id).addEventListener("click", () =>
      void controls.during(async () => {
        const reply = await outcome.run(`Asking ${whom}`, (signal) => call<FromDaemon>(method, {}, { signal }));
        if (!reply) return;
        refresh();
        const failed = reply.failed.map((one) =>
          el("li", {}, el("bdi", { class: "code", dir: "ltr" }, shortId(one.peer_id)), " ", el("strong", { class: "code-name" }, visible(one.code, 64)), ` ${visible(one.error)}`),
        );
        outcome.done(`${plural(reply.peers.length, "peer")} named, ${reply.connected.length} connected`, failed.length > 0 && el("ul", { class: "items" }, ...failed));
      }),
    );
  }
}

/** Buttons of the list come and go with it, so they ask only when pressed. */
class RemoveButton {
  constructor(button: HTMLButtonElement, action: () => void) {
    button.addEventListener("click", () => {
      const reason = byId("bootstrap-add").getAttribute("aria-disabled") === "true" ? byId("bootstrap-add").title : null;
      if (reason === null) action();
      else button.title = reason;
    });
  }
}
