// The commands, one JSON object a line: {"cmd":"connect","addr":...}. Each answer is one object that
// begins with "ok"; a failed one has "error". Commands that wait take "timeout_ms" (10 s by default).

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

const (
	defaultTimeout = 10 * time.Second
	defaultPings   = 3
	defaultDials   = 100
	// echoProtocol is served after the command "echo-handler".
	echoProtocol = protocol.ID("/peerkit/interop/echo/1.0.0")
)

type command struct {
	Cmd       string `json:"cmd"`
	Addr      string `json:"addr"`
	Peer      string `json:"peer"`
	N         int    `json:"n"`
	TimeoutMs int    `json:"timeout_ms"`
	// Connected is what wait-peer waits for; true unless given.
	Connected *bool `json:"connected"`
}

// answer is embedded in every answer, so that "ok" comes first.
type answer struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

var success = answer{OK: true}

func failure(err error) answer { return answer{Error: err.Error()} }

// serve answers one command; quit says that it was the last one.
func (n *node) serve(line []byte) (reply any, quit bool) {
	var c command
	if err := json.Unmarshal(line, &c); err != nil {
		return failure(fmt.Errorf("not a command: %w", err)), false
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout())
	defer cancel()
	reply, err := n.dispatch(ctx, c)
	if err != nil {
		reply = failure(err)
	}
	return reply, c.Cmd == "quit"
}

func (c command) timeout() time.Duration {
	if c.TimeoutMs > 0 {
		return time.Duration(c.TimeoutMs) * time.Millisecond
	}
	return defaultTimeout
}

func (n *node) dispatch(ctx context.Context, c command) (any, error) {
	switch c.Cmd {
	case "connect":
		return n.connect(ctx, c)
	case "peers":
		return n.peers(ctx), nil
	case "bench-dial":
		return n.benchDial(c)
	case "echo-handler":
		n.host.SetStreamHandler(echoProtocol, echo)
		return success, nil
	case "quit":
		return success, nil
	case "ping", "close", "wait-peer", "block", "unblock":
		return n.dispatchPeer(ctx, c)
	}
	return nil, fmt.Errorf("unknown command %q", c.Cmd)
}

// dispatchPeer serves the commands that are about one peer.
func (n *node) dispatchPeer(ctx context.Context, c command) (any, error) {
	id, err := peer.Decode(c.Peer)
	if err != nil {
		return nil, fmt.Errorf("%s: peer %q: %w", c.Cmd, c.Peer, err)
	}
	switch c.Cmd {
	case "ping":
		return n.ping(ctx, id, c.N)
	case "close":
		return success, n.host.Network().ClosePeer(id)
	case "wait-peer":
		return n.waitPeer(ctx, id, c.Connected == nil || *c.Connected)
	default:
		n.gater.set(id, c.Cmd == "block")
		return success, nil
	}
}

type connectAnswer struct {
	answer
	peerAnswer
	DurationUs int64 `json:"duration_us"`
}

func (n *node) connect(ctx context.Context, c command) (any, error) {
	info, err := peer.AddrInfoFromString(c.Addr)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := n.dial(ctx, *info); err != nil {
		return nil, err
	}
	took := time.Since(start).Microseconds()
	return connectAnswer{success, n.describe(info.ID), took}, nil
}

// dial connects by exactly the addresses given, back-off or not, and waits for identify. A peer that
// isn't connected is forgotten first, so that nothing told in an earlier connection passes for news.
func (n *node) dial(ctx context.Context, info peer.AddrInfo) error {
	if !n.connected(info.ID) {
		n.host.Peerstore().RemovePeer(info.ID)
		n.host.Peerstore().ClearAddrs(info.ID)
	}
	if s, ok := n.host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(info.ID)
	}
	err := n.host.Connect(ctx, info)
	// The end of the connection before may still be under way, and takes the new address with it.
	for tries := 0; tries < 3 && errors.Is(err, swarm.ErrNoAddresses); tries++ {
		err = n.host.Connect(ctx, info)
	}
	if err != nil {
		return err
	}
	if err := n.awaitIdentify(ctx, info.ID); err != nil {
		return err
	}
	if !n.connected(info.ID) {
		return errors.New("the remote closed the connection before identify was over")
	}
	return nil
}

func (n *node) connected(id peer.ID) bool {
	return n.host.Network().Connectedness(id) == network.Connected
}

// awaitIdentify returns once identify is over, well or not, on every connection to the peer.
func (n *node) awaitIdentify(ctx context.Context, id peer.ID) error {
	ids := n.host.(interface{ IDService() identify.IDService }).IDService()
	for _, conn := range n.host.Network().ConnsToPeer(id) {
		select {
		case <-ids.IdentifyWait(conn):
		case <-ctx.Done():
			return fmt.Errorf("identify with %s: %w", id, ctx.Err())
		}
	}
	return nil
}

type connAnswer struct {
	Remote    string `json:"remote"`
	Direction string `json:"direction"`
	Transport string `json:"transport"`
	Security  string `json:"security"`
}

type peerAnswer struct {
	PeerID          string        `json:"peer_id"`
	AgentVersion    string        `json:"agent_version"`
	ProtocolVersion string        `json:"protocol_version"`
	Protocols       []protocol.ID `json:"protocols"`
	Addrs           []string      `json:"addrs"`
	Conns           []connAnswer  `json:"conns"`
}

