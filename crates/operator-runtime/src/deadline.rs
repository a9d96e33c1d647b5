//! A limit on how long anything may be awaited. The future is dropped when the time is over; what it had sent may
//! still take effect.

use std::time::Duration;

/// The time was over before the future ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no result within {0:?}")]
pub struct DeadlineExceeded(pub Duration);

/// Awaits `future` for at most `limit`.
pub async fn deadline<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, DeadlineExceeded> {
    tokio::time::timeout(limit, future).await.map_err(|_| DeadlineExceeded(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_future_that_never_ends_is_cut_at_the_limit() {
        let limit = Duration::from_secs(3);
        let start = tokio::time::Instant::now();
        let result = deadline(limit, std::future::pending::<()>()).await;
        assert_eq!(result, Err(DeadlineExceeded(limit)));
        assert_eq!(start.elapsed(), limit);
    }

    #[tokio::test]
    async fn a_result_in_time_passes() {
        assert_eq!(deadline(Duration::from_secs(1), async { 7 }).await, Ok(7));
    }
}
