// Making the libp2p host. Its options, all optional:
//
// - listen: multiaddrs (TCP on 127.0.0.1);
// - agent: what identify tells ("peerkit-interop-js");
// - kad_protocol: the name of the DHT ("/peerkit/kad/1.0.0");
// - client_mode: asks the DHT and doesn't answer (false).

import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'

export async function newHost (options) {
  return createLibp2p({
    addresses: { listen: options.listen ?? ['/ip4/127.0.0.1/tcp/0'] },
    nodeInfo: { userAgent: options.agent ?? 'peerkit-interop-js' },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: {
      // Five a second from one address otherwise, and all tests are at one address.
      inboundConnectionThreshold: Infinity
    },
    services: {
      identify: identify(),
      ping: ping(),
      dht: kadDHT({
        protocol: options.kad_protocol ?? '/peerkit/kad/1.0.0',
        clientMode: options.client_mode ?? false,
        // The default drops private addresses, and loopback with them.
        peerInfoMapper: passthroughMapper,
        // A query that knows nobody ends at once rather than waits for somebody.
        allowQueryWithZeroPeers: true
      }),
      pubsub: gossipsub({
        allowPublishToZeroTopicPeers: true,
        emitSelf: false
      })
    }
  })
}
