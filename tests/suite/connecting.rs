//! Peers connect, are listed, answer pings and part, over TCP and over QUIC.
