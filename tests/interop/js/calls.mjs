// The calls, in alphabetical order. Addresses are texts, with or without /p2p/; a peer in a reply is
// {peer_id, addrs}. A failed reply has "code", the name of js-libp2p's error, and "error".
//
// - connect_peer {multiaddr}: until the peer is identified, too;
// - dht_mode {}: {mode}, "server" or "client";
// - find_peer {peer_id}: {peer};
// - find_providers {cid}: {providers}, each once;
// - get_closest_peers {peer_id} or {cid}: {peers}, as the network finds them;
// - messages {}: {messages}, all so far: [{topic, from, data_base64}];
// - peers {}: {peers}, those connected: [{peer_id, agent_version, protocols, connections}];
// - provide {cid}: {told}, the peers that took the record;
// - publish {topic, data_base64}: {recipients}, the peers it was sent to;
// - routing_table {}: {peers}, ids. Somebody connected comes in a little later, once it answered;
// - subscribe {topic};
// - subscribers {topic}: {peers}, ids of those that said they are.

import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { CID } from 'multiformats/cid'

const NAMES = new Set([
  'connect_peer', 'dht_mode', 'find_peer', 'find_providers', 'get_closest_peers', 'messages',
  'peers', 'provide', 'publish', 'routing_table', 'subscribe', 'subscribers'
])

export class Calls {
  constructor (host) {
    this.host = host
    this.dht = host.services.dht
    this.pubsub = host.services.pubsub
    this.received = []
    this.identified = new Set()
    this.pubsub.addEventListener('message', ({ detail }) => this.received.push({
      topic: detail.topic,
      from: detail.from?.toString(),
      data_base64: Buffer.from(detail.data).toString('base64')
    }))
    host.addEventListener('peer:identify', ({ detail }) => this.identified.add(detail.peerId.toString()))
    host.addEventListener('peer:disconnect', ({ detail }) => this.identified.delete(detail.toString()))
  }

  async answer (name, params, signal) {
    if (!NAMES.has(name)) {
      throw new Error(`unknown call ${name}`)
    }
    return await this[name](params, signal)
  }

  async connect_peer (params, signal) {
    const connection = await this.host.dial(multiaddr(params.multiaddr), { signal })
    const peerId = connection.remotePeer.toString()
    await this.untilIdentified(peerId, signal)
    return { peer_id: peerId, address: connection.remoteAddr.toString() }
  }

  untilIdentified (peerId, signal) {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (this.identified.has(peerId)) {
          resolve()
        }
      }
      this.host.addEventListener('peer:identify', look, { signal })
      signal.addEventListener('abort', () => reject(signal.reason))
      look()
    })
  }

  dht_mode () {
    return { mode: this.dht.getMode() }
  }

  async find_peer (params, signal) {
    const peer = await this.host.peerRouting.findPeer(peerIdFromString(params.peer_id), { signal })
    return { peer: described(peer) }
  }

  async find_providers (params, signal) {
    const providers = new Map()
    for await (const event of this.dht.findProviders(CID.parse(params.cid), { signal })) {
      if (event.name === 'PROVIDER') {
        event.providers.forEach(peer => providers.set(peer.id.toString(), described(peer)))
      }
    }
    return { providers: [...providers.values()] }
  }

  async get_closest_peers (params, signal) {
    const key = params.cid == null
      ? peerIdFromString(params.peer_id).toMultihash().bytes
      : CID.parse(params.cid).multihash.bytes
    const peers = []
    for await (const event of this.dht.getClosestPeers(key, { signal })) {
      if (event.name === 'FINAL_PEER') {
        peers.push(described(event.peer))
      }
    }
    return { peers }
  }

  messages () {
    return { messages: this.received }
  }

  async peers () {
    const peers = this.host.getPeers().map(async id => {
      // Somebody who hasn't been identified yet may be in no book.
      const known = await this.host.peerStore.get(id).catch(() => undefined)
      const agent = known?.metadata.get('AgentVersion')
      return {
        peer_id: id.toString(),
        agent_version: agent == null ? null : Buffer.from(agent).toString(),
        protocols: known?.protocols ?? [],
        connections: this.host.getConnections(id).map(connection => ({
          remote: connection.remoteAddr.toString(),
          direction: connection.direction
        }))
      }
    })
    return { peers: await Promise.all(peers) }
  }

  async provide (params, signal) {
    const told = []
    for await (const event of this.dht.provide(CID.parse(params.cid), { signal })) {
      if (event.name === 'PEER_RESPONSE' && event.messageName === 'ADD_PROVIDER') {
        told.push(event.from.toString())
      }
    }
    return { told }
  }

  async publish (params) {
    const data = Buffer.from(params.data_base64, 'base64')
    const { recipients } = await this.pubsub.publish(params.topic, data)
    return { recipients: recipients.map(String) }
  }

  routing_table () {
    return { peers: [...this.dht.routingTable.kb.toIterable()].map(({ peerId }) => peerId.toString()) }
  }

  subscribe (params) {
    this.pubsub.subscribe(params.topic)
    return {}
  }

  subscribers (params) {
    return { peers: this.pubsub.getSubscribers(params.topic).map(String) }
  }
}

function described (peer) {
  return { peer_id: peer.id.toString(), addrs: peer.multiaddrs.map(String) }
}
