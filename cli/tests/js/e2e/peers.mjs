// `peerkit` processes, each in a data directory of its own, on loopback and at ports the system chooses.
import { spawn } from "node:child_process";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const START_MS = 60_000;

const binary = process.env.PEERKIT_BIN;
if (!binary) throw new Error("PEERKIT_BIN must name the program");

const running = new Set();
const homes = [];

/** A data directory with this configuration. TCP alone: there the end of a process is noticed at once. */
export function home(config = {}) {
  const dir = mkdtempSync(join(tmpdir(), "peerkit-e2e-"));
  homes.push(dir);
  configure(dir, config);
  return dir;
}

export function configure(dir, config) {
  const all = { profile: "offline", listen: ["/ip4/127.0.0.1/tcp/0"], ...config };
  writeFileSync(join(dir, "node.json"), JSON.stringify(all));
}

/** Starts a program and reads the line in which it says where it is. */
async function start(dir, args) {
  const child = spawn(binary, [...args, "--json", "--data-dir", dir, "--config", join(dir, "node.json")], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { PATH: process.env.PATH, HOME: dir, XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? dir },
  });
  running.add(child);
  const ended = new Promise((resolve) => child.once("exit", resolve));
  ended.then(() => running.delete(child));
  const lines = createInterface({ input: child.stdout });
  const line = await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`peerkit ${args[0]} said nothing for ${START_MS} ms`)), START_MS);
    lines.once("line", (text) => resolve(text) ?? clearTimeout(late));
    ended.then((code) => reject(new Error(`peerkit ${args[0]} ended with ${code}`)));
  });
  lines.on("line", () => {});
  const told = JSON.parse(line);
  const end = async (signal) => {
    child.kill(signal);
    await ended;
  };
  return { ...told, dir, pid: child.pid, address: told.listen_addrs?.[0], kill: () => end("SIGKILL"), stop: () => end("SIGTERM") };
}

/** A node without HTTP: somebody else on the network. */
export async function run(dir) {
  return start(dir, ["run"]);
}

/** A node with its page. */
export async function serve(dir, ...args) {
  const node = await start(dir, ["serve", ...(args.includes("--http") ? [] : ["--http", "127.0.0.1:0"]), ...args]);
  const token = existsSync(node.token_file) ? readFileSync(node.token_file, "utf8").trim() : "";
  return { ...node, token, call: (method, params) => call(node.http, token, method, params), page: `${node.http}/#token=${token}` };
}

async function call(http, token, method, params = {}) {
  const response = await fetch(`${http}/api/call/${method}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
    body: JSON.stringify(params),
  });
  const reply = await response.json();
  if (!reply.success) throw new Error(`${method}: ${reply.code}: ${reply.error}`);
  return reply;
}

/** Ends what still runs. */
export function cleanUp() {
  for (const child of running) child.kill("SIGKILL");
  for (const dir of homes) rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
}

const BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/** The id of a peer that nobody is: the public key of a small number. */
export function inventedId(n) {
  const seed = Buffer.alloc(32);
  seed.writeUInt32BE(n + 1, 28);
  // Stands before the seed in an Ed25519 key of PKCS #8.
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
  const key = createPublicKey(createPrivateKey({ key: der, format: "der", type: "pkcs8" })).export({ format: "jwk" });
  // An identity multihash of the key as libp2p writes it.
  const bytes = Buffer.concat([Buffer.from("002408011220", "hex"), Buffer.from(key.x, "base64url")]);
  let text = "";
  for (let value = BigInt(`0x${bytes.toString("hex")}`); value > 0n; value /= 58n) text = BASE58[Number(value % 58n)] + text;
  return `1${text}`;
}
