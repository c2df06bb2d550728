//! A build without the feature `dht`: these types are never made, so that those who ask the DHT where
//! there is one need not know of features.

use crate::{Multiaddr, PeerId};

/// Stands in for the DHT.
pub(crate) enum Dht {}

/// Stands in for a query's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum QueryId {}

impl Dht {
    pub(crate) fn len(&mut self) -> usize {
        match *self {}
    }

    pub(crate) fn remove(&mut self, _: &PeerId) {
        match *self {}
    }

    pub(crate) fn look_for(&mut self, _: PeerId) -> QueryId {
        match *self {}
    }

    pub(crate) fn finish(&mut self, _: QueryId) {
        match *self {}
    }

    pub(crate) fn connected_at(&mut self, _: &PeerId) -> Vec<Multiaddr> {
        match *self {}
    }
}
