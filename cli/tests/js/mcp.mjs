// The official TypeScript client of MCP against `peerkit mcp`, or the server at a URL. What to do comes as JSON:
// {"scenario": "...", "servers": [{"command", "args"} or {"url", "token"}], "peer": {"peer_id", "listen_addrs"}}.
import assert from 'node:assert/strict';
import { setMaxListeners } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const asked = JSON.parse(process.argv[2]);
const HINTS = ['readOnlyHint', 'destructiveHint', 'idempotentHint', 'openWorldHint'];
const TOOLS = ['get_peers', 'list_peers', 'get_peer_info', 'connect_peer', 'disconnect_peer', 'ping_peer',
  'get_peer_stats', 'discover_peers', 'bootstrap_peers', 'search_peers', 'find_peer', 'get_events', 'call'];

// The fields of a peer and of the statistics that the Python project had.
const PEER = ['peer_id', 'multiaddrs', 'connected', 'last_seen', 'first_seen', 'protocols', 'agent_version', 'protocol_version',
  'cluster_peer', 'connection_attempts', 'successful_connections', 'last_connection_attempt', 'last_successful_connection',
  'latency_ms', 'shared_pins', 'shared_files'];
const STATS = ['total_peers', 'connected_peers', 'bootstrap_peers', 'discovery_active', 'protocols_supported', 'total_files',
  'total_pins', 'last_discovery', 'host_id', 'uptime_seconds', 'peer_breakdown'];

async function open(server) {
  const client = new Client({ name: 'peerkit-tests', version: '1' });
  const transport = server.url
    ? new StreamableHTTPClientTransport(new URL(server.url), {
      requestInit: { headers: { Authorization: `Bearer ${server.token}` } },
    })
    : new StdioClientTransport({ ...server, stderr: 'inherit' });
  await client.connect(transport);
  const { tools } = await client.listTools();
  // Once it knows the tools, the client checks each reply against its schema.
  const call = async (name, args = {}, options = undefined) => {
    const result = await client.callTool({ name, arguments: args }, undefined, options);
    const reply = result.structuredContent;
    assert.deepEqual(JSON.parse(result.content[0].text), reply, `${name}: the text is the reply`);
    assert.ok(result.content[0].text.length <= 50_000);
    assert.doesNotMatch(result.content[0].text, /[\p{Bidi_Control}\u200b]/u, 'nothing is hidden in the text');
    assert.equal(result.isError, !reply.success);
    return reply;
  };
  return { client, tools, call };
}

function filled(args) {
  const { peer_id, listen_addrs } = asked.peer;
  const address = listen_addrs.find((address) => address.startsWith('/ip4/127.0.0.1/tcp/'));
  return JSON.parse(JSON.stringify(args).replaceAll('$PEER', peer_id).replaceAll('$ADDR', address));
}

// Accepts connections and never says a word.
async function blackHole() {
  const server = createServer(() => {});
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { multiaddr: `/ip4/127.0.0.1/tcp/${server.address().port}`, close: () => server.close() };
}

