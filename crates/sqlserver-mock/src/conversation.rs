//! One connection from the first message to the last.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpStream;

use crate::connection::{ANSWER, BATCH, Connection, LOGIN, PRELOGIN, complaint};
use crate::{Encryption, Reply, Script, Seen, login};

const OFF: u8 = 0;
const ON: u8 = 1;
const NOT_SUPPORTED: u8 = 2;
const REQUIRED: u8 = 3;

/// Bytes of the headers in front of a batch: their own length, and one header about transactions.
const BATCH_HEADERS: &[u8] = &[22, 0, 0, 0, 18, 0, 0, 0, 2, 0];

pub(crate) fn note(seen: &Mutex<Seen>, what: impl FnOnce(&mut Seen)) {
    what(&mut seen.lock().unwrap_or_else(PoisonError::into_inner));
}

pub(crate) async fn hold(stream: TcpStream, script: &Script, seen: &Mutex<Seen>) -> io::Result<()> {
    let mut connection = Connection::new(stream);
    let asked = encryption(&connection.receive(PRELOGIN).await?)?;
    let said = script.encryption.answer(asked);
    connection.send(ANSWER, &prelogin(said)).await?;
    if matches!(said, ON | REQUIRED)
        && let Some(config) = &script.tls
    {
        connection.encrypt(Arc::clone(config)).await?;
    }
    let message = connection.receive(LOGIN).await?;
    let login = login::read(&message, connection.is_encrypted())?;
    note(seen, |seen| seen.logins.push(login.clone()));
    let mut goes_on = reply(&mut connection, (script.login)(&login)).await?;
    while goes_on {
        let text = batch(&connection.receive(BATCH).await?)?;
        note(seen, |seen| seen.batches.push(text.clone()));
        goes_on = reply(&mut connection, (script.batch)(&login, &text)).await?;
    }
    Ok(())
}

impl Encryption {
    /// The table of the documentation's section on PRELOGIN.
    fn answer(self, asked: u8) -> u8 {
        match (self, asked) {
            (Self::Says(number), _) => number,
            (Self::NotSupported, _) | (Self::Optional, NOT_SUPPORTED) => NOT_SUPPORTED,
            (Self::Optional, OFF) => OFF,
            (Self::Demanded, OFF | NOT_SUPPORTED) => REQUIRED,
            (Self::Optional | Self::Demanded, _) => ON,
        }
    }
}

/// What the client says of encryption, out of a table that has to be in order.
fn encryption(message: &[u8]) -> io::Result<u8> {
    let wrong = || complaint("a first message that is not as it should be");
    let table = message.split(|byte| *byte == 0xff).next().unwrap_or_default();
    let (entries, []) = table.as_chunks::<5>() else { return Err(wrong()) };
    if entries.first().is_none_or(|entry| entry[0] != 0) {
        return Err(complaint("a first message that does not begin with the version"));
    }
    let mut expected = table.len() + 1;
    let mut found = None;
    for [option, high, low, length_high, length_low] in entries {
        let offset = usize::from(u16::from_be_bytes([*high, *low]));
        if offset != expected {
            return Err(wrong());
        }
        expected += usize::from(u16::from_be_bytes([*length_high, *length_low]));
        if *option == 1 {
            found = message.get(offset).copied();
        }
    }
    found.filter(|_| expected == message.len()).ok_or_else(wrong)
}

fn prelogin(encryption: u8) -> Vec<u8> {
    let table = [0, 0, 16, 0, 6, 1, 0, 22, 0, 1, 4, 0, 23, 0, 1, 0xff];
    [&table[..], &[16, 0, 4, 135, 0, 0], &[encryption], &[0]].concat()
}

fn batch(message: &[u8]) -> io::Result<String> {
    let text = message.strip_prefix(BATCH_HEADERS).and_then(|rest| rest.get(12..));
    let (pairs, []) = text.unwrap_or(&[0]).as_chunks::<2>() else {
        return Err(complaint("a batch without its headers"));
    };
    let units: Vec<_> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    String::from_utf16(&units).map_err(|_| complaint("a batch that is no text"))
}

/// Answers, and tells whether the conversation goes on.
async fn reply(connection: &mut Connection, reply: Reply) -> io::Result<bool> {
    match reply {
        Reply::Tokens(tokens) => connection.send(ANSWER, &tokens).await.map(|()| true),
        Reply::Endless(tokens) => loop {
            connection.send_packet(ANSWER, &tokens, false).await?;
        },
        Reply::Bytes(bytes) => connection.write(&bytes).await.map(|()| false),
        Reply::Silence => {
            connection.wait_for_end().await;
            Ok(false)
        }
    }
}
