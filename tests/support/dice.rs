//! Repeatable chance: `PEERKIT_SEED` in the environment repeats a run.

/// Repeatable random numbers (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    /// Returns the seed of this run, and prints it.
    pub fn seed() -> u64 {
        let seed = std::env::var("PEERKIT_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(getrandom::u32().unwrap()));
        println!("PEERKIT_SEED={seed}");
        seed
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
