//! Limits how often an automatic pass asks the DHT and publishes this node's record. In a network where
//! all peers know one another each pass would pass on what all know already, at a cost of the square of
//! their number; so while nothing is new, the wait doubles. Pure.

/// The longest wait is 2 to the power of this, in passes.
const MOST_DOUBLINGS: u32 = 3;

/// Counts the passes that go by between two that ask everybody.
#[derive(Default)]
pub(super) struct Backoff {
    /// The passes that asked since anything was new, up to [`MOST_DOUBLINGS`].
    in_vain: u32,
    /// The passes that have still to go by.
    left: u32,
}

impl Backoff {
    /// Has the next pass ask: something is new, here or on the network.
    pub(super) fn reset(&mut self) {
        *self = Backoff::default();
    }

    /// Begins a pass; true if it asks everybody.
    pub(super) fn asks(&mut self) -> bool {
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            return false;
        }
        self.in_vain = (self.in_vain + 1).min(MOST_DOUBLINGS);
        self.left = (1 << self.in_vain) - 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_eight_passes_and_a_reset_ends_it() {
        let asking = |backoff: &mut Backoff, passes: usize| -> Vec<usize> {
            (0..passes).filter(|_| backoff.asks()).collect()
        };
        let mut backoff = Backoff::default();
        assert_eq!(asking(&mut backoff, 31), [0, 2, 6, 14, 22, 30]);
        backoff.reset();
        assert_eq!(asking(&mut backoff, 4), [0, 2]);
    }
}
