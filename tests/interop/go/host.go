// Making the libp2p host: key, transports, security and limits as the flags ask, and the gater that
// refuses blocked peers. Everything go-libp2p would do unasked is switched off here.

package main

import (
	"crypto/rand"
	"fmt"
	"sync"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
)

const rsaBits = 2048

// node is the host and what the commands need beside it.
type node struct {
	host  host.Host
	gater *gater
}

func newNode(o options) (*node, error) {
	key, err := newKey(o.key)
	if err != nil {
		return nil, err
	}
	security, err := securityOption(o.security)
	if err != nil {
		return nil, err
	}
	limits, err := limiter(o.maxConns)
	if err != nil {
		return nil, err
	}
	g := newGater(o.block)
	h, err := libp2p.New(
		libp2p.Identity(key),
		libp2p.UserAgent(o.agent),
		security,
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Transport(quic.NewTransport),
		libp2p.DefaultMuxers,
		libp2p.ConnectionGater(g),
		libp2p.ResourceManager(limits),
		// The default one closes connections beyond 192.
		libp2p.ConnectionManager(connmgr.NullConnMgr{}),
		libp2p.DisableRelay(),
		libp2p.DisableMetrics(),
		libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.NoListenAddrs,
	)
	if err != nil {
		return nil, err
	}
	if o.noIdentify {
		h.RemoveStreamHandler(identify.ID)
		h.RemoveStreamHandler(identify.IDPush)
	}
	if o.hostile.any() {
		o.hostile.install(h, o.agent)
	}
	// Listening comes last, so that nobody meets the host before it behaves as asked.
	if err := listen(h, o.listen); err != nil {
		h.Close()
		return nil, err
	}
	return &node{host: h, gater: g}, nil
}

func newKey(kind string) (crypto.PrivKey, error) {
	var key crypto.PrivKey
	var err error
	switch kind {
	case "ed25519":
		key, _, err = crypto.GenerateEd25519Key(rand.Reader)
	case "rsa":
		key, _, err = crypto.GenerateRSAKeyPair(rsaBits, rand.Reader)
	case "secp256k1":
		key, _, err = crypto.GenerateSecp256k1Key(rand.Reader)
	case "ecdsa":
		key, _, err = crypto.GenerateECDSAKeyPair(rand.Reader)
	default:
		err = fmt.Errorf("unknown key type %q", kind)
	}
	return key, err
}

// securityOption is about TCP; QUIC always brings TLS.
func securityOption(kind string) (libp2p.Option, error) {
	switch kind {
	case "noise":
		return libp2p.Security(noise.ID, noise.New), nil
	case "tls":
		return libp2p.Security(tls.ID, tls.New), nil
	case "both":
		return libp2p.DefaultSecurity, nil
	}
	return nil, fmt.Errorf("unknown security %q", kind)
}

// limiter allows everything, or everything but more than maxConns connections.
func limiter(maxConns int) (network.ResourceManager, error) {
	if maxConns <= 0 {
		return &network.NullResourceManager{}, nil
	}
	limits := rcmgr.PartialLimitConfig{System: rcmgr.ResourceLimits{Conns: rcmgr.LimitVal(maxConns)}}
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.Build(rcmgr.InfiniteLimits)))
}

func listen(h host.Host, addrs []string) error {
	for _, s := range addrs {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return fmt.Errorf("listen address %q: %w", s, err)
		}
		if err := h.Network().Listen(a); err != nil {
			return fmt.Errorf("listen on %s: %w", a, err)
		}
	}
	return nil
}

// listenAddrs are the addresses really listened on, whatever the host announces, each with /p2p/.
func (n *node) listenAddrs() []string {
	addrs, err := n.host.Network().InterfaceListenAddresses()
	if err != nil {
		return []string{}
	}
	out := make([]string, 0, len(addrs))
	for _, a := range addrs {
		out = append(out, fmt.Sprintf("%s/p2p/%s", a, n.host.ID()))
	}
	return out
}

// gater refuses blocked peers once the handshake has told who they are: to them the connection looks
// established for a moment, then closes.
type gater struct {
	mu      sync.Mutex
	blocked map[peer.ID]bool
}

func newGater(ids []peer.ID) *gater {
	g := &gater{blocked: map[peer.ID]bool{}}
	for _, id := range ids {
		g.set(id, true)
	}
	return g
}

func (g *gater) set(id peer.ID, blocked bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.blocked[id] = blocked
}

func (g *gater) allows(id peer.ID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.blocked[id]
}

func (g *gater) InterceptPeerDial(peer.ID) bool               { return true }
func (g *gater) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }
func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool  { return true }

func (g *gater) InterceptSecured(_ network.Direction, id peer.ID, _ network.ConnMultiaddrs) bool {
	return g.allows(id)
}

func (g *gater) InterceptUpgraded(c network.Conn) (bool, control.DisconnectReason) {
	return g.allows(c.RemotePeer()), 0
}
