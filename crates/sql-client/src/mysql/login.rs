//! From a fresh socket to an open session: greeting, TLS, login packet, and the server's questions until it
//! says yes or no.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html>

use std::sync::Arc;

use rustls::ClientConfig;
use secrecy::ExposeSecret;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::auth::{self, Plugin};
use super::channel::{Channel, read_greeting, write_packet};
use super::codes;
use super::greeting::Greeting;
use super::packet::{Fields, Malformed};
use super::{MysqlSession, answer};
use crate::connect::ConnectOptions;
use crate::connect_error::{ConnectClass, Failure, TlsProblem};
use crate::deadline::Exchanges;
use crate::tls::{client_config, server_name};

/// One change of plugin, one key, one yes: a server that goes on asking is none.
const MAX_QUESTIONS: usize = 8;

const OK: u8 = 0x00;
const MORE_DATA: u8 = 0x01;
const SWITCH: u8 = 0xfe;
const FAST_PROOF_ACCEPTED: &[u8] = &[0x03];
const FULL_PROOF_WANTED: &[u8] = &[0x04];
const SEND_PUBLIC_KEY: &[u8] = &[0x02];

impl From<Malformed> for Failure {
    fn from(_: Malformed) -> Self {
        ConnectClass::Protocol.into()
    }
}

/// Logs in on a fresh socket.
pub(crate) async fn login(mut stream: TcpStream, options: &ConnectOptions) -> Result<MysqlSession, Failure> {
    let mut sequence = 0;
    let content = read_greeting(&mut stream, &mut sequence).await?;
    refuse_error(&content)?;
    let greeting = Greeting::parse(&content)?;
    let mut channel = match client_config(options.tls, &options.roots)? {
        None => Channel::plain(stream, sequence),
        Some(config) => encrypt(stream, sequence, &greeting, config, options).await?,
    };
    prove(&mut channel, greeting, options).await?;
    channel.logged_in(options.max_answer);
    Ok(MysqlSession { channel, exchanges: Exchanges::new(options.query_timeout) })
}

async fn encrypt(
    mut stream: TcpStream,
    mut sequence: u8,
    greeting: &Greeting,
    config: ClientConfig,
    options: &ConnectOptions,
) -> Result<Channel, Failure> {
    if !greeting.offers_tls() {
        return Err(ConnectClass::TlsFailed(TlsProblem::NotOffered).into());
    }
    write_packet(&mut stream, &mut sequence, &greeting.tls_request(options)).await?;
    let name = server_name(&options.endpoint.host)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(Channel::encrypted(stream, sequence))
}

/// Proves the password and answers the server's questions about it.
async fn prove(channel: &mut Channel, greeting: Greeting, options: &ConnectOptions) -> Result<(), Failure> {
    let password = options.credentials.password.expose_secret().as_bytes();
    // A plugin that is not spoken may only be the server's default: this user's own comes as a switch.
    let mut plugin = Plugin::named(&greeting.plugin).unwrap_or(Plugin::Native);
    let proof = plugin.proof(password, &greeting.challenge);
    channel.write(&greeting.response(options, channel.is_encrypted(), &proof)).await?;
    let mut challenge = greeting.challenge;
    for _ in 0..MAX_QUESTIONS {
        let content = channel.read().await?;
        refuse_error(&content)?;
        let mut fields = Fields(&content);
        match fields.u8()? {
            OK => return Ok(()),
            SWITCH => {
                plugin = Plugin::named(fields.until_nul()).ok_or(ConnectClass::AuthMethodUnsupported)?;
                challenge = fields.until_nul().to_vec();
                channel.write(&plugin.proof(password, &challenge)).await?;
            }
            MORE_DATA if plugin == Plugin::CachingSha2 => match fields.0 {
                FAST_PROOF_ACCEPTED => {}
                FULL_PROOF_WANTED => full_proof(channel, password, &challenge).await?,
                _ => return Err(ConnectClass::Protocol.into()),
            },
            _ => return Err(ConnectClass::Protocol.into()),
        }
    }
    Err(ConnectClass::Protocol.into())
}

/// `caching_sha2_password` with a cold cache: the server has to see the password itself once.
async fn full_proof(channel: &mut Channel, password: &[u8], challenge: &[u8]) -> Result<(), Failure> {
    if channel.is_encrypted() {
        return Ok(channel.write(&auth::over_tls(password)).await?);
    }
    channel.write(SEND_PUBLIC_KEY).await?;
    let content = channel.read().await?;
    refuse_error(&content)?;
    let mut fields = Fields(&content);
    let proof = match fields.u8()? {
        MORE_DATA => auth::over_plaintext(password, challenge, fields.0),
        _ => None,
    };
    Ok(channel.write(&proof.ok_or(ConnectClass::Protocol)?).await?)
}

fn refuse_error(content: &[u8]) -> Result<(), Failure> {
    match answer::error_code(content) {
        Some(code) => Err(codes::connect_failure(code)),
        None => Ok(()),
    }
}
