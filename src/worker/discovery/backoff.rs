//! How often a pass that comes by itself asks the DHT and announces this node. In a network where everybody
//! knows everybody each pass would ask for, tell and be told what all know already, and cost the square
//! of their number; so the answers that bring nothing are asked for ever more rarely. Pure.

/// The longest wait is 2 to the power of this, in intervals.
const MOST_DOUBLINGS: u32 = 3;

/// Counts the passes that go by between two that ask everybody.
#[derive(Default)]
pub(crate) struct Rest {
    /// How many asked since anything was new.
    in_vain: u32,
    /// How many have still to go by.
    left: u32,
}

impl Rest {
    /// Something is new, here or out there: the next pass asks.
    pub(crate) fn end(&mut self) {
        *self = Rest::default();
    }

    /// Whether the pass that begins asks everybody.
    pub(crate) fn is_over(&mut self) -> bool {
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
    fn the_wait_doubles_up_to_eight_intervals_and_news_end_it() {
        let asking = |rest: &mut Rest, passes: usize| -> Vec<usize> {
            (0..passes).filter(|_| rest.is_over()).collect()
        };
        let mut rest = Rest::default();
        assert_eq!(asking(&mut rest, 31), [0, 2, 6, 14, 22, 30]);
        rest.end();
        assert_eq!(asking(&mut rest, 4), [0, 2]);
    }
}
