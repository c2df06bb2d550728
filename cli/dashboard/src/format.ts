// Shows values: short, in fixed forms, and safe to look at. Text from remotes goes through `remote` or
// `visible`: nothing in it is invisible, and nothing turns around what stands beside it.

import { el } from "./dom";
import type { Time } from "./types";

const NONE = "–";

// The same that the library has in `src/text.rs`: controls and format characters, separators of lines, and what shows
// nothing at all; beside it half characters, which no UTF-8 has.
const HIDDEN =
  /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u202f\u2060-\u206f\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufffc\u{e0000}-\u{e0fff}]|\p{Cs}/gu;

/** A text with what can't be seen written out, cut where it is very long. */
export function visible(text: string, most = 512): string {
  const cut = text.length > most ? `${text.slice(0, most)}…` : text;
  return cut.replace(HIDDEN, (hidden) => `\\u{${(hidden.codePointAt(0) ?? 0).toString(16)}}`);
}

/** Text of a remote: isolated, so that its direction stays its own affair. */
export function remote(text: string | null | undefined, most?: number): HTMLElement {
  if (text === null || text === undefined || text === "") return el("span", { class: "none" }, NONE);
  return el("bdi", { class: "remote", dir: "auto" }, visible(text, most));
}

/** An id, address or protocol: always left to right, breakable anywhere. */
export function code(text: string, most?: number): HTMLElement {
  return el("bdi", { class: "code", dir: "ltr" }, visible(text, most));
}

/** Both ends of a peer id: the beginning says what kind it is, the end tells it from others. */
export function shortId(id: string): string {
  const shown = visible(id, 128);
  return shown.length > 16 ? `${shown.slice(0, 4)}…${shown.slice(-8)}` : shown;
}

export function count(value: number): string {
  return value.toLocaleString("en-US").replaceAll(",", "\u202f");
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** A time span of milliseconds, with about three digits. */
export function ms(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  return `${value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} ms`;
}

export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
}

/** A length of time in its two largest units. */
export function span(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

function relative(at: Time): string {
  const passed = Date.now() / 1000 - at;
  const s = Math.floor(Math.abs(passed));
  if (s < 1) return "now";
  const text =
    s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min` : s < 86_400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86_400)} d`;
  return passed >= 0 ? `${text} ago` : `in ${text}`;
}

/** A moment, as the time passed since; `tick` keeps it so. */
export function ago(at: Time | null | undefined): HTMLElement {
  if (at === null || at === undefined) return el("span", { class: "none" }, NONE);
  const date = new Date(at * 1000);
  return el("time", { datetime: date.toISOString(), title: date.toLocaleString(), "data-at": at }, relative(at));
}

/** Renews every relative time on the page. */
export function tick(): void {
  for (const time of document.querySelectorAll<HTMLElement>("time[data-at]")) {
    const text = relative(Number(time.dataset["at"]));
    if (time.textContent !== text) time.textContent = text;
  }
}

/** The time of day, to the millisecond. */
export function clock(at: Time): string {
  const date = new Date(at * 1000);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** A hint as a sentence of its own. */
export function sentence(text: string): string {
  const shown = visible(text);
  return shown.charAt(0).toUpperCase() + shown.slice(1);
}

/** `peer_connected` as words. */
export function words(name: string): string {
  return visible(name, 64).replaceAll("_", " ");
}
