//! Percentiles and ratios.

use std::time::Duration;

use serde_json::{Value, json};

/// Durations measured, in nanoseconds, in the order they came.
#[derive(Debug, Clone, Default)]
pub struct Samples(Vec<u64>);

impl Samples {
    pub fn push(&mut self, took: Duration) {
        self.0.push(took.as_nanos() as u64);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns each, in microseconds.
    pub fn all_us(&self) -> Vec<f64> {
        self.0.iter().map(|ns| *ns as f64 / 1000.0).collect()
    }

    /// Returns the percentile by nearest rank, in microseconds.
    pub fn percentile(&self, percent: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
        let value = sorted.get(rank.max(1) - 1).or(sorted.last());
        value.map_or(f64::NAN, |ns| *ns as f64 / 1000.0)
    }

    pub fn max(&self) -> f64 {
        self.percentile(100.0)
    }

    /// Returns the summary that a process sends to the driver.
    pub fn summary(&self) -> Value {
        json!({
            "n": self.len(),
            "p50_us": self.percentile(50.0),
            "p99_us": self.percentile(99.0),
            "p999_us": self.percentile(99.9),
            "max_us": self.max(),
        })
    }
}

/// The results of one contender, round by round, in microseconds.
#[derive(Debug, Clone, Default)]
pub struct Rounds {
    p50: Vec<f64>,
    p99: Vec<f64>,
    max: f64,
}

impl Rounds {
    /// Notes the summary of a round.
    pub fn note(&mut self, summary: &Value) {
        let number = |key: &str| summary[key].as_f64().unwrap_or(f64::NAN);
        self.p50.push(number("p50_us"));
        self.p99.push(number("p99_us"));
        self.max = self.max.max(number("max_us"));
    }

    /// Returns the median round's median.
    pub fn p50(&self) -> f64 {
        median(&self.p50)
    }

    /// Returns the median round's 99th percentile.
    pub fn p99(&self) -> f64 {
        median(&self.p99)
    }

    /// Returns the slowest of all.
    pub fn max(&self) -> f64 {
        self.max
    }

    /// Returns the median over the rounds of the quotient of medians: a disturbance of a whole round
    /// counts on both sides.
    pub fn ratio(&self, reference: &Rounds) -> f64 {
        let pairs = self.p50.iter().zip(&reference.p50);
        median(&pairs.map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>())
    }
}

/// Returns the middle one.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
