// Calls to the node: POST /api/call/{method} with the token, if there is one. The token comes in the address's
// fragment or by hand, stays in this tab's sessionStorage, and leaves it only as an Authorization header.

import { signal } from "./signal";

const KEY = "peerkit-token";

/** The codes that keep a node from starting, beside those that the status 503 stands for. */
const DOWN = new Set(["data_dir_locked", "config_invalid", "config_conflict", "panic"]);

/** The failure of a call: the failure reply, or that there was none. */
export class Failure extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly hint: string | null = null,
    readonly detail: Record<string, unknown> = {},
    readonly status = 0,
  ) {
    super(message);
  }

  /** Nobody answered at all. */
  get unreachable(): boolean {
    return this.code === "unreachable";
  }

  /** The server is there, its node isn't. */
  get nodeDown(): boolean {
    return this.status === 503 || DOWN.has(this.code);
  }

  get tokenRefused(): boolean {
    return this.status === 401;
  }
}

/** The rights of this page, and the reason why it has no more. */
export interface Access {
  reads: boolean;
  acts: boolean;
  reason: string | null;
  readOnly: boolean;
  /** The token that was tried last isn't the right one. */
  refused: boolean;
}

export const access = signal<Access>({ reads: true, acts: false, reason: "Asking the node what is allowed …", readOnly: false, refused: false });

let token = takeFromAddress() ?? sessionStorage.getItem(KEY);

/** Takes the token out of the address, so that it's neither seen nor kept in the history. */
function takeFromAddress(): string | null {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given === null) return null;
  history.replaceState(null, "", location.pathname + location.search);
  const trimmed = given.trim();
  if (trimmed === "") return null;
  sessionStorage.setItem(KEY, trimmed);
  return trimmed;
}

/** The token came by another address while the page was open. */
export function readAddress(): boolean {
  const given = takeFromAddress();
  if (given !== null) token = given;
  return given !== null;
}

export function setToken(given: string): void {
  token = given === "" ? null : given;
  if (token === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, token);
}

export function hasToken(): boolean {
  return token !== null;
}

export function headers(more: Record<string, string> = {}): Record<string, string> {
  return token === null ? more : { ...more, Authorization: `Bearer ${token}` };
}

export interface CallOptions {
  timeoutMs?: number;
  signal?: AbortSignal;
}

export async function call<T>(method: string, params: object = {}, options: CallOptions = {}): Promise<T> {
  const query = options.timeoutMs === undefined ? "" : `?timeout_ms=${options.timeoutMs}`;
  const response = await ask(`/api/call/${method}${query}`, {
    method: "POST",
    headers: headers({ "Content-Type": "application/json" }),
    body: JSON.stringify(params),
    signal: options.signal ?? null,
  });
  return (await read(response)) as T;
}

interface ToldAccess {
  token: "right" | "wrong" | "none" | "not_needed";
  reads: boolean;
  acts: boolean;
  read_only: boolean;
}

/** Asks what this page may do. The server says so in an answer, not by refusing. */
export async function loadAccess(): Promise<void> {
  let told = await askAccess();
  let refused = false;
  while (told.token === "wrong") {
    // It would be refused with every call, also with those that need none.
    setToken("");
    refused = true;
    told = await askAccess();
  }
  if (told.token === "right") refused = false;
  const before = access.value;
  const reason = told.acts ? null : why(told, refused || (before.refused && token === null));
  const same = before.reads === told.reads && before.acts === told.acts && before.readOnly === told.read_only && before.reason === reason;
  if (!same) access.set({ reads: told.reads, acts: told.acts, readOnly: told.read_only, refused, reason });
}

/** The rights that the token gives which stands when the answer comes: it may be another one than when asked. */
async function askAccess(): Promise<ToldAccess> {
  for (;;) {
    const sent = token;
    const told = (await read(await ask("/api/access", { headers: headers() }))) as unknown as ToldAccess;
    if (sent === token) return told;
  }
}

function why(told: ToldAccess, refused: boolean): string {
  if (told.read_only) return "This server is read-only: it was started with --read-only";
  if (!told.reads && !refused) return "This server shows nothing without the token: enter it first";
  if (refused) return "The token was refused: enter the right one to act";
  return "Acting needs the token: enter it first";
}

async function ask(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(path, { ...init, credentials: "omit", cache: "no-store", redirect: "error", referrerPolicy: "no-referrer" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") {
      throw new Failure("cancelled", "Given up by you");
    }
    throw new Failure("unreachable", "peerkit doesn't answer", "Is `peerkit serve` still running?");
  }
}

async function read(response: Response): Promise<unknown> {
  let reply: Record<string, unknown>;
  try {
    reply = (await response.json()) as Record<string, unknown>;
  } catch {
    throw new Failure("protocol", `The server answered ${response.status} and no reply`, null, {}, response.status);
  }
  if (response.ok && reply["success"] !== false) return reply;
  throw failure(reply, response.status);
}

/** Hints for this page, by code, where the server's names a route for who calls it by hand. */
const HINTS: Readonly<Record<string, string>> = {
  not_connected: "connect to it first",
  peer_not_found: "connecting to an address of it makes it known",
};

function hint(code: string | null, given: string | null): string | null {
  return given?.includes("`POST ") ? (HINTS[code ?? ""] ?? null) : given;
}

/** The failure that a failure reply tells of. */
export function failure(reply: Record<string, unknown>, status: number): Failure {
  const text = (key: string) => (typeof reply[key] === "string" ? (reply[key] as string) : null);
  const detail = typeof reply["detail"] === "object" && reply["detail"] !== null ? (reply["detail"] as Record<string, unknown>) : {};
  return new Failure(text("code") ?? "protocol", text("error") ?? `The server answered ${status}`, hint(text("code"), text("hint")), detail, status);
}

export function asFailure(error: unknown): Failure {
  return error instanceof Failure ? error : new Failure("page", error instanceof Error ? error.message : String(error));
}
