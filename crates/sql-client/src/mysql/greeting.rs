//! The server's first packet, and our answer to it.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_v10.html>

use super::packet::{Fields, Malformed, put_length_encoded, put_nul_terminated};
use crate::connect::ConnectOptions;

const PROTOCOL_VERSION: u8 = 10;
const UTF8MB4_GENERAL_CI: u8 = 45;
/// Said to the server only; it limits what the server sends in one packet.
const MAX_ALLOWED_PACKET: u32 = 16 << 20;
/// A challenge of 20 bytes is followed by a NUL.
const CHALLENGE: usize = 20;

const CONNECT_WITH_DB: u32 = 1 << 3;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
const CONNECT_ATTRS: u32 = 1 << 20;
/// `CLIENT_LONG_PASSWORD` everywhere but on MariaDB, which reads its absence as "I speak your extensions".
const LONG_PASSWORD: u32 = 1;
const NEEDED: u32 = PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH;

/// What the server says of itself before anybody has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    capabilities: u32,
    pub(super) challenge: Vec<u8>,
    pub(super) plugin: Vec<u8>,
}

impl Greeting {
    /// Reads it; a server too old to name its authentication plugin (before 5.5) counts as malformed.
    pub(super) fn parse(content: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields(content);
        if fields.u8()? != PROTOCOL_VERSION {
            return Err(Malformed);
        }
        fields.until_nul();
        fields.bytes(4)?;
        let mut challenge = fields.bytes(8)?.to_vec();
        fields.bytes(1)?;
        let low = fields.u16()?;
        fields.bytes(3)?;
        let high = fields.u16()?;
        fields.bytes(11)?;
        challenge.extend(fields.bytes(CHALLENGE - challenge.len())?);
        fields.bytes(1)?;
        let capabilities = u32::from(high) << 16 | u32::from(low);
        if capabilities & NEEDED != NEEDED {
            return Err(Malformed);
        }
        Ok(Self { capabilities, challenge, plugin: fields.until_nul().to_vec() })
    }

    pub(super) fn offers_tls(&self) -> bool {
        self.capabilities & SSL != 0
    }

    /// The packet after which TLS begins: the start of the login packet.
    pub(super) fn tls_request(&self, options: &ConnectOptions) -> Vec<u8> {
        head(self.ours(options) | SSL)
    }

    /// The login packet, with the first proof of the password.
    pub(super) fn response(&self, options: &ConnectOptions, encrypted: bool, proof: &[u8]) -> Vec<u8> {
        let capabilities = self.ours(options);
        let mut packet = head(if encrypted { capabilities | SSL } else { capabilities });
        put_nul_terminated(&mut packet, options.credentials.user.as_bytes());
        put_length_encoded(&mut packet, proof);
        if let Some(database) = &options.database {
            put_nul_terminated(&mut packet, database.as_bytes());
        }
        put_nul_terminated(&mut packet, &self.plugin);
        if capabilities & CONNECT_ATTRS != 0 {
            put_length_encoded(&mut packet, &attributes(&options.application_name));
        }
        packet
    }

    fn ours(&self, options: &ConnectOptions) -> u32 {
        let database = if options.database.is_some() { CONNECT_WITH_DB } else { 0 };
        let optional = self.capabilities & (TRANSACTIONS | CONNECT_ATTRS);
        LONG_PASSWORD | NEEDED | database | optional
    }
}

fn head(capabilities: u32) -> Vec<u8> {
    let mut packet = capabilities.to_le_bytes().to_vec();
    packet.extend(MAX_ALLOWED_PACKET.to_le_bytes());
    packet.push(UTF8MB4_GENERAL_CI);
    packet.extend([0; 23]);
    packet
}

/// Shown by `performance_schema.session_connect_attrs`.
fn attributes(application_name: &str) -> Vec<u8> {
    let mut attributes = Vec::new();
    for text in ["program_name", application_name] {
        put_length_encoded(&mut attributes, text.as_bytes());
    }
    attributes
}
