//! Signed peer records as nodes announce them, made apart from the code under test: true ones and forgeries.

use libp2p::core::SignedEnvelope;
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId};

/// Makes a record of `named`, signed by `signer`.
pub fn record(signer: &Keypair, named: PeerId, seq: u64, address: &Multiaddr) -> Vec<u8> {
    let address = field(1, &address.to_vec());
    let seq = [vec![2 << 3], varint(seq)].concat();
    let record = [field(1, &named.to_bytes()), seq, field(3, &address)].concat();
    let domain = "libp2p-peer-record".to_owned();
    let envelope = SignedEnvelope::new(signer, domain, vec![0x03, 0x01], record).unwrap();
    envelope.into_protobuf_encoding()
}

/// Makes a field of bytes, as protobuf has it.
pub fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], varint(bytes.len() as u64), bytes.to_vec()].concat()
}

pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
