// The node's events, as server-sent events read with fetch: an EventSource can't send the token. Lost connections are
// taken up again where they broke off, after a pause that grows, and everybody can see that it is so.

import { Failure, asFailure, failure, headers } from "./api";
import { signal } from "./signal";
import type { PeerEvent } from "./types";

export type Link =
  | { state: "connecting" }
  | { state: "live" }
  | { state: "lost"; failure: Failure; retryAt: number };

export const link = signal<Link>({ state: "connecting" });

/** The server sends something at least every 10 s; silence for longer than this means that nobody is there. */
const SILENCE_MS = 40_000;
const FIRST_PAUSE_MS = 500;
const LAST_PAUSE_MS = 10_000;

export interface Reader {
  /** Before each try: renews what the page knows, says after which event to begin, fails where nobody answers. */
  prepare(): Promise<number>;
  event(event: PeerEvent): void;
  lagged(events: number): void;
  /** The node counts its events from one again. */
  reset(): void;
  /** Begins once the stream is open. */
  opened(): void;
}

let wake: (() => void) | undefined;
let current: AbortController | undefined;
let asked = false;

/** Tries again at once, also in the middle of a try: for an impatient user, or with another token. */
export function reconnect(): void {
  asked = true;
  current?.abort();
  wake?.();
}

/** Reads events for as long as the page is open. */
export async function follow(reader: Reader): Promise<never> {
  let pause = FIRST_PAUSE_MS;
  for (;;) {
    const began = performance.now();
    asked = false;
    const failed = await once(reader).catch(asFailure);
    if (asked) continue;
    if (performance.now() - began > 5_000) pause = FIRST_PAUSE_MS;
    const wait = pause * (0.75 + Math.random() / 2);
    link.set({ state: "lost", failure: failed, retryAt: Date.now() + wait });
    await new Promise<void>((resolve) => {
      wake = resolve;
      setTimeout(resolve, wait);
    });
    pause = Math.min(pause * 2, LAST_PAUSE_MS);
  }
}

async function once(reader: Reader): Promise<Failure> {
  const controller = new AbortController();
  current = controller;
  const since = await reader.prepare();
  let silence = setTimeout(() => controller.abort(), SILENCE_MS);
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => controller.abort(), SILENCE_MS);
  };
  try {
    const body = await open(since, controller.signal);
    link.set({ state: "live" });
    reader.opened();
    const parser = new Parser(reader);
    const text = body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await text.read();
      if (done) return new Failure("closed", "The event stream ended");
      heard();
      parser.push(value);
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure("unreachable", "The event stream broke off");
  } finally {
    clearTimeout(silence);
    controller.abort();
  }
}

async function open(since: number, abort: AbortSignal): Promise<ReadableStream<BufferSource>> {
  // As an EventSource would say it; 0 asks for all there are.
  const response = await fetch("/api/events", {
    headers: headers({ Accept: "text/event-stream", "Last-Event-ID": String(since) }),
    credentials: "omit",
    cache: "no-store",
    signal: abort,
  });
  if (response.ok && response.body) return response.body as ReadableStream<BufferSource>;
  throw failure((await response.json().catch(() => ({}))) as Record<string, unknown>, response.status);
}

/** Takes text/event-stream apart. */
export class Parser {
  #rest = "";
  #data: string[] = [];
  #kind = "";

  constructor(readonly reader: Pick<Reader, "event" | "lagged" | "reset">) {}

  push(text: string): void {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#line(line);
  }

  #line(line: string): void {
    if (line === "") return this.#dispatch();
    if (line.startsWith(":")) return;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.#data.push(value);
    if (field === "event") this.#kind = value;
  }

  #dispatch(): void {
    const data = this.#data.join("\n");
    const kind = this.#kind;
    this.#data = [];
    this.#kind = "";
    if (data === "") return;
    const message = JSON.parse(data) as Record<string, unknown>;
    // The server's own messages are no events of the node.
    if (kind === "lagged") this.reader.lagged(Number(message["lagged"] ?? 0));
    else if (kind === "reset") this.reader.reset();
    else if (typeof message["event"] === "string") this.reader.event(message as unknown as PeerEvent);
  }
}
