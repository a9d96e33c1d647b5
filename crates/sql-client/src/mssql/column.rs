//! The columns of a table and the values in its rows. Whole numbers, truths and text are read; a statement of ours casts
//! everything else, so any other type counts as malformed.
//! <https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-tds/ffb02215-af07-4b50-8545-1fd522106c68>

use std::io;

use super::channel::Incoming;
use super::packet::{from_utf16, malformed};

/// SQL Server returns no more: <https://learn.microsoft.com/en-us/sql/sql-server/maximum-capacity-specifications-for-sql-server>.
const MAX_COLUMNS: u16 = 4096;
/// Stands for "no table follows".
const NO_COLUMNS: u16 = 0xffff;
/// The length that announces pieces, as nvarchar(max) has them; as a value's length it is NULL.
const UNBOUNDED: u16 = 0xffff;
const NULL_IN_PIECES: u64 = u64::MAX;
const COLLATION: usize = 5;

/// How a column's values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// A whole number of so many bytes.
    Number(usize),
    /// A whole number behind its length, 0 for NULL.
    NullableNumber,
    /// Text behind its length, or in pieces.
    Text { wide: bool, in_pieces: bool },
}

/// Reads the description of a table.
pub(super) async fn read_columns(message: &mut Incoming<'_>) -> io::Result<Vec<Column>> {
    let count = match message.u16().await? {
        NO_COLUMNS => 0,
        count if count > MAX_COLUMNS => return Err(malformed()),
        count => count,
    };
    let mut columns = Vec::new();
    for _ in 0..count {
        // User type and flags.
        message.skip(6).await?;
        columns.push(read_column(message).await?);
        let name = message.u8().await?;
        message.skip(usize::from(name) * 2).await?;
    }
    Ok(columns)
}

async fn read_column(message: &mut Incoming<'_>) -> io::Result<Column> {
    match message.u8().await? {
        // tinyint and bit.
        0x30 | 0x32 => Ok(Column::Number(1)),
        0x34 => Ok(Column::Number(2)),
        0x38 => Ok(Column::Number(4)),
        0x7f => Ok(Column::Number(8)),
        0x26 | 0x68 => message.skip(1).await.map(|()| Column::NullableNumber),
        // varchar, char, nvarchar, nchar.
        kind @ (0xa7 | 0xaf | 0xe7 | 0xef) => {
            let in_pieces = message.u16().await? == UNBOUNDED;
            message.skip(COLLATION).await?;
            Ok(Column::Text { wide: kind >= 0xe7, in_pieces })
        }
        _ => Err(malformed()),
    }
}

/// Reads a row; with a bitmap in front when `compressed`, which tells the values that are NULL and left out.
pub(super) async fn read_row(
    message: &mut Incoming<'_>,
    columns: &[Column],
    compressed: bool,
) -> io::Result<Vec<Option<String>>> {
    let bitmap = if compressed { message.bytes(columns.len().div_ceil(8)).await? } else { Vec::new() };
    let mut values = Vec::with_capacity(columns.len());
    for (index, column) in columns.iter().enumerate() {
        let is_null = bitmap.get(index / 8).is_some_and(|bits| bits >> (index % 8) & 1 == 1);
        values.push(if is_null { None } else { column.read(message).await? });
    }
    Ok(values)
}

impl Column {
    async fn read(self, message: &mut Incoming<'_>) -> io::Result<Option<String>> {
        match self {
            Self::Number(length) => number(&message.bytes(length).await?).map(Some),
            Self::NullableNumber => match message.u8().await? {
                0 => Ok(None),
                length => number(&message.bytes(usize::from(length)).await?).map(Some),
            },
            Self::Text { wide, in_pieces } => {
                let bytes = if in_pieces { read_pieces(message).await? } else { read_short(message).await? };
                Ok(bytes.map(|bytes| text(&bytes, wide)))
            }
        }
    }
}

async fn read_short(message: &mut Incoming<'_>) -> io::Result<Option<Vec<u8>>> {
    match message.u16().await? {
        UNBOUNDED => Ok(None),
        length => message.bytes(usize::from(length)).await.map(Some),
    }
}

async fn read_pieces(message: &mut Incoming<'_>) -> io::Result<Option<Vec<u8>>> {
    // The length in all may be left open, and is not believed anyway.
    if message.u64().await? == NULL_IN_PIECES {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    loop {
        match usize::try_from(message.u32().await?).map_err(|_| malformed())? {
            0 => return Ok(Some(bytes)),
            length => bytes.extend(message.bytes(length).await?),
        }
    }
}

/// tinyint has no sign, the longer ones have.
fn number(bytes: &[u8]) -> io::Result<String> {
    let number = match bytes.len() {
        1 => bytes.first().map(|byte| i64::from(*byte)),
        2 => bytes.first_chunk().map(|bytes| i16::from_le_bytes(*bytes).into()),
        4 => bytes.first_chunk().map(|bytes| i32::from_le_bytes(*bytes).into()),
        8 => bytes.first_chunk().map(|bytes| i64::from_le_bytes(*bytes)),
        _ => None,
    };
    number.map(|number| number.to_string()).ok_or_else(malformed)
}

fn text(bytes: &[u8], wide: bool) -> String {
    if wide { from_utf16(bytes) } else { String::from_utf8_lossy(bytes).into_owned() }
}
