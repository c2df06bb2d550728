// A book of a thousand: pages, search, filters, order, the keyboard, and how it looks.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { Tab, artifacts } from "./browser.mjs";
import { home, inventedId, run, serve } from "./peers.mjs";

const THOUSAND = 1000;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Makes peers known that nobody is. */
async function invent(node, number) {
  const ids = Array.from({ length: number }, (_, n) => n);
  const worker = async () => {
    for (let n = ids.pop(); n !== undefined; n = ids.pop()) {
      const multiaddrs = [`/ip4/198.51.${n >> 8}.${n & 255}/tcp/4001`];
      if (n % 3 === 0) multiaddrs.push(`/ip4/198.51.${n >> 8}.${n & 255}/udp/4001/quic-v1`);
      await node.call("add_peer", { peer_id: inventedId(n), multiaddrs });
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
}

export async function a_thousand_peers_are_paged_searched_and_sorted(browser) {
  const near = await serve(home());
  const far = await run(home());
  await invent(near, THOUSAND);
  await near.call("connect_peer", { multiaddr: far.address });
  const tab = await Tab.open(browser, near.page);
  const { page } = tab;
  await tab.says("#page-words", /^1–50 of 1\D?001$/);
  assert.equal(await page.locator("#rows tr").count(), 50);
  await page.selectOption("#sort", "peer_id");
  const seen = new Set();
  const read = async () => {
    for (const id of await page.locator("#rows tr").evaluateAll((rows) => rows.map((row) => row.dataset.id))) seen.add(id);
  };
  await page.selectOption("#limit", "100");
  await tab.says("#page-words", /^1–100 of/);
  await read();
  for (let from = 101; from <= 1001; from += 100) {
    await page.click("#page-next");
    await tab.says("#page-words", new RegExp(`^${group(from)}–`));
    await read();
  }
  assert.equal(seen.size, THOUSAND + 1, "each peer was on one of the pages");
  assert.equal(await page.locator("#page-next").getAttribute("aria-disabled"), "true");

  // Search, at the node.
  await page.fill("#search", inventedId(77).slice(-12).toLowerCase());
  await tab.says("#page-words", /^1–1 of 1$/);
  assert.equal(await page.locator("#rows tr").getAttribute("data-id"), inventedId(77));
  await page.fill("#search", "no such thing");
  await tab.says("#empty", /No peer matches/);
  await page.press("#search", "Escape");
  await tab.says("#page-words", /of 1\D?001$/);

  // Filters: who is connected, who speaks ping.
  await page.selectOption("#connected", "connected");
  await tab.says("#page-words", /^1–1 of 1$/);
  await page.selectOption("#connected", "all");
  await page.locator("#protocol option", { hasText: "/ipfs/ping/1.0.0 (1)" }).waitFor({ state: "attached" });
  await page.selectOption("#protocol", { label: "/ipfs/ping/1.0.0 (1)" });
  await tab.says("#page-words", /^1–1 of 1$/);
  assert.equal(await page.locator("#rows tr").getAttribute("data-id"), far.peer_id);
  await tab.close();
}

function group(n) {
  return n >= 1000 ? `${Math.floor(n / 1000)}\\D?${String(n % 1000).padStart(3, "0")}` : String(n);
}

export async function the_keyboard_alone_suffices(browser) {
  const near = await serve(home());
  const far = await run(home());
  await invent(near, 120);
  const tab = await Tab.open(browser, near.page);
  const { page } = tab;
  const focused = () => page.evaluate(() => document.activeElement?.id || document.activeElement?.dataset.id || document.activeElement?.tagName);
  const key = (name) => page.keyboard.press(name);
  const tabTo = async (id) => {
    for (let i = 0; i < 60; i++) {
      if ((await focused()) === id) return;
      await key("Tab");
    }
    assert.fail(`Tab doesn't lead to #${id}`);
  };
  await tab.says("#page-words", /of 120$/);
  await key("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip", "the first stop leads past the top");
  await tabTo("connect-to");
  await page.keyboard.type(far.address);
  await key("Enter");
  await tab.rowIs(far.peer_id, true);

  // Search, go to the rows, choose one, act, come back.
  await page.evaluate(() => document.activeElement.blur());
  await key("/");
  assert.equal(await focused(), "search");
  await page.keyboard.type(far.peer_id.slice(-10));
  await tab.says("#page-words", /^1–1 of 1$/);
  await key("ArrowDown");
  assert.equal(await focused(), far.peer_id);
  await key("Enter");
  assert.equal(await focused(), "details-title");
  await tabTo("do-disconnect");
  await key("Enter");
  await tab.rowIs(far.peer_id, false);
  assert.equal(await focused(), "do-disconnect", "the focus stays where it was");
  await key("Escape");
  await page.locator("#details").waitFor({ state: "hidden" });
  assert.equal(await focused(), far.peer_id, "and goes back to the row");

  // Rows by arrows, pages by keys.
  await key("/");
  await key("Escape");
  await tab.says("#page-words", /^1–50 of 12/);
  await key("ArrowDown");
  const first = await focused();
  await key("ArrowDown");
  const second = await focused();
  assert.notEqual(first, second);
  await key("ArrowUp");
  assert.equal(await focused(), first);
  await key("PageDown");
  await tab.says("#page-words", /^51–100 of/);
  assert.equal(await page.evaluate(() => document.activeElement.closest("#rows") !== null), true, "the focus is still in the table");
  await key("PageUp");
  await tab.says("#page-words", /^1–50 of/);
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, "solid", "the focus is seen");
  await tab.close();
}

export async function it_is_readable_light_dark_and_small(browser) {
  const near = await serve(home({ discovery: { dht: "server", gossip: true } }));
  const agents = ["kubo/0.36.0/", "js-libp2p/3.3.11 node/22", "evil\u202Etxt.exe", "rust-libp2p/0.56"];
  const others = [];
  for (const agent_version of agents) others.push(await run(home({ agent_version })));
  await invent(near, 30);
  for (const other of others) await near.call("connect_peer", { multiaddr: other.address });
  const looks = {
    light: { colorScheme: "light" },
    dark: { colorScheme: "dark" },
    mobile: { viewport: { width: 360, height: 780 }, hasTouch: true, isMobile: true },
    tablet: { viewport: { width: 900, height: 1000 }, colorScheme: "dark" },
  };
  for (const [name, options] of Object.entries(looks)) {
    const tab = await Tab.open(browser, near.page, options);
    const { page } = tab;
    await tab.rowIs(others[0].peer_id, true);
    await tab.says("#rows", /evil\\u\{202e\}txt\.exe/);
    await tab.picture(name);
    await accessible(page, name);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(wide <= 0, `${name}: the page is ${wide} px too wide`);
    await tab.row(others[0].peer_id).click();
    await tab.says("#details-facts", /kubo/);
    await page.click("#do-ping");
    await tab.says("#details-outcome", /answered/);
    await tab.picture(`${name}-details`);
    await accessible(page, `${name} with details`);
    await page.click("#details-close");
    await tab.picture(`${name}-whole`, { fullPage: true });
    await tab.close();
  }
}

/** Returns what axe finds: contrast, names, roles, order. */
async function accessible(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  const told = violations.map(({ id, help, nodes }) => `${id}: ${help}\n      ${nodes.slice(0, 4).map((node) => `${node.html.slice(0, 160)} ${node.any[0]?.message ?? ""}`).join("\n      ")}`);
  assert.equal(violations.length, 0, `${what} (pictures in ${artifacts}):\n    ${told.join("\n    ")}`);
}
