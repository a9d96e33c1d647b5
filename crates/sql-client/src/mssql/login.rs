//! From a fresh socket to an open session: what both sides want of TLS, TLS, the login, and the server's verdict.
//! <https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-tds/773a62b6-ee89-4c02-9e5e-344882630aac>

use std::sync::Arc;

use rustls::version::TLS12;
use secrecy::ExposeSecret;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::answer::Answer;
use super::channel::Channel;
use super::packet::{self, utf16};
use super::wrapped::Wrapped;
use super::{MssqlSession, codes, prelogin};
use crate::connect::ConnectOptions;
use crate::connect_error::{ConnectClass, Failure};
use crate::deadline::Exchanges;
use crate::socket::Socket;
use crate::tls::{client_config_of, server_name};

/// Nothing before the end of the login is long, and until then anybody may be talking.
const MAX_ANSWER: usize = 64 << 10;
/// No name or password is longer: sysname, and the limit of the login message.
const MAX_NAME: usize = 128;
/// The first protocol whose tokens look as they are read here: that of SQL Server 2005.
const OLDEST: u8 = 0x72;

const TDS_7_4: u32 = 0x7400_0004;
/// A database or language that cannot be set ends the login, the session has ODBC's settings, and every collation may
/// be sent: without the last of these a server may refuse us for that of its own.
const FLAGS: [u8; 4] = [0xe0, 0x03, 0, 0x08];
const US_ENGLISH: u32 = 0x0409;
/// Bytes of the login message before its texts.
const FIXED: usize = 94;

/// Logs in on a fresh socket.
pub(crate) async fn login(mut stream: TcpStream, options: &ConnectOptions) -> Result<MssqlSession, Failure> {
    refuse_long(options)?;
    // The handshake inside of packets is defined up to TLS 1.2; later versions belong to TDS 8.
    let config = client_config_of(options.tls, &options.roots, &[&TLS12])?;
    let request = packet::message(packet::PRELOGIN, &prelogin::request(options.tls), packet::SIZE);
    stream.write_all(&request).await?;
    let answer = packet::read(&mut stream).await?;
    if !answer.is_last {
        return Err(ConnectClass::Protocol.into());
    }
    let encrypts = prelogin::encrypts(options.tls, &answer.content)?;
    let socket: Box<dyn Socket> = match config {
        None if !encrypts => Box::new(stream),
        Some(config) if encrypts => Box::new(encrypt(stream, TlsConnector::from(Arc::new(config)), options).await?),
        _ => return Err(ConnectClass::Protocol.into()),
    };
    let mut channel = Channel::new(socket);
    channel.send(packet::LOGIN, &message(options)).await?;
    accept(&mut channel).await?;
    let exchanges = Exchanges::new(options.query_timeout);
    Ok(MssqlSession { channel, exchanges, max_answer: options.max_answer })
}

/// No server can hold a longer name, which makes the answer known without asking.
fn refuse_long(options: &ConnectOptions) -> Result<(), ConnectClass> {
    let is_long = |text: &str| text.encode_utf16().count() > MAX_NAME;
    let credentials = &options.credentials;
    if is_long(&credentials.user) || is_long(credentials.password.expose_secret()) {
        return Err(ConnectClass::AuthenticationFailed);
    }
    if options.database.as_deref().is_some_and(is_long) {
        return Err(ConnectClass::DatabaseNotFound);
    }
    Ok(())
}

async fn encrypt(
    stream: TcpStream,
    connector: TlsConnector,
    options: &ConnectOptions,
) -> Result<TlsStream<Wrapped>, Failure> {
    let name = server_name(&options.endpoint.host)?;
    let mut stream = connector.connect(name, Wrapped::new(stream)).await?;
    stream.get_mut().0.handshake_is_done();
    Ok(stream)
}

async fn accept(channel: &mut Channel) -> Result<(), Failure> {
    let mut answer = Answer::new(MAX_ANSWER);
    let read = answer.read(&mut channel.receive(MAX_ANSWER)).await;
    // An error tells more than how the answer to it ended.
    if let Some(error) = answer.error {
        return Err(codes::connect_failure(error));
    }
    if answer.redirected {
        return Err(ConnectClass::Redirected.into());
    }
    read?;
    if answer.accepted.is_none_or(|version| version < OLDEST) {
        return Err(ConnectClass::Protocol.into());
    }
    if let Some(size) = answer.packet_size {
        channel.set_packet_size(size);
    }
    Ok(())
}

/// The login message: numbers, then where each text is and how long, then the texts. Our own host's name, the process
/// and the client library are nobody's business.
fn message(options: &ConnectOptions) -> Vec<u8> {
    let credentials = &options.credentials;
    let text = |text: &str| utf16(&text.chars().take(MAX_NAME).collect::<String>());
    let password = utf16(credentials.password.expose_secret()).into_iter().map(scramble).collect();
    let before_client_id = [
        Vec::new(),
        text(&credentials.user),
        password,
        text(&options.application_name),
        text(&options.endpoint.host.to_string()),
        Vec::new(),
        Vec::new(),
        Vec::new(),
        text(options.database.as_deref().unwrap_or_default()),
    ];
    let texts = before_client_id.concat();
    let mut message = Vec::with_capacity(FIXED + texts.len());
    message.extend(four(FIXED + texts.len()));
    message.extend(TDS_7_4.to_le_bytes());
    message.extend(four(packet::SIZE));
    // The program's version, the process, the connection to go on with.
    message.extend([0; 12]);
    message.extend(FLAGS);
    // The time zone, which no server reads.
    message.extend([0; 4]);
    message.extend(US_ENGLISH.to_le_bytes());
    let mut offset = FIXED;
    for text in &before_client_id {
        message.extend(two(offset));
        message.extend(two(text.len() / 2));
        offset += text.len();
    }
    // The client's id; then no SSPI, no file to attach, no new password, each at the end and empty; no long SSPI.
    message.extend([0; 6]);
    for _ in 0..3 {
        message.extend(two(offset));
        message.extend(two(0));
    }
    message.extend(four(0));
    message.extend(texts);
    message
}

/// What TDS does to a password, which hides it from nobody.
fn scramble(byte: u8) -> u8 {
    byte.rotate_left(4) ^ 0xa5
}

fn two(number: usize) -> [u8; 2] {
    let [low, high, ..] = number.to_le_bytes();
    [low, high]
}

fn four(number: usize) -> [u8; 4] {
    let [a, b, c, d, ..] = number.to_le_bytes();
    [a, b, c, d]
}
