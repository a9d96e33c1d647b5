//! Decides when a server is left alone: after a few failures in a row nobody asks it anything any more, until
//! [`crate::recovery`] finds that it answers. Pure.

use crate::pool::PoolError;

/// So many failures in a row are no accident of one session.
const ENOUGH: u32 = 3;

/// What is known about one server.
#[derive(Debug, Default)]
pub struct Breaker {
    /// In a row.
    failures: u32,
    /// What it failed with when it was given up; everybody is told the same, so that statuses do not flicker.
    trouble: Option<PoolError>,
    attended: bool,
}

impl Breaker {
    /// It answered. Nobody is believed who asked before it was given up.
    pub fn worked(&mut self) {
        if self.trouble.is_none() {
            self.failures = 0;
        }
    }

    /// It failed. Whether that was the last time: it is given up now.
    #[must_use]
    pub fn failed(&mut self, error: &PoolError) -> bool {
        self.failures = self.failures.saturating_add(1);
        let opens = self.failures >= ENOUGH && self.trouble.is_none();
        if opens {
            self.trouble = Some(error.clone());
        }
        opens
    }

    /// Why nobody asks it, while that is so.
    #[must_use]
    pub fn trouble(&self) -> Option<&PoolError> {
        self.trouble.as_ref()
    }

    /// Whether somebody must begin to see when it answers again. Only the first who asks is told so.
    #[must_use]
    pub fn needs_attention(&mut self) -> bool {
        let needed = self.trouble.is_some() && !self.attended;
        self.attended |= needed;
        needed
    }

    /// It answers again.
    pub fn close(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOWN: PoolError = PoolError::Busy;

    fn after(failures: u32) -> Breaker {
        let mut breaker = Breaker::default();
        let opened = (0..failures).filter(|_| breaker.failed(&DOWN)).count();
        assert_eq!(opened, usize::from(failures >= ENOUGH), "it is given up once");
        breaker
    }

    #[test]
    fn a_few_failures_in_a_row_are_enough() {
        assert!(after(ENOUGH - 1).trouble().is_none());
        assert_eq!(after(ENOUGH).trouble(), Some(&DOWN));
        assert_eq!(after(ENOUGH + 5).trouble(), Some(&DOWN));
    }

    #[test]
    fn an_answer_between_them_starts_the_count_again() {
        let mut breaker = after(ENOUGH - 1);
        breaker.worked();
        assert!(!breaker.failed(&DOWN) && breaker.trouble().is_none());
    }

    #[test]
    fn a_late_answer_closes_nothing() {
        let mut breaker = after(ENOUGH);
        breaker.worked();
        assert!(breaker.trouble().is_some());
        breaker.close();
        assert!(breaker.trouble().is_none() && !breaker.failed(&DOWN));
    }

    #[test]
    fn one_looks_after_it() {
        assert!(!after(0).needs_attention());
        let mut breaker = after(ENOUGH);
        assert!(breaker.needs_attention() && !breaker.needs_attention());
        breaker.close();
        assert!(!breaker.needs_attention());
        for _ in 0..ENOUGH {
            let _ = breaker.failed(&DOWN);
        }
        assert!(breaker.needs_attention());
    }
}
