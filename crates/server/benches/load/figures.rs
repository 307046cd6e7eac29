//! What was measured.

use std::time::Duration;

/// Answers, or commits, of a while.
pub struct Taken {
    /// Microseconds, sorted.
    micros: Vec<u32>,
    pub seconds: f64,
}

impl Taken {
    pub fn new(mut micros: Vec<u32>, seconds: f64) -> Self {
        micros.sort_unstable();
        Self { micros, seconds }
    }

    pub fn count(&self) -> usize {
        self.micros.len()
    }

    pub fn rate(&self) -> f64 {
        self.count() as f64 / self.seconds
    }

    /// The time below which so many of a hundred lie.
    pub fn percentile(&self, percent: usize) -> Duration {
        let at = (self.micros.len() * percent / 100).min(self.micros.len().saturating_sub(1));
        Duration::from_micros(self.micros.get(at).copied().unwrap_or_default().into())
    }
}

/// One line of a table.
pub struct Line {
    pub name: &'static str,
    pub rate: f64,
    pub p50: Duration,
    pub p99: Duration,
    /// Microseconds of the process's CPU for each request.
    pub cpu: f64,
    /// MiB; `None` for what has no server.
    pub memory: Option<f64>,
}

impl Line {
    pub fn new(name: &'static str, taken: &Taken, cpu: Duration, memory: Option<f64>) -> Self {
        Self {
            name,
            rate: taken.rate(),
            p50: taken.percentile(50),
            p99: taken.percentile(99),
            cpu: cpu.as_secs_f64() * 1e6 / taken.count().max(1) as f64,
            memory,
        }
    }
}

/// All that was measured of one store at one size.
pub struct Measured {
    pub store: &'static str,
    pub secrets: usize,
    /// How long loading them took.
    pub loaded: Duration,
    pub start: Duration,
    /// MiB at most.
    pub peak: f64,
    pub lines: Vec<Line>,
}

impl Measured {
    pub fn line(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.name == name)
    }
}