type peersAnswer struct {
	answer
	Peers []peerAnswer `json:"peers"`
}

// peers lists who is connected. Identify under way is awaited, so that the list doesn't depend on luck.
func (n *node) peers(ctx context.Context) any {
	out := peersAnswer{success, []peerAnswer{}}
	for _, id := range n.host.Network().Peers() {
		// Past the deadline a peer is listed with what is known of it.
		_ = n.awaitIdentify(ctx, id)
		out.Peers = append(out.Peers, n.describe(id))
	}
	return out
}

// describe tells what the peerstore and the swarm know of a peer.
func (n *node) describe(id peer.ID) peerAnswer {
	store := n.host.Peerstore()
	out := peerAnswer{
		PeerID:          id.String(),
		AgentVersion:    stored(store, id, "AgentVersion"),
		ProtocolVersion: stored(store, id, "ProtocolVersion"),
		Protocols:       []protocol.ID{},
		Addrs:           []string{},
		Conns:           []connAnswer{},
	}
	if protocols, err := store.GetProtocols(id); err == nil && protocols != nil {
		slices.Sort(protocols)
		out.Protocols = protocols
	}
	for _, a := range store.Addrs(id) {
		out.Addrs = append(out.Addrs, a.String())
	}
	for _, c := range n.host.Network().ConnsToPeer(id) {
		state := c.ConnState()
		out.Conns = append(out.Conns, connAnswer{
			Remote:    c.RemoteMultiaddr().String(),
			Direction: c.Stat().Direction.String(),
			Transport: state.Transport,
			Security:  string(state.Security),
		})
	}
	return out
}

// stored is a text that identify left in the peerstore, or "".
func stored(store peerstore.Peerstore, id peer.ID, key string) string {
	value, err := store.Get(id, key)
	if err != nil {
		return ""
	}
	text, _ := value.(string)
	return text
}

type pingAnswer struct {
	answer
	RttsUs []int64 `json:"rtts_us"`
}

func (n *node) ping(ctx context.Context, id peer.ID, count int) (any, error) {
	if !n.connected(id) {
		return nil, errors.New("not connected")
	}
	if count <= 0 {
		count = defaultPings
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := pingAnswer{success, []int64{}}
	results := ping.Ping(ctx, n.host, id)
	for len(out.RttsUs) < count {
		r, open := <-results
		if !open {
			return nil, fmt.Errorf("after %d pings: %w", len(out.RttsUs), ctx.Err())
		}
		if r.Error != nil {
			return nil, r.Error
		}
		out.RttsUs = append(out.RttsUs, r.RTT.Microseconds())
	}
	return out, nil
}

// waitPeer returns once the peer is connected, or isn't, as asked.
func (n *node) waitPeer(ctx context.Context, id peer.ID, connected bool) (any, error) {
	changes, err := n.host.EventBus().Subscribe(new(event.EvtPeerConnectednessChanged))
	if err != nil {
		return nil, err
	}
	defer changes.Close()
	// The state is asked for after subscribing, so that no change is missed.
	for n.connected(id) != connected {
		select {
		case <-changes.Out():
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for connected=%t of %s: %w", connected, id, ctx.Err())
		}
	}
	return success, nil
}

type benchAnswer struct {
	answer
	N     int   `json:"n"`
	P50Us int64 `json:"p50_us"`
	P99Us int64 `json:"p99_us"`
	MinUs int64 `json:"min_us"`
	MaxUs int64 `json:"max_us"`
}

// benchDial measures dial to identified, one at a time, a fresh connection each. A timeout is per dial.
func (n *node) benchDial(c command) (any, error) {
	info, err := peer.AddrInfoFromString(c.Addr)
	if err != nil {
		return nil, err
	}
	if c.N <= 0 {
		c.N = defaultDials
	}
	samples := make([]int64, 0, c.N)
	for range c.N {
		took, err := n.timeDial(*info, c.timeout())
		if err != nil {
			return nil, fmt.Errorf("dial %d of %d: %w", len(samples)+1, c.N, err)
		}
		samples = append(samples, took.Microseconds())
	}
	slices.Sort(samples)
	return benchAnswer{success, c.N, percentile(samples, 50), percentile(samples, 99), samples[0], samples[c.N-1]}, nil
}

func (n *node) timeDial(info peer.AddrInfo, timeout time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if n.connected(info.ID) {
		return 0, errors.New("already connected")
	}
	start := time.Now()
	if err := n.dial(ctx, info); err != nil {
		return 0, err
	}
	took := time.Since(start)
	if agent := stored(n.host.Peerstore(), info.ID, "AgentVersion"); agent == "" {
		return 0, errors.New("connected, but identify told no agent version")
	}
	if err := n.host.Network().ClosePeer(info.ID); err != nil {
		return 0, err
	}
	_, err := n.waitPeer(ctx, info.ID, false)
	return took, err
}

// percentile is of sorted samples, by nearest rank.
func percentile(sorted []int64, p int) int64 {
	rank := (len(sorted)*p + 99) / 100
	return sorted[max(rank, 1)-1]
}

// echo sends back what it reads.
func echo(s network.Stream) {
	if _, err := io.Copy(s, s); err != nil {
		s.Reset()
		return
	}
	s.Close()
}
