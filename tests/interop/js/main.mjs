// A js-libp2p peer that peerkit's tests talk to: another implementation, in another process, over
// real sockets. It speaks TCP, Noise, yamux, identify, ping, Kademlia and gossipsub, and never leaves
// the machine by itself: no mDNS, no bootstrap peers, no relay or port mapping.
//
// `node main.mjs OPTIONS_JSON` prints one JSON line when it is ready, {"peer_id":..,
// "listen_addrs":[..]}. Then it reads requests {"id":N,"call":NAME,"params":{..},"timeout_ms":N} from
// stdin, one a line, and answers each with a line {"id":N,"reply":{..}}, many at a time (calls.mjs).
// The end of stdin ends it. This file holds that loop; host.mjs makes the peer and has the options.
//
// It needs Node 22; node_modules/.bin/node is one.

import { createInterface } from 'node:readline'
import { Calls } from './calls.mjs'
import { newHost } from './host.mjs'

const DEFAULT_TIMEOUT_MS = 10_000

function print (line) {
  process.stdout.write(JSON.stringify(line) + '\n')
}

/** A call that fails is a reply like any other. */
async function reply (calls, { call, params = {}, timeout_ms: timeout = DEFAULT_TIMEOUT_MS }) {
  try {
    // A signal's timer takes whole milliseconds, one at least.
    const signal = AbortSignal.timeout(Math.max(1, timeout))
    return { success: true, ...await calls.answer(call, params, signal) }
  } catch (error) {
    return { success: false, code: error.name, error: error.message || String(error) }
  }
}

const host = await newHost(JSON.parse(process.argv[2] ?? '{}'))
const calls = new Calls(host)
print({
  peer_id: host.peerId.toString(),
  listen_addrs: host.getMultiaddrs().map(String)
})
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line)
  reply(calls, request).then(reply => print({ id: request.id, reply }))
}
// Without a goodbye to anybody, as a peer that is killed.
process.exit(0)
