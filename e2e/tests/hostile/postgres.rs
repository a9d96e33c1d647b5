//! Stubs that speak PostgreSQL's protocol as far as it takes.

use e2e::loopback::stub::Step::{self, Answer, Drip, Flood, Hang, Read, Reset, Send};

use super::{Case, PASSWORD, SERVERS_TEXT, case, nasty_text, under_require};

/// A row that announces two gigabytes.
const ENDLESS: &[u8] = b"D\x7f\xff\xff\xff";
/// A row that announces four, or a negative length.
const NEGATIVE: &[u8] = b"D\xff\xff\xff\xff";

pub fn cases() -> Vec<Case> {
    let mut cases = before_the_login();
    cases.extend(at_the_login());
    cases.extend(after_the_login());
    cases
}

fn before_the_login() -> Vec<Case> {
    vec![
        case("says nothing", "Timeout", vec![Hang]),
        case("resets at once", "ConnectionRefused", vec![Reset]),
        case("closes at once", "ConnectionRefused", vec![]),
        case("sends garbage", "ProtocolError", vec![Flood(vec![0x5a; 8192])]),
        case("sends zeros", "ProtocolError", vec![Flood(vec![0; 8192])]),
        case("speaks HTTP", "ProtocolError", vec![Read, Send(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())]),
        case("refuses in many words", "AuthenticationFailed", vec![Read, Send(error("28P01", 50_000))]),
        case("refuses in too many words", "ProtocolError", vec![Read, Send(error("28P01", 8 << 20))]),
        case("refuses with words for a state", "ProtocolError", vec![Read, Send(error(SERVERS_TEXT, 100))]),
        case("refuses with the password for a state", "ProtocolError", vec![Read, Send(error(PASSWORD, 100))]),
        case("refuses without words", "ProtocolError", vec![Read, Send(message(b'E', b"\0"))]),
        case("refuses in half a word", "ProtocolError", vec![Read, Send(message(b'E', b"SFATAL"))]),
        under_require("answers TLS with silence", "Timeout", vec![Hang]),
        under_require("offers TLS and says nothing", "Timeout", vec![Read, Send(b"S".to_vec()), Hang]),
        under_require(
            "offers TLS and sends text",
            "TlsFailed",
            vec![Read, Send(b"S".to_vec()), Flood(nasty_text(8192))],
        ),
        under_require("answers TLS with an error", "TlsFailed", vec![Read, Send(error("28P01", 200))]),
    ]
}

fn at_the_login() -> Vec<Case> {
    let failed = "AuthenticationFailed";
    let asks = |code: u32, more: &[u8]| vec![Read, Send(authentication(code, more)), Hang];
    let scram = |answer| vec![Read, Send(authentication(10, b"SCRAM-SHA-256\0\0")), Answer(answer), Hang];
    vec![
        case("asks for the password itself", failed, asks(3, b"")),
        case("asks for Kerberos", failed, asks(2, b"")),
        case("asks for GSSAPI", failed, asks(7, b"")),
        case("asks for a bearer token", failed, asks(10, b"OAUTHBEARER\0\0")),
        case("asks for what nobody knows", "ProtocolError", asks(99, b"")),
        case("takes the hash of 1996 and says nothing", "Timeout", asks(5, b"salt")),
        case("asks for two thousand million rounds", failed, scram(|heard| continued(heard, "2147483647"))),
        case("asks for more rounds than there are numbers", failed, scram(|heard| continued(heard, "99999999999"))),
        case("asks for a proof of another nonce", failed, scram(|_| continued(b"r=other", "4096"))),
        case("sends notices without end", "ProtocolError", vec![Read, Send(authentication(0, b"")), Flood(notice())]),
        case(
            "sends parameters without end",
            "ProtocolError",
            vec![Read, Send(authentication(0, b"")), Flood(parameter())],
        ),
        case("says yes for ever", "ProtocolError", vec![Read, Flood(authentication(0, b"").repeat(500))]),
        case("lets in byte by byte", "Timeout", vec![Read, Drip(let_in())]),
    ]
}