const scenarios = {
  async 'every tool'([server]) {
    const { client, tools, call } = await open(server);
    assert.deepEqual(tools.map((tool) => tool.name), TOOLS);
    for (const tool of tools) {
      assert.equal(tool.inputSchema.type, 'object', tool.name);
      assert.equal(tool.outputSchema.type, 'object', tool.name);
      assert.ok(tool.description.includes('untrusted'), tool.name);
      assert.ok(HINTS.every((hint) => typeof tool.annotations[hint] === 'boolean'), tool.name);
      assert.ok(!JSON.stringify(tool).includes('cancel_token'), tool.name);
    }
    assert.ok(client.getInstructions().includes('untrusted'));
    const calls = JSON.parse(readFileSync(new URL('../mcp_calls.json', import.meta.url)));
    assert.deepEqual(new Set(calls.map((made) => made.tool)), new Set(TOOLS));
    for (const { tool, args, fails, hint } of calls) {
      for (const detail of [{}, { detail: true }]) {
        const reply = await call(tool, { ...detail, ...filled(args) });
        const told = `${tool} ${JSON.stringify(args)}: ${JSON.stringify(reply)}`;
        assert.equal(reply.success, !fails, told);
        if (typeof fails === 'string') assert.equal(reply.code, fails, told);
        if (hint) assert.ok(reply.hint.includes(hint), told);
        assert.doesNotMatch(reply.hint ?? '', /peerkit_|`peerkit|--|\/api/, `a hint for agents: ${told}`);
      }
    }
    const row = (await call('get_peers')).peers[0];
    assert.match(row.agent_version, /^evil.*\u202e\u200b/);
    const whole = (await call('get_peers', { detail: true })).peers[0];
    assert.ok(whole.multiaddrs.length > 1 && row.multiaddrs.length === 1, 'short where no detail is asked for');
    // Short or not, what the Python project's handlers always gave is there.
    const { peer_info } = await call('get_peer_info', filled({ peer_id: '$PEER' }));
    for (const peer of [row, peer_info, (await call('list_peers')).peers[0], (await call('search_peers', filled({ query: '$PEER' }))).peers[0]]) {
      assert.deepEqual(PEER.filter((field) => !(field in peer)), []);
      assert.ok(peer.protocols.includes('/ipfs/id/1.0.0'));
    }
    for (const reply of [await call('get_peer_stats'), await call('call', { method: 'get_peers_summary' })]) {
      assert.deepEqual(STATS.filter((field) => !(field in reply.stats)), []);
      assert.ok(reply.stats.protocols_supported.includes('/ipfs/id/1.0.0'));
    }
    await assert.rejects(client.callTool({ name: 'no_such', arguments: {} }), { code: -32602 });
    const { resources } = await client.listResources();
    assert.ok(resources.length > 0, 'it offers none');
    for (const { uri } of resources) {
      const { contents } = await client.readResource({ uri });
      assert.equal(JSON.parse(contents[0].text).success, true, uri);
    }
    await assert.rejects(client.readResource({ uri: 'file:///etc/passwd' }));
    await client.close();
  },

  async 'read only'([server]) {
    const { client, tools, call } = await open(server);
    assert.ok(tools.every((tool) => tool.annotations.readOnlyHint), 'nothing that acts is offered');
    assert.deepEqual(tools.find((tool) => tool.name === 'bootstrap_peers').inputSchema.properties.action.enum, ['list']);
    assert.equal((await call('bootstrap_peers', { action: 'list' })).success, true);
    assert.equal((await call('call', { method: 'status' })).success, true);
    const hidden = TOOLS.filter((name) => !tools.some((tool) => tool.name === name));
    assert.deepEqual(hidden, ['connect_peer', 'disconnect_peer', 'ping_peer', 'discover_peers', 'find_peer']);
    for (const [name, args] of [['connect_peer', filled({ multiaddr: '$ADDR' })],
      ['bootstrap_peers', filled({ action: 'add', multiaddr: '$ADDR' })],
      ['call', { method: 'subscribe', params: { topic: 't' } }]]) {
      assert.equal((await call(name, args)).code, 'blocked', name);
    }
    await client.close();
  },

  async 'a thousand peers'([server]) {
    const { client, call } = await open(server);
    const id = (n) => `/ip4/192.0.2.${n % 250}/tcp/${1000 + n}/p2p/${asked.ids[n]}`;
    for (let from = 0; from < asked.ids.length; from += 10) {
      await Promise.all(Array.from({ length: 10 }, async (_, n) => {
        const reply = await call('call', { method: 'add_peer', params: { multiaddrs: [id(from + n)] } });
        assert.equal(reply.success, true, JSON.stringify(reply));
      }));
    }
    const first = await call('get_peers');
    assert.deepEqual([first.peers.length, first.total, first.truncated], [50, 1000, true]);
    const cut = await call('get_peers', { limit: 1000, detail: true });
    assert.ok(cut.truncated && cut.omitted.peers === 1000 - cut.peers.length && cut.rest.includes('list_peers'));
    // However much a page is cut, its cursor is right: nobody is passed over, nobody comes twice.
    for (const detail of [false, true]) {
      const seen = new Set();
      let cursor;
      do {
        const page = await call('list_peers', { limit: 500, detail, ...(cursor && { cursor }) });
        assert.ok(page.peers.length < 500 && page.peers.every(({ peer_id }) => !seen.has(peer_id)));
        page.peers.forEach(({ peer_id }) => seen.add(peer_id));
        cursor = page.pagination.next_cursor;
      } while (cursor);
      assert.equal(seen.size, 1000);
    }
    const { contents } = await client.readResource({ uri: 'peerkit://peers' });
    assert.equal(JSON.parse(contents[0].text).peers.length, 100);
    // The same for events, which are as many.
    const seqs = new Set();
    let page = { cursor: 0 };
    do {
      page = await call('get_events', { cursor: page.cursor, limit: 500 });
      page.events.forEach(({ seq }) => assert.ok(!seqs.has(seq)) || seqs.add(seq));
    } while (page.more);
    assert.equal(seqs.size, page.cursor);
    await client.close();
  },

  async 'two clients'([server, other]) {
    const [one, two] = [await open(server), await open(other)];
    const id = async (client) => (await client.call('call', { method: 'status' })).peer_id;
    assert.equal(await id(one), await id(two), 'they share one node');
    const { cursor } = await two.call('get_events');
    const waiting = two.call('get_events', { cursor, kinds: ['peer_connected'], wait_ms: 30_000 });
    assert.equal((await one.call('connect_peer', filled({ multiaddr: '$ADDR' }))).success, true);
    assert.equal((await waiting).events[0].peer_id, asked.peer.peer_id);
    const [row] = (await two.call('get_peers', { status: 'connected' })).peers;
    assert.equal(row.peer_id, asked.peer.peer_id);
    await one.client.close();
    // The second takes the directory over, with what the first has left there.
    for (;;) {
      const reply = await two.call('get_peer_info', { peer_id: asked.peer.peer_id });
      if (reply.success && !reply.peer_info.connected) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.equal((await two.call('connect_peer', { peer_id: asked.peer.peer_id })).success, true);
    await two.client.close();
  },

  async 'cancelled calls'([server]) {
    const { client, call } = await open(server);
    const hole = await blackHole();
    const args = { multiaddr: hole.multiaddr, timeout_ms: 120_000 };
    const stop = new AbortController();
    setMaxListeners(0, stop.signal);
    let told = 0;
    const progress = new Promise((resolve) => {
      const onprogress = ({ progress }) => { assert.ok(progress > told); told = progress; if (told >= 2) resolve(); };
      const calls = Array.from({ length: 16 }, (_, n) => call('connect_peer', args, {
        signal: stop.signal, timeout: 120_000, ...(n === 0 && { onprogress }),
      }));
      calls.forEach((made) => made.catch(() => {}));
    });
    await progress;
    for (const [tool, given] of [['connect_peer', args], ['get_events', { cursor: 0, wait_ms: 60_000 }]]) {
      const refused = await call(tool, given);
      assert.deepEqual([refused.code, refused.retryable], ['busy', true], tool);
    }
    assert.ok((await call('get_peers')).success, 'reads have room');
    assert.ok((await call('get_events')).success, 'so have events that are there');
    stop.abort();
    // Long before their deadline they have made room.
    while ((await call('connect_peer', { ...args, timeout_ms: 1 })).code === 'busy') await new Promise((resolve) => setTimeout(resolve, 50));
    hole.close();
    await client.close();
  },

  async 'a port that is taken'([server]) {
    const taken = await blackHole();
    const config = { profile: 'offline', listen: [taken.multiaddr] };
    writeFileSync(server.args[server.args.indexOf('--config') + 1], JSON.stringify(config));
    const { client, call } = await open(server);
    const refused = await call('get_peers');
    assert.deepEqual([refused.code, refused.peers], ['listen_failed', []]);
    assert.ok(refused.hint);
    assert.equal((await call('get_events')).success, false);
    taken.close();
    while (!(await call('get_peers')).success) await new Promise((resolve) => setTimeout(resolve, 100));
    await client.close();
  },

  // Tells that its call is under way, and waits to be killed.
  async 'dies mid-call'([server]) {
    const { call } = await open(server);
    const hole = await blackHole();
    const onprogress = () => process.stdout.write('under way\n');
    await call('connect_peer', { multiaddr: hole.multiaddr, timeout_ms: 120_000 }, { onprogress, timeout: 120_000 });
  },

  async 'connects'([server]) {
    const { client, call } = await open(server);
    const connect = () => call('connect_peer', filled({ multiaddr: '$ADDR' }));
    let reply = await connect();
    // The killed one's server had the node, and ended with it during this call: then the node is this server's own.
    if (reply.code === 'closed') reply = await connect();
    assert.equal(reply.success, true, JSON.stringify(reply));
    await client.close();
  },
};

await scenarios[asked.scenario](asked.servers);
// Nothing of the test keeps the process.
process.exit(0);
