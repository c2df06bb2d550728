// Multicast DNS, as go-libp2p speaks it.

package main

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

// HandlePeerFound connects; the service calls it for whoever it hears of.
func (n *node) HandlePeerFound(info peer.AddrInfo) {
	ctx, cancel := context.WithTimeout(context.Background(), defaultTimeout)
	defer cancel()
	// A peer that can't be connected to is discovered again.
	_ = n.host.Connect(ctx, info)
}

// speakMdns lasts until the process ends.
func (n *node) speakMdns() error {
	if err := mdns.NewMdnsService(n.host, "", n).Start(); err != nil {
		return fmt.Errorf("multicast DNS: %w", err)
	}
	return nil
}
