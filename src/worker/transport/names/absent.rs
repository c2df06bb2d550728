//! Looks up nothing: this build is without the feature `dns`, and no address with a name is dialled.

use libp2p::multiaddr::Protocol;

use super::progress::Cause;
use crate::Multiaddr;

#[derive(Default)]
pub(crate) struct Names;

impl Names {
    pub(crate) fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    pub(super) async fn look_up(&self, _: &Protocol<'_>) -> Result<Vec<Multiaddr>, Cause> {
        Err(Cause::Unsupported)
    }
}
