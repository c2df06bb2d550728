// Checks who may do what, and what the page says when the node or the way to it is gone.
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { once } from "node:events";
import { Tab } from "./browser.mjs";
import { configure, home, run, serve } from "./peers.mjs";

export async function without_the_token_it_shows_and_says_why_it_does_not_act(browser) {
  const near = await serve(home());
  const tab = await Tab.open(browser, near.http);
  const { page } = tab;
  await tab.says("#link-words", /^Live$/);
  await tab.says("#access", /^View only$/);
  const button = page.locator("#connect-button");
  assert.equal(await button.getAttribute("aria-disabled"), "true");
  assert.match(await button.getAttribute("title"), /needs the token/);

  // A wrong one is refused, the right one opens everything at once.
  await page.click("#access");
  await page.fill("#token", "not-the-token");
  await page.press("#token", "Enter");
  await tab.says("#token-note", /refused/);
  await page.fill("#token", near.token);
  await page.press("#token", "Enter");
  await tab.says("#access", /^Full access$/);
  await page.locator("#token-dialog").waitFor({ state: "hidden" });
  assert.equal(await button.getAttribute("aria-disabled"), null);
  // Kept in this tab, and in nothing that lasts.
  await page.reload();
  await tab.says("#access", /^Full access$/);
  const kept = await page.evaluate(() => [document.cookie, JSON.stringify(localStorage), location.href].join());
  assert.ok(!kept.includes(near.token));
  await tab.close();
}

export async function a_token_in_the_address_of_an_open_page_is_taken(browser) {
  const near = await serve(home());
  const tab = await Tab.open(browser, `${near.http}/#token=wrong`);
  await tab.says("#access", /^View only$/);
  assert.match(await tab.page.locator("#access").getAttribute("title"), /refused/);
  await tab.page.evaluate((token) => (location.hash = `token=${token}`), near.token);
  await tab.says("#access", /^Full access$/);
  assert.equal(new URL(tab.page.url()).hash, "");
  await tab.close();
}

export async function a_token_that_comes_while_the_page_still_asks_is_taken(browser) {
  const near = await serve(home());
  for (const path of ["access", "call/status"]) {
    const tab = await Tab.open(browser, near.http);
    await tab.says("#link-words", /^Live$/);
    // What was asked without the token is answered after the token came.
    let answer;
    const given = new Promise((resolve) => (answer = resolve));
    const asked = new Promise((resolve) => {
      void tab.page.route(`**/api/${path}`, async (route) => {
        resolve();
        await given;
        await route.continue();
      });
    });
    await tab.page.reload({ waitUntil: "commit" });
    await asked;
    await tab.page.evaluate((token) => (location.hash = `token=${token}`), near.token);
    answer();
    await tab.says("#access", /^Full access$/);
    await tab.says("#link-words", /^Live$/);
    await tab.close();
  }
}

export async function a_read_only_server_offers_no_action(browser) {
  const dir = home();
  const owner = await serve(dir);
  // On the same directory: it shows the owner's node.
  const reader = await serve(dir, "--read-only");
  assert.equal(reader.attached_to, owner.pid);
  const far = await run(home());
  const tab = await Tab.open(browser, reader.page);
  await tab.says("#access", /^Read-only$/);
  await tab.says("#link-words", /^Live$/);
  assert.match(await tab.page.locator("#connect-button").getAttribute("title"), /read-only/);
  await owner.call("connect_peer", { multiaddr: far.address });
  await tab.rowIs(far.peer_id, true);
  await tab.close();
}

export async function a_node_that_cannot_start_is_told_with_code_and_hint_and_comes_back(browser) {
  const squatter = createServer().listen(0, "127.0.0.1");
  await once(squatter, "listening");
  const dir = home();
  configure(dir, { listen: [`/ip4/127.0.0.1/tcp/${squatter.address().port}`] });
  const near = await serve(dir);
  const tab = await Tab.open(browser, near.page);
  tab.expect(/status of 503/);
  await tab.says("#banner", /The node isn't running\. listen_failed/);
  await tab.says("#banner", /[Cc]hoose a free port/);
  assert.match(await tab.page.locator("#connect-button").getAttribute("title"), /isn't running/);
  await tab.picture("node-down");
  squatter.close();
  await tab.page.locator("#banner").waitFor({ state: "hidden", timeout: 30_000 });
  await tab.says("#link-words", /^Live$/);
  await tab.says("#card-node .card-figure", /12D3/);
  await tab.close();
}

export async function a_lost_connection_is_told_and_taken_up_again(browser) {
  const dir = home();
  let near = await serve(dir);
  const tab = await Tab.open(browser, near.page);
  tab.expect(/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE/);
  await tab.says("#link-words", /^Live$/);
  await near.kill();
  await tab.says("#link-words", /^Not live/);
  await tab.says("#banner", /Connection lost/);
  await tab.picture("connection-lost");
  near = await serve(dir, "--http", near.http.slice("http://".length));
  await tab.says("#link-words", /^Live$/, 40_000);
  await tab.page.locator("#banner").waitFor({ state: "hidden" });
  // The events of the new run count from one again; none of them is missed.
  const far = await run(home());
  await near.call("connect_peer", { multiaddr: far.address });
  await tab.rowIs(far.peer_id, true);
  await tab.close();
}
