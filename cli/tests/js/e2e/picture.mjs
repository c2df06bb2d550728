// Takes docs/dashboard.png: the page over a dozen real peers. `make dashboard-picture`.
import { Tab, launch } from "./browser.mjs";
import { cleanUp, home, inventedId, run, serve } from "./peers.mjs";

const AGENTS = ["kubo/0.36.0/desktop", "peerkit/0.1.0", "js-libp2p/3.3.11 node/22", "kubo/0.35.0/", "peerkit/0.1.0", "rust-libp2p/0.56.0", "ipfs-cluster/1.1.4", "kubo/0.36.0/", "peerkit/0.1.0"];

const browser = await launch();
try {
  const listen = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"];
  const discovery = { dht: "server", gossip: true };
  const near = await serve(home({ listen, discovery }));
  const others = [];
  for (const [i, agent_version] of AGENTS.entries()) {
    // Every third calls us; the others we call, by TCP and by QUIC.
    const calls = i % 3 === 0 ? { bootstrap: [near.address] } : {};
    const other = await run(home({ listen, agent_version, discovery: i % 2 === 0 ? discovery : {}, ...calls }));
    others.push(other);
    if (i % 3 !== 0) await near.call("connect_peer", { multiaddr: other.listen_addrs[i % 2] });
  }
  for (const n of [3, 8, 21]) await near.call("add_peer", { peer_id: inventedId(n), multiaddrs: [`/ip4/192.0.2.${n}/tcp/4001`, `/dns4/node${n}.example.net/tcp/4001`] });
  await near.call("add_bootstrap_peer", { multiaddr: others[3].address });
  await near.call("add_bootstrap_peer", { multiaddr: others[6].address });
  for (const other of others.slice(1)) await near.call("ping_peer", { peer_id: other.peer_id, count: 2 }).catch(() => {});
  await near.call("discover_peers", { timeout: 3 });
  const tab = await Tab.open(browser, near.page, { viewport: { width: 1440, height: 1000 } });
  await tab.rowIs(others[4].peer_id, true);
  await near.call("disconnect_peer", { peer_id: others[7].peer_id });
  await others[2].kill();
  await tab.rowIs(others[2].peer_id, false);
  await near.call("connect_peer", { peer_id: others[7].peer_id });
  await tab.rowIs(others[7].peer_id, true);
  await tab.row(others[4].peer_id).click();
  for (let i = 0; i < 4; i++) {
    await tab.page.click("#do-ping");
    await tab.says("#details-outcome", /answered/);
  }
  await tab.page.mouse.move(0, 0);
  await tab.picture("dashboard");
  await tab.close();
} finally {
  await browser.close();
  cleanUp();
}
