//! How slowly an answer may come. A server that sends a byte now and then is never silent, and would hold a connection for ever.

use std::time::Duration;

/// How long an answer may be waited for before its pace counts.
const GRACE: Duration = Duration::from_secs(60);
/// The least that must come in each second after that.
const LEAST_PER_SECOND: u64 = 4 << 10;

/// What came of an answer, and how long it was waited for; the time in which nobody waited does not count.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    received: u64,
    waited: Duration,
}

impl Pace {
    /// How long the next piece may be waited for.
    pub(super) fn patience(&self) -> Duration {
        let earned = Duration::from_secs(self.received / LEAST_PER_SECOND);
        (GRACE + earned).saturating_sub(self.waited)
    }

    /// Notes that something came after a wait.
    pub(super) fn note(&mut self, received: usize, waited: Duration) {
        self.received += received as u64;
        self.waited += waited;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_ends_and_a_slow_line_does_not() {
        let second = Duration::from_secs(1);
        let seconds = |each: usize| {
            let mut pace = Pace::default();
            (0..10_000).take_while(move |_| {
                pace.note(each, second);
                !pace.patience().is_zero()
            })
        };
        assert_eq!(seconds(1).count(), 59);
        assert_eq!(seconds(2 << 10).count(), 118);
        assert_eq!(seconds(5 << 10).count(), 10_000);
    }
}
