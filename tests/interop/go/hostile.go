// A remote that lies about itself at length: an agent version, protocol list or address list as large
// as asked. go-libp2p trims what it announces, so such a peer answers identify by itself, in one message.

package main

import (
	"fmt"
	"strings"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	pb "github.com/libp2p/go-libp2p/p2p/protocol/identify/pb"
	"github.com/libp2p/go-msgio/pbio"
	ma "github.com/multiformats/go-multiaddr"
)

// protocolNameBytes is how long a name is: a thousand of them make a megabyte.
const protocolNameBytes = 1000

// hostile says how much of each there is; zero means the honest value.
type hostile struct {
	agentBytes int
	protocols  int
	addrs      int
}

func (x hostile) any() bool {
	return x.agentBytes > 0 || x.protocols > 0 || x.addrs > 0
}

// install makes h answer identify as x asks.
func (x hostile) install(h host.Host, agent string) {
	if x.agentBytes > 0 {
		agent = strings.Repeat("A", x.agentBytes)
	}
	fakeAddrs := x.fakeAddrs()
	for i := range x.protocols {
		name := protocol.ID(fmt.Sprintf("/hostile/%s/%d", strings.Repeat("p", protocolNameBytes), i))
		h.SetStreamHandler(name, func(s network.Stream) { s.Reset() })
	}
	h.SetStreamHandler(identify.ID, func(s network.Stream) {
		defer s.Close()
		msg := identifyMessage(h, s.Conn(), agent)
		msg.ListenAddrs = append(msg.ListenAddrs, fakeAddrs...)
		// The remote may hang up in the middle of it: that is its good right.
		if err := pbio.NewDelimitedWriter(s).WriteMsg(msg); err != nil {
			s.Reset()
		}
	})
}

func (x hostile) fakeAddrs() [][]byte {
	out := make([][]byte, 0, x.addrs)
	for i := range x.addrs {
		// 198.18.0.0/15 is set aside for benchmarks (RFC 2544): nobody lives there.
		text := fmt.Sprintf("/ip4/198.%d.%d.%d/tcp/%d", 18+i>>16&1, i>>8&255, i&255, 1+i%65535)
		out = append(out, ma.StringCast(text).Bytes())
	}
	return out
}

// identifyMessage is what an honest host would say, untrimmed.
func identifyMessage(h host.Host, c network.Conn, agent string) *pb.Identify {
	version := "ipfs/0.1.0"
	msg := &pb.Identify{
		ProtocolVersion: &version,
		AgentVersion:    &agent,
		ObservedAddr:    c.RemoteMultiaddr().Bytes(),
		Protocols:       protocol.ConvertToStrings(h.Mux().Protocols()),
	}
	if key, err := crypto.MarshalPublicKey(h.Peerstore().PubKey(h.ID())); err == nil {
		msg.PublicKey = key
	}
	for _, a := range h.Addrs() {
		msg.ListenAddrs = append(msg.ListenAddrs, a.Bytes())
	}
	return msg
}
