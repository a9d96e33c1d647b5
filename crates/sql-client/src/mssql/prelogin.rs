//! The first message each way, in which both sides say whether they encrypt. It is plaintext, so anybody between us and
//! the server may have changed the answer: an answer that does not give what the mode demands ends the connection.
//! <https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-tds/60f56408-0188-4cd5-8b90-25c6f2423868>

use crate::connect_error::{ConnectClass, TlsProblem};
use crate::tls::TlsMode;

const VERSION: u8 = 0;
const ENCRYPTION: u8 = 1;
const INSTANCE: u8 = 2;
const THREAD: u8 = 3;
const MARS: u8 = 4;
const END: u8 = 0xff;

const OFF: u8 = 0;
const ON: u8 = 1;
const NOT_SUPPORTED: u8 = 2;
const REQUIRED: u8 = 3;

/// Bytes of one entry of the table in front: which option, where, how long.
const ENTRY: usize = 5;

/// The first message: no instance, no thread, no multiple results, and encryption as the mode demands it. OFF is never
/// said, since it would encrypt the login alone.
pub(super) fn request(mode: TlsMode) -> Vec<u8> {
    let encryption = match mode {
        TlsMode::Disable => NOT_SUPPORTED,
        TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => ON,
    };
    let options: [(u8, &[u8]); 5] =
        [(VERSION, &[0; 6]), (ENCRYPTION, &[encryption]), (INSTANCE, &[0]), (THREAD, &[0; 4]), (MARS, &[0])];
    let (mut table, mut values) = (Vec::new(), Vec::new());
    for (option, value) in options {
        let offset = options.len() * ENTRY + 1 + values.len();
        table.push(option);
        for number in [offset, value.len()] {
            let [.., high, low] = number.to_be_bytes();
            table.extend([high, low]);
        }
        values.extend(value);
    }
    table.push(END);
    [table, values].concat()
}

/// Whether TLS begins now.
///
/// # Errors
/// `TlsFailed` when the server's wish and the mode exclude each other, `Protocol` when it is no answer.
pub(super) fn encrypts(mode: TlsMode, answer: &[u8]) -> Result<bool, ConnectClass> {
    match (mode, encryption(answer)) {
        (TlsMode::Disable, Some(NOT_SUPPORTED)) => Ok(false),
        (TlsMode::Disable, Some(ON | REQUIRED)) => Err(ConnectClass::TlsFailed(TlsProblem::Demanded)),
        (TlsMode::Disable, _) | (_, None) => Err(ConnectClass::Protocol),
        (_, Some(ON | REQUIRED)) => Ok(true),
        (_, Some(OFF | NOT_SUPPORTED)) => Err(ConnectClass::TlsFailed(TlsProblem::NotOffered)),
        (_, Some(_)) => Err(ConnectClass::Protocol),
    }
}

fn encryption(answer: &[u8]) -> Option<u8> {
    let (entries, _) = answer.as_chunks::<ENTRY>();
    let [_, high, low, ..] = entries.iter().take_while(|entry| entry[0] != END).find(|entry| entry[0] == ENCRYPTION)?;
    answer.get(usize::from(u16::from_be_bytes([*high, *low]))).copied()
}
