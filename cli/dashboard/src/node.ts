// Shows where others reach this node: its id and the addresses it listens on.

import { byId, copyButton, Drawn, el } from "./dom";
import { code } from "./format";
import { status } from "./state";

export function nodePanel(): void {
  const list = new Drawn(byId("listen-list"));
  status.watch((now) => {
    if (now === null) return;
    list.draw(now.listen_addrs, () =>
      now.listen_addrs.length === 0
        ? [el("li", { class: "hint" }, "It listens nowhere.")]
        : now.listen_addrs.map((address) => el("li", { class: "with-button" }, code(address), copyButton(address, "the address"))),
    );
  });
}
