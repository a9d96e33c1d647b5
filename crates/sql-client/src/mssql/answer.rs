//! The server's answer to a login or a batch: a row of tokens, of which those that matter are kept. Texts of errors and
//! messages are skipped unread.
//! <https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-tds/67b6113c-d722-42d1-902c-3f6e8de09173>

use std::io;

use super::channel::Incoming;
use super::codes::ServerError;
use super::column::{Column, read_columns, read_row};
use super::packet::{from_utf16, malformed};
use crate::deadline::Rows;

const RETURN_STATUS: u8 = 0x79;
const COLUMNS: u8 = 0x81;
const TABLE_NAMES: u8 = 0xa4;
const COLUMN_INFO: u8 = 0xa5;
const ORDER: u8 = 0xa9;
const ERROR: u8 = 0xaa;
const INFO: u8 = 0xab;
const LOGIN_ACCEPTED: u8 = 0xad;
const ROW: u8 = 0xd1;
const COMPRESSED_ROW: u8 = 0xd2;
const ENVIRONMENT: u8 = 0xe3;
const DONE: u8 = 0xfd;
const DONE_PROCEDURE: u8 = 0xfe;
const DONE_IN_PROCEDURE: u8 = 0xff;

const MORE: u16 = 0x01;
const HAS_COUNT: u16 = 0x10;

const PACKET_SIZE: u8 = 4;
const ROUTING: u8 = 20;

/// What has been understood of an answer, also when it breaks off.
#[derive(Debug)]
pub(super) struct Answer {
    /// The error that tells most.
    pub(super) error: Option<ServerError>,
    /// The protocol that a successful login is held in: 0x74 for TDS 7.4.
    pub(super) accepted: Option<u8>,
    /// The server wants us to go to another one.
    pub(super) redirected: bool,
    /// The size of packets that the server asks for.
    pub(super) packet_size: Option<usize>,
    /// The count of the last statement that had one.
    pub(super) affected: u64,
    /// All rows of all tables.
    pub(super) rows: Rows,
}

impl Answer {
    /// Nothing yet, and room for so many bytes of rows.
    pub(super) fn new(max_answer: usize) -> Self {
        let rows = Rows::new(max_answer);
        Self { error: None, accepted: None, redirected: false, packet_size: None, affected: 0, rows }
    }

    /// Reads the message to its end.
    pub(super) async fn read(&mut self, message: &mut Incoming<'_>) -> io::Result<()> {
        let mut columns = Vec::new();
        let mut is_over = false;
        while let Some(token) = message.next().await? {
            is_over = self.read_token(token, message, &mut columns).await?;
        }
        if is_over { Ok(()) } else { Err(malformed()) }
    }

    /// Reads what follows a token, and tells whether it may be the last.
    async fn read_token(
        &mut self,
        token: u8,
        message: &mut Incoming<'_>,
        columns: &mut Vec<Column>,
    ) -> io::Result<bool> {
        match token {
            COLUMNS => *columns = read_columns(message).await?,
            ROW | COMPRESSED_ROW if columns.is_empty() => return Err(malformed()),
            ROW | COMPRESSED_ROW => {
                let row = read_row(message, columns, token == COMPRESSED_ROW).await?;
                self.rows.push(row).map_err(|_| malformed())?;
            }
            DONE | DONE_PROCEDURE | DONE_IN_PROCEDURE => return self.read_done(message).await,
            ERROR => self.read_error(message).await?,
            LOGIN_ACCEPTED => self.read_accepted(message).await?,
            ENVIRONMENT => self.read_environment(message).await?,
            RETURN_STATUS => message.skip(4).await?,
            INFO | ORDER | TABLE_NAMES | COLUMN_INFO => {
                let length = message.u16().await?;
                message.skip(length.into()).await?;
            }
            _ => return Err(malformed()),
        }
        Ok(false)
    }

    async fn read_done(&mut self, message: &mut Incoming<'_>) -> io::Result<bool> {
        let status = message.u16().await?;
        // Which kind of statement it was.
        message.skip(2).await?;
        let count = message.u64().await?;
        if status & HAS_COUNT != 0 {
            self.affected = count;
        }
        Ok(status & MORE == 0)
    }

    async fn read_error(&mut self, message: &mut Incoming<'_>) -> io::Result<()> {
        let length = usize::from(message.u16().await?);
        let number = message.u32().await?.cast_signed();
        // The state, which tells more than the number in the server's own log alone.
        message.skip(1).await?;
        let severity = message.u8().await?;
        let error = ServerError { number, severity };
        if self.error.is_none_or(ServerError::says_little) {
            self.error = Some(error);
        }
        message.skip(length.checked_sub(6).ok_or_else(malformed)?).await
    }

    async fn read_accepted(&mut self, message: &mut Incoming<'_>) -> io::Result<()> {
        let length = message.u16().await?;
        let content = message.bytes(length.into()).await?;
        // The kind of SQL, then the version, its highest byte first.
        self.accepted = Some(*content.get(1).ok_or_else(malformed)?);
        Ok(())
    }

    async fn read_environment(&mut self, message: &mut Incoming<'_>) -> io::Result<()> {
        let length = message.u16().await?;
        let content = message.bytes(length.into()).await?;
        match *content {
            [ROUTING, ..] => self.redirected = true,
            [PACKET_SIZE, length, ref rest @ ..] => {
                let text = rest.get(..usize::from(length) * 2).map(from_utf16).unwrap_or_default();
                self.packet_size = Some(text.parse().map_err(|_| malformed())?);
            }
            _ => {}
        }
        Ok(())
    }
}
