// A go-libp2p peer that peerkit's tests talk to: another implementation, in another process, over
// real sockets. It dials and listens over TCP and QUIC with any key type, and can be told to
// misbehave (hostile.go). It never leaves the machine by itself: no DHT, relay or port mapping, and mDNS
// only where it is told to (mdns.go).
//
// When it is ready it prints one JSON line, {"peer_id":..., "addrs":[...]}. Then it reads one JSON
// command a line from stdin and answers each with one JSON line, in order (commands.go). The end of
// stdin, or {"cmd":"quit"}, ends it. This file holds the flags and that loop; host.go makes the host.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
)

// maxCommandBytes bounds a line of stdin.
const maxCommandBytes = 1 << 20

// options are the flags.
type options struct {
	listen     []string
	key        string
	agent      string
	security   string
	maxConns   int
	block      []peer.ID
	noIdentify bool
	mdns       bool
	hostile    hostile
}

// ready is the first line of output.
type ready struct {
	PeerID string   `json:"peer_id"`
	Addrs  []string `json:"addrs"`
}

func main() {
	opts, err := parseFlags(os.Args[1:])
	if err == nil {
		err = run(opts, os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop peer:", err)
		os.Exit(1)
	}
}

func parseFlags(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("interop", flag.ExitOnError)
	fs.Func("listen", "multiaddr to listen on; repeatable (default: TCP and QUIC on 127.0.0.1)", func(s string) error {
		o.listen = append(o.listen, s)
		return nil
	})
	fs.StringVar(&o.key, "key", "ed25519", "type of the new random key: ed25519, rsa, secp256k1 or ecdsa")
	fs.StringVar(&o.agent, "agent", "peerkit-interop-go", "agent version told by identify")
	fs.StringVar(&o.security, "security", "both", "security offered on TCP: noise, tls or both")
	fs.IntVar(&o.maxConns, "max-conns", 0, "refuse connections beyond this many; 0: no limit at all")
	fs.Func("block", "peer id to refuse after the handshake; repeatable", func(s string) error {
		id, err := peer.Decode(s)
		o.block = append(o.block, id)
		return err
	})
	fs.BoolVar(&o.noIdentify, "no-identify", false, "don't speak identify")
	fs.BoolVar(&o.mdns, "mdns", false, "speak multicast DNS, and connect to whoever is found by it")
	fs.IntVar(&o.hostile.agentBytes, "agent-bytes", 0, "hostile: an agent version of this many bytes")
	fs.IntVar(&o.hostile.protocols, "protocols", 0, "hostile: announce this many protocols with long names")
	fs.IntVar(&o.hostile.addrs, "addrs", 0, "hostile: announce this many addresses that aren't ours")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if len(o.listen) == 0 {
		o.listen = []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}
	}
	return o, nil
}

// run starts the host, says so, and serves commands until told to end.
func run(opts options, in io.Reader, out io.Writer) error {
	node, err := newNode(opts)
	if err != nil {
		return err
	}
	defer node.host.Close()
	if opts.mdns {
		if err := node.speakMdns(); err != nil {
			return err
		}
	}

	enc := json.NewEncoder(out)
	if err := enc.Encode(ready{PeerID: node.host.ID().String(), Addrs: node.listenAddrs()}); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 4096), maxCommandBytes)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		answer, quit := node.serve(lines.Bytes())
		if err := enc.Encode(answer); err != nil || quit {
			return err
		}
	}
	return lines.Err()
}
