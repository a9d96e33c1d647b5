//! The server's answer to one command: an error, an "OK" with a count, or one table as text.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response.html>

use super::channel::Channel;
use super::codes;
use super::packet::{Fields, Malformed};
use crate::deadline::Rows;
use crate::session::Row;
use crate::sql_error::{SqlClass, SqlFailure};

const OK: u8 = 0x00;
const LOCAL_INFILE: u8 = 0xfb;
const END: u8 = 0xfe;
const ERROR: u8 = 0xff;
/// A row may begin with the same byte, but is then longer than the five bytes of an end.
const MAX_END: usize = 8;

/// What a command gave.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) affected: u64,
    pub(super) rows: Vec<Row>,
}

impl From<Malformed> for SqlFailure {
    fn from(_: Malformed) -> Self {
        SqlClass::Protocol.into()
    }
}

/// Reads the whole answer.
pub(super) async fn read(channel: &mut Channel) -> Result<Answer, SqlFailure> {
    let content = checked(channel).await?;
    let mut fields = Fields(&content);
    match content.first() {
        Some(&OK) => {
            fields.u8()?;
            Ok(Answer { affected: fields.length_encoded()?, ..Answer::default() })
        }
        // A server that asks for a file of ours, which no capability allows it to.
        Some(&LOCAL_INFILE) => Err(SqlClass::Protocol.into()),
        _ => {
            let columns = fields.length_encoded()?;
            Ok(Answer { rows: read_table(channel, columns).await?, ..Answer::default() })
        }
    }
}

/// Column descriptions up to an end, then rows up to an end.
async fn read_table(channel: &mut Channel, columns: u64) -> Result<Vec<Row>, SqlFailure> {
    let mut described = 0;
    while !is_end(&checked(channel).await?) {
        described += 1;
        if described > columns {
            return Err(SqlClass::Protocol.into());
        }
    }
    let mut rows = Rows::new(channel.limit());
    loop {
        let content = checked(channel).await?;
        if is_end(&content) {
            return Ok(rows.into_rows());
        }
        rows.push(read_row(&content)?)?;
    }
}

fn read_row(content: &[u8]) -> Result<Vec<Option<String>>, Malformed> {
    let mut fields = Fields(content);
    let mut columns = Vec::new();
    while !fields.is_empty() {
        columns.push(fields.column()?);
    }
    Ok(columns)
}

fn is_end(content: &[u8]) -> bool {
    content.first() == Some(&END) && content.len() <= MAX_END
}

async fn checked(channel: &mut Channel) -> Result<Vec<u8>, SqlFailure> {
    let content = channel.read().await?;
    match error_code(&content) {
        Some(code) => Err(codes::sql_failure(code)),
        None => Ok(content),
    }
}

/// The number in an error packet; its text is never looked at.
pub(super) fn error_code(content: &[u8]) -> Option<u16> {
    match content {
        [ERROR, low, high, ..] => Some(u16::from_le_bytes([*low, *high])),
        _ => None,
    }
}
