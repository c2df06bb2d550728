//! Made-up peers: the n-th is always the same, so that no list of them is needed.
//!
//! Ids are sha2-256 multihashes (`Qm…`) of nothing: an ed25519 id would have to hold a public key.

/// Returns the n-th peer's id in base58.
pub fn peer_id(n: u64) -> String {
    let mut multihash = [0_u8; 34];
    multihash[..2].copy_from_slice(&[0x12, 0x20]);
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    for bytes in multihash[2..].chunks_mut(8) {
        bytes.copy_from_slice(&split_mix(&mut state).to_le_bytes());
    }
    bs58::encode(multihash).into_string()
}

/// Returns parameters of an `add_peer`: the peer with an address for TCP and one for QUIC.
pub fn add_peer_params(n: u64) -> String {
    let [a, b, c] = [n >> 16 & 255, n >> 8 & 255, n & 255];
    let id = peer_id(n);
    format!(
        r#"{{"peer_id":"{id}","multiaddrs":["/ip4/10.{a}.{b}.{c}/tcp/4001","/ip4/10.{a}.{b}.{c}/udp/4001/quic-v1"]}}"#
    )
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
