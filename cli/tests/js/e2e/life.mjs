// Two peers and the page: connect, disconnect, kill the far side, find it again; what it says of itself is text.
import assert from "node:assert/strict";
import { Tab } from "./browser.mjs";
import { configure, home, inventedId, run, serve } from "./peers.mjs";

const HOSTILE = "<img src=x onerror=alert(document.domain)>";

// With these on, whoever is connected to a third knows where the others are.
const meeting = { discovery: { dht: "server", gossip: true } };

export async function a_peer_comes_and_goes_before_the_readers_eyes(browser) {
  const meetingPoint = await run(home(meeting));
  const near = await serve(home({ ...meeting, bootstrap: [meetingPoint.address] }));
  // At first it looks for nobody, so that nothing but the page connects the two.
  const farHome = home({ agent_version: HOSTILE });
  let far = await run(farHome);
  const tab = await Tab.open(browser, near.page);
  const { page } = tab;
  await tab.says("#link-words", /^Live$/);
  await tab.says("#access", /^Full access$/);
  assert.equal(new URL(page.url()).hash, "", "the token is out of the address");
  await tab.rowIs(meetingPoint.peer_id, true);

  // Connect by address.
  await page.fill("#connect-to", far.address);
  await page.press("#connect-to", "Enter");
  await tab.rowIs(far.peer_id, true);
  await tab.says("#connect-outcome", /connected in/);
  await tab.says("#card-connected .card-figure", /^2 /);

  // Its agent is text, in the row, in the pane and in the feed.
  await tab.says(`#rows tr[data-id="${far.peer_id}"] .col-agent`, /^<img src=x onerror=alert\(document\.domain\)>$/);
  await tab.says("#details-facts", /<img src=x onerror=alert/);
  await tab.says("#feed-rows", /<img src=x onerror=alert/);
  assert.equal(await page.locator("img:not(.top img)").count(), 0, "no element came of it");

  // Ping, and the line of round trip times.
  await page.click("#do-ping");
  await tab.says("#details-outcome", /5 of 5 pings answered/);
  await page.locator("#details-latency svg.sparkline").waitFor();
  await tab.picture("connected-light");

  // Disconnect and connect again, by id alone.
  await page.click("#do-disconnect");
  await tab.rowIs(far.peer_id, false);
  await tab.says("#details-facts", /Last disconnect\s*local request/);
  await page.click("#do-connect");
  await tab.rowIs(far.peer_id, true);

  // Its process is killed: it leaves without anybody asking.
  await page.evaluate(() => (window.notReloaded = true));
  await far.kill();
  await tab.rowIs(far.peer_id, false);
  await tab.says("#feed-rows", /peer disconnected.*remote closed/);

  // It is back at another port, known to the meeting point alone. A look around finds it there.
  configure(farHome, { ...meeting, agent_version: HOSTILE, bootstrap: [meetingPoint.address] });
  const before = far.address;
  far = await run(farHome);
  assert.notEqual(far.address, before);
  await page.click("#discovery-look");
  await tab.says("#discovery-outcome", /found|wasn't known/, 40_000);
  // It may have been dialled by then; else the button does it.
  if ((await tab.row(far.peer_id).getAttribute("data-connected")) === "false") {
    await page.evaluate(() => document.getElementById("do-connect").click());
  }
  await tab.rowIs(far.peer_id, true);
  const port = far.address.match(/tcp\/(\d+)/)[1];
  await tab.says("#details-addresses", new RegExp(`/tcp/${port}`));
  assert.ok(await page.evaluate(() => window.notReloaded), "the page was never loaded again");

  // Forgetting asks twice.
  await page.click("#do-forget");
  await tab.says("#do-forget", /Really forget/);
  await page.click("#do-forget");
  await page.locator("#details").waitFor({ state: "hidden" });
  await tab.close();
}

export async function a_failed_connect_tells_what_became_of_each_address(browser) {
  const far = await run(home());
  await far.kill();
  const near = await serve(home());
  const tab = await Tab.open(browser, near.page);
  const { page } = tab;
  tab.expect(/status of 424 .*\/api\/call\/connect_peer/);
  tab.expect(/status of 400 .*\/api\/call\/connect_peer/);
  await page.fill("#connect-to", far.address);
  await page.click("#connect-button");
  await tab.says("#connect-outcome", /dial_failed/);
  const report = page.locator("#connect-outcome .attempts tbody tr");
  assert.equal(await report.count(), 1);
  assert.match(await report.first().textContent(), /\/ip4\/127\.0\.0\.1\/tcp\/\d+.*transport.*refused/);
  await tab.picture("failed-connect");
  // Tells that a text is no address; typing on takes the report away.
  await page.fill("#connect-to", "/ip4/nowhere");
  await page.locator("#connect-outcome .message").waitFor({ state: "detached" });
  await page.press("#connect-to", "Enter");
  await tab.says("#connect-outcome", /invalid_multiaddr/);
  await tab.close();
}

export async function a_peer_forgotten_elsewhere_is_told_of_in_terms_of_the_page(browser) {
  const id = inventedId(1);
  const near = await serve(home());
  await near.call("add_peer", { multiaddrs: [`/ip4/127.0.0.1/tcp/1/p2p/${id}`] });
  const tab = await Tab.open(browser, near.page);
  tab.expect(/status of 404 .*\/api\/call\/get_peer/);
  // Chosen first: its row goes with the next look at the list, whenever that is.
  await tab.row(id).click();
  await tab.says("#details-state", /./);
  await near.call("remove_peer", { peer_id: id });
  await tab.says("#details-unknown", /peer_not_found.*Connecting to an address of it makes it known/);
  await tab.close();
}

export async function the_bootstrap_list_is_edited(browser) {
  const near = await serve(home());
  const address = `/ip4/127.0.0.1/tcp/1/p2p/${inventedId(1)}`;
  const tab = await Tab.open(browser, near.page);
  const { page } = tab;
  await tab.says("#bootstrap-list", /empty/);
  await page.fill("#bootstrap-address", address);
  await page.press("#bootstrap-address", "Enter");
  await tab.says("#bootstrap-list", new RegExp(address));
  await tab.says("#card-bootstrap .card-figure", /^1$/);
  assert.deepEqual((await near.call("list_bootstrap_peers")).bootstrap_peers, [address]);
  await page.getByRole("button", { name: `Take ${address} off the list` }).click();
  await tab.says("#bootstrap-list", /empty/);
  await tab.close();
}

export async function discovery_is_stopped_and_started(browser) {
  const near = await serve(home(meeting));
  const tab = await Tab.open(browser, near.page);
  await tab.says("#card-discovery .card-figure", /^On$/);
  await tab.page.click("#discovery-toggle");
  await tab.says("#card-discovery .card-figure", /^Off$/);
  assert.equal((await near.call("get_discovery")).discovery_active, false);
  await tab.page.click("#discovery-toggle");
  await tab.says("#card-discovery .card-figure", /^On$/);
  await tab.says("#discovery-sources", /dht/);
  await tab.close();
}