fn after_the_login() -> Vec<Case> {
    let (protocol, lost) = ("ProtocolError", "ConnectionRefused");
    let flood_of_rows = |row: &[u8]| [Send(columns(1)), Flood(message(b'D', row).repeat(500))];
    vec![
        case("never answers a query", "Timeout", asked([Hang])),
        case("resets at a query", lost, asked([Reset])),
        case(
            "resets in the middle of an answer",
            lost,
            asked([Send(columns(1)), Send(b"D\0\0\0\x20".to_vec()), Reset]),
        ),
        case("sends rows without end", protocol, asked(flood_of_rows(&value(&[b'x'; 250])))),
        case(
            "sends the smallest rows without end",
            protocol,
            asked([Send(columns(0)), Flood(message(b'D', &[0, 0]).repeat(500))]),
        ),
        case("sends notices without end", protocol, asked([Flood(notice())])),
        case("sends parameters without end", protocol, asked([Flood(parameter())])),
        case("sends notifications without end", protocol, asked([Flood(message(b'A', b"\0\0\0\x01channel\0text\0"))])),
        case("announces an endless row", protocol, asked([Send(ENDLESS.to_vec()), Flood(nasty_text(8192))])),
        case("announces a row of negative length", protocol, asked([Send(NEGATIVE.to_vec()), Flood(nasty_text(8192))])),
        case(
            "sends a row that is no text",
            protocol,
            asked([Send(columns(1)), Send(message(b'D', &value(b"\xff\xfe"))), Send(end())]),
        ),
        case(
            "sends fewer values than columns",
            protocol,
            asked([Send(columns(2)), Send(message(b'D', &value(b"x"))), Send(end())]),
        ),
        case("fails in too many words", protocol, asked([Send(error("XX000", 8 << 20))])),
        case("fails in nasty words", protocol, asked([Send([error("XX000", 1000), ready()].concat())])),
        case("fails with words for a state", protocol, asked([Send([error(SERVERS_TEXT, 10), ready()].concat())])),
        case("wants to copy our data", protocol, asked([Send(message(b'G', b"\0\0\0")), Hang])),
        case("answers byte by byte", "Timeout", asked([Drip(columns(1))])),
        case("answers with garbage", protocol, asked([Flood(vec![0x5a; 8192])])),
        case("tells the password for its version", "Connected", asked(tells(PASSWORD.as_bytes()))),
        case("tells a version that a terminal obeys", "Connected", asked(tells("15\n\r\x1b[31m\u{202e}".as_bytes()))),
    ]
}

/// What is sent in answer to the first query.
fn asked<const N: usize>(answer: [Step; N]) -> Vec<Step> {
    [Read, Send(let_in()), Read].into_iter().chain(answer).collect()
}

/// The same row for every query that the probe has.
fn tells(text: &[u8]) -> [Step; 6] {
    let row = || Send([columns(1), message(b'D', &value(text)), end()].concat());
    [row(), Read, row(), Read, row(), Hang]
}

fn let_in() -> Vec<u8> {
    [authentication(0, b""), message(b'S', b"standard_conforming_strings\0on\0"), ready()].concat()
}

/// The second message of SCRAM, which repeats the client's nonce.
fn continued(heard: &[u8], rounds: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(heard);
    let nonce = text.rsplit("r=").next().unwrap_or_default();
    authentication(11, format!("r={nonce}ours,s=c2FsdHNhbHQ=,i={rounds}").as_bytes())
}

fn authentication(code: u32, more: &[u8]) -> Vec<u8> {
    message(b'R', &[&code.to_be_bytes()[..], more].concat())
}

fn notice() -> Vec<u8> {
    message(b'N', &[b"SNOTICE\0C00000\0M", SERVERS_TEXT.as_bytes(), b"\0\0"].concat()).repeat(100)
}

fn parameter() -> Vec<u8> {
    (0..100).flat_map(|number| message(b'S', format!("name{number}\0{SERVERS_TEXT}\0").as_bytes())).collect()
}

fn columns(count: u16) -> Vec<u8> {
    let column = [b"name\0".as_slice(), &[0; 18]].concat();
    message(b'T', &[&count.to_be_bytes()[..], &column.repeat(count.into())].concat())
}

/// A row of one value.
fn value(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or_default();
    [&1_u16.to_be_bytes(), &length.to_be_bytes()[..], text].concat()
}

fn end() -> Vec<u8> {
    [message(b'C', b"SELECT 1\0"), ready()].concat()
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

fn error(state: &str, length: usize) -> Vec<u8> {
    let text = [b"SFATAL\0VFATAL\0C", state.as_bytes(), b"\0M", &nasty_text(length), b"\0\0"].concat();
    message(b'E', &text)
}

/// A message: its kind, its length, its content.
fn message(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 4).unwrap_or_default().to_be_bytes();
    [&[kind], &length[..], content].concat()
}
