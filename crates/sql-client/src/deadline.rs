//! What all engines' sessions do around each exchange with the server: limit its time, and remember when
//! an answer was not read to its end, since the next one would be taken for it.

use std::time::Duration;

use tokio::time::timeout;

use crate::session::Row;
use crate::sql_error::{SqlClass, SqlError, SqlFailure};

/// The limit of a session's exchanges, and whether one went wrong.
#[derive(Debug)]
pub(crate) struct Exchanges {
    limit: Duration,
    lost: bool,
}

impl Exchanges {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, lost: false }
    }

    /// Runs one exchange. The session counts as lost from the start until the answer is read, so that a
    /// caller who drops this future half-way leaves it lost as well.
    pub(crate) async fn run<T>(
        &mut self,
        statement: &'static str,
        exchange: impl Future<Output = Result<T, SqlFailure>>,
    ) -> Result<T, SqlError> {
        if self.lost {
            return Err(SqlError::new(SqlClass::ConnectionLost, None, statement));
        }
        self.lost = true;
        let answer = match timeout(self.limit, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(SqlClass::Timeout.into()),
        };
        let answer = answer.map_err(|failure| SqlError::new(failure.class, failure.code, statement));
        self.lost = answer.as_ref().is_err_and(SqlError::session_is_lost);
        answer
    }
}

/// Rows as they arrive, up to the limit of one answer. The server decides how long it is, so we must.
#[derive(Debug)]
pub(crate) struct Rows {
    rows: Vec<Row>,
    left: usize,
}

impl Rows {
    /// No rows yet, and room for `max_answer` bytes.
    pub(crate) fn new(max_answer: usize) -> Self {
        Self { rows: Vec::new(), left: max_answer }
    }

    /// Adds a row; beyond the limit the connection is given up, as the rest would have to be read.
    pub(crate) fn push(&mut self, columns: Vec<Option<String>>) -> Result<(), SqlFailure> {
        let text: usize = columns.iter().flatten().map(String::len).sum();
        let size = size_of::<Row>() + columns.len() * size_of::<Option<String>>() + text;
        self.left = self.left.checked_sub(size).ok_or(SqlClass::Protocol)?;
        self.rows.push(Row::new(columns));
        Ok(())
    }

    pub(crate) fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn exchanges() -> Exchanges {
        Exchanges::new(Duration::from_millis(20))
    }

    async fn class_of_next(exchanges: &mut Exchanges) -> Option<SqlClass> {
        exchanges.run("asking", ready(Ok(()))).await.err().map(|error| error.class())
    }

    #[tokio::test]
    async fn an_answer_that_refuses_leaves_the_session_usable() {
        let mut exchanges = exchanges();
        let refusal: Result<(), SqlFailure> = Err(SqlClass::AccessDenied.into());
        let error = exchanges.run("creating the user", ready(refusal)).await.unwrap_err();
        assert_eq!(error.to_string(), "creating the user failed: the login lacks the right to do this");
        assert_eq!(class_of_next(&mut exchanges).await, None);
    }

    #[tokio::test]
    async fn no_answer_in_time_loses_the_session() {
        let mut exchanges = exchanges();
        let error = exchanges.run::<()>("asking", pending()).await.unwrap_err();
        assert_eq!(error.class(), SqlClass::Timeout);
        assert_eq!(class_of_next(&mut exchanges).await, Some(SqlClass::ConnectionLost));
    }

    #[tokio::test]
    async fn an_abandoned_exchange_loses_the_session() {
        let mut exchanges = Exchanges::new(Duration::from_mins(1));
        let abandoned = timeout(Duration::from_millis(1), exchanges.run::<()>("asking", pending())).await;
        assert!(abandoned.is_err());
        assert_eq!(class_of_next(&mut exchanges).await, Some(SqlClass::ConnectionLost));
    }

    #[test]
    fn an_endless_answer_is_given_up() {
        let refused_at = |row: &[Option<String>]| {
            let mut rows = Rows::new(64 << 10);
            (0..10_000).find_map(|count| rows.push(row.to_vec()).err().map(|error| (count, error.class)))
        };
        assert_eq!(refused_at(&[Some("x".repeat(1 << 10)), None]), Some((59, SqlClass::Protocol)));
        // A row without a column takes room too.
        assert_eq!(refused_at(&[]), Some((2730, SqlClass::Protocol)));
    }
}
