// The top of the page: whether what is shown is current, what this page may do, and what is wrong with the node.

import { access, hasToken, loadAccess, setToken } from "./api";
import { byId, el, fill, icon, setAttribute, setText } from "./dom";
import { sentence, visible } from "./format";
import { link, reconnect } from "./sse";
import { refresh, status, trouble } from "./state";

export function header(): void {
  link.watch(showLink);
  access.watch(showAccess);
  trouble.watch(showBanner);
  link.watch(showBanner);
  status.watch(showWarnings);
  setInterval(() => link.value.state === "lost" && showLink(), 500);
  tokenDialog();
}

function showLink(): void {
  const box = byId("link");
  const now = link.value;
  setAttribute(box, "data-state", now.state);
  if (now.state === "live") setText(byId("link-words"), "Live");
  else if (!access.value.reads) setText(byId("link-words"), "Not live: it needs the token");
  else if (now.state === "connecting") setText(byId("link-words"), "Connecting …");
  else {
    const seconds = Math.max(0, Math.ceil((now.retryAt - Date.now()) / 1000));
    setText(byId("link-words"), seconds > 0 ? `Not live: trying again in ${seconds} s` : "Not live: trying again …");
  }
}

function showAccess(): void {
  const button = byId<HTMLButtonElement>("access");
  const now = access.value;
  setText(button, now.readOnly ? "Read-only" : now.acts ? (hasToken() ? "Full access" : "Open access") : now.reads ? "View only" : "Locked");
  setAttribute(button, "data-level", now.acts ? "acts" : "reads");
  button.title = now.reason ?? "This page may read and act. Press to change the token";
}

/** The banner's text, kept so that ticks don't draw it anew under somebody's fingers. */
let shown = "";

function showBanner(): void {
  const banner = byId("banner");
  const failed = trouble.value;
  const lost = link.value.state === "lost" && link.value.failure.unreachable ? link.value.failure : null;
  const key = JSON.stringify([failed?.code, failed?.message, failed?.hint, lost?.message]);
  if (key === shown) return;
  shown = key;
  banner.hidden = lost === null && failed === null;
  if (lost !== null) {
    fill(
      banner,
      icon("warning"),
      el("div", {}, el("strong", {}, "Connection lost. "), `${visible(lost.message)}; what you see is how it was.`, el("p", { class: "hint" }, visible(lost.hint ?? ""))),
      el("button", { type: "button", on: { click: reconnect } }, "Try now"),
    );
  } else if (failed?.tokenRefused) {
    fill(
      banner,
      icon("warning"),
      el("div", {}, el("strong", {}, "This node asks for a token. "), `${visible(failed.message)}.`, el("p", { class: "hint" }, "`peerkit serve` says which file it is in.")),
      el("button", { type: "button", class: "primary", on: { click: openTokenDialog } }, "Enter token"),
    );
  } else if (failed !== null) {
    fill(
      banner,
      icon("warning"),
      el(
        "div",
        {},
        el("strong", {}, "The node isn't running. "),
        el("span", { class: "code-name" }, visible(failed.code, 64)),
        ` ${visible(failed.message)}`,
        el("p", { class: "hint" }, failed.hint === null ? "" : `${sentence(failed.hint)}. `, "It is tried again by itself; this page follows."),
      ),
      el("button", { type: "button", on: { click: reconnect } }, "Look now"),
    );
  }
}

function showWarnings(): void {
  const warnings = status.value?.warnings ?? [];
  const box = byId("warnings");
  box.hidden = warnings.length === 0;
  fill(box, ...warnings.map((warning) => el("li", {}, visible(warning))));
}

function openTokenDialog(): void {
  const dialog = byId<HTMLDialogElement>("token-dialog");
  byId<HTMLInputElement>("token").value = "";
  setText(byId("token-note"), access.value.reason ?? "The token in use is accepted.");
  byId("token-forget").hidden = !hasToken();
  if (!dialog.open) dialog.showModal();
}

function tokenDialog(): void {
  const dialog = byId<HTMLDialogElement>("token-dialog");
  const field = byId<HTMLInputElement>("token");
  byId("access").addEventListener("click", openTokenDialog);
  byId("token-cancel").addEventListener("click", () => dialog.close());
  byId("token-forget").addEventListener("click", () => void use("", dialog));
  byId<HTMLFormElement>("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (field.value.trim() !== "") void use(field.value.trim(), dialog);
  });
}

async function use(token: string, dialog: HTMLDialogElement): Promise<void> {
  setToken(token);
  byId<HTMLInputElement>("token").value = "";
  await loadAccess().catch(() => undefined);
  if (token !== "" && !access.value.acts && !access.value.readOnly) {
    setText(byId("token-note"), access.value.reason ?? "The token was refused");
    return;
  }
  dialog.close();
  refresh();
  reconnect();
}
