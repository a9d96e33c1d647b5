//! Stubs that speak MySQL's protocol as far as it takes.

use e2e::loopback::stub::Step::{self, Drip, Flood, Hang, Read, Reset, Send};

use super::{Case, PASSWORD, case, nasty_text, under_require};

const CHALLENGE: &[u8; 20] = b"abcdefgh123456789012";
const CLIENT_SSL: u16 = 1 << 11;
/// The longest packet that a head can announce.
const ENDLESS: &[u8] = b"\xff\xff\xff\x01";
/// No rows, nothing affected.
const OK: &[u8] = b"\0\0\0\x02\0\0\0";
const END: &[u8] = b"\xfe\0\0\x02\0";

pub fn cases() -> Vec<Case> {
    let mut cases = before_the_login();
    cases.extend(at_the_login());
    cases.extend(after_the_login());
    cases
}

/// A server that names another one in the message of its yes, as some do for a redirect.
pub fn redirects_to(port: u16) -> Case {
    let url = format!("Location: mysql://127.0.0.1:{port}/user=somebody&ttl=60\n");
    let yes = [OK, &[url.len().to_le_bytes()[0]], url.as_bytes()].concat();
    case("redirects", "ConnectionRefused", vec![greet(), Read, Send(packet(2, &yes)), Read])
}

fn before_the_login() -> Vec<Case> {
    let offers_tls = || Send(packet(0, &greeting("mysql_native_password", 0xffff)));
    vec![
        case("says nothing", "Timeout", vec![Hang]),
        case("greets slower than anybody waits", "Timeout", vec![Drip(packet(0, &greeting("x", 0xffff)))]),
        case("resets at once", "ConnectionRefused", vec![Reset]),
        case("closes at once", "ConnectionRefused", vec![]),
        case("sends garbage", "ProtocolError", vec![Flood(vec![0x5a; 8192])]),
        case("sends zeros", "ProtocolError", vec![Flood(vec![0; 8192])]),
        case("speaks HTTP", "ProtocolError", vec![Send(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())]),
        case("announces an endless greeting", "ProtocolError", vec![Send(ENDLESS.to_vec()), Flood(nasty_text(8192))]),
        case("refuses in many words", "AuthenticationFailed", vec![Send(error(0, 1045, 50_000))]),
        case("refuses in too many words", "ProtocolError", vec![Send(error(0, 1045, 8 << 20))]),
        case("refuses with a number of no meaning", "ProtocolError", vec![Send(error(0, 65_535, 100))]),
        under_require("offers TLS and says nothing", "Timeout", vec![offers_tls(), Hang]),
        under_require("offers TLS and sends text", "TlsFailed", vec![offers_tls(), Read, Flood(nasty_text(8192))]),
    ]
}

fn at_the_login() -> Vec<Case> {
    let failed = "AuthenticationFailed";
    let wants_key = |key: &[u8]| {
        let greeting = Send(packet(0, &greeting("caching_sha2_password", !CLIENT_SSL)));
        vec![greeting, Read, Send(packet(2, b"\x01\x04")), Read, Send(packet(4, &[b"\x01", key].concat())), Read]
    };
    vec![
        case("never answers the login", "Timeout", vec![greet(), Hang]),
        case("resets at the login", "ConnectionRefused", vec![greet(), Read, Reset]),
        case(
            "resets in the middle of an answer",
            "ConnectionRefused",
            vec![greet(), Read, Send(b"\x20\0\0\x02\0".to_vec()), Reset],
        ),
        case("asks for the password itself", failed, asks(&switch("mysql_clear_password"))),
        case("asks for the password of 1998", failed, asks(b"\xfe")),
        case("asks for the password of 1998 by name", failed, asks(&switch("mysql_old_password"))),
        case("asks for a dialog", failed, asks(&switch("dialog"))),
        case("asks for ever", "ProtocolError", vec![greet(), Read, Flood(packet(2, &switch("mysql_native_password")))]),
        case("gives a key that is none", "ProtocolError", wants_key(b"-----BEGIN PUBLIC KEY-----\nAAAA")),
        case("gives an endless key", "ProtocolError", wants_key(&nasty_text(100_000))),
        case("refuses in nasty words", failed, vec![greet(), Read, Send(error(2, 1045, 200))]),
        case("asks for a file instead of an answer", "ProtocolError", asks(b"\xfb/etc/passwd")),
    ]
}

fn after_the_login() -> Vec<Case> {
    let (protocol, lost) = ("ProtocolError", "ConnectionRefused");
    let table = |columns: &[u8]| [packet(1, columns), packet(2, b"column"), packet(3, END)].concat();
    let version = |text: &[u8]| {
        let row = [&[text.len().to_le_bytes()[0]], text, b"\x01x"].concat();
        Send(
            [
                packet(1, b"\x02"),
                packet(2, b"column"),
                packet(3, b"column"),
                packet(4, END),
                packet(5, &row),
                packet(6, END),
            ]
            .concat(),
        )
    };
    let tells = |text: &[u8]| [version(text), Read, version(text), Read, version(text), Hang];
    vec![
        case("asks for a file", protocol, asked([Send(packet(1, b"\xfb/etc/passwd")), Read])),
        case("asks for our command line", protocol, asked([Send(packet(1, b"\xfb/proc/self/cmdline")), Read])),
        case("never answers a query", "Timeout", asked([Hang])),
        case("resets at a query", lost, asked([Reset])),
        case(
            "sends rows without end",
            protocol,
            asked([Send(table(b"\x01")), Flood(packet(4, &[b"\xfa".as_slice(), &[b'x'; 250]].concat()))]),
        ),
        case(
            "sends the smallest rows without end",
            protocol,
            asked([Send(table(b"\x01")), Flood(packet(4, b"\xfb").repeat(1000))]),
        ),
        case(
            "describes columns without end",
            "Timeout",
            asked([Send(packet(1, b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f")), Flood(packet(2, &[b'x'; 1000]))]),
        ),
        case(
            "describes more columns than it said",
            protocol,
            asked([Send(packet(1, b"\x01")), Flood(packet(2, b"column"))]),
        ),
        case(
            "sends a row of impossible length",
            protocol,
            asked([Send(table(b"\x01")), Send(packet(4, b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"))]),
        ),
        case("announces an endless answer", protocol, asked([Send(ENDLESS.to_vec()), Flood(nasty_text(8192))])),
        case("fails in too many words", protocol, asked([Send(error(1, 1105, 8 << 20))])),
        case("fails in nasty words", protocol, asked([Send(error(1, 1105, 1000))])),
        case("answers byte by byte", "Timeout", asked([Drip(table(b"\x01"))])),
        case("answers with garbage", protocol, asked([Flood(vec![0x5a; 8192])])),
        case("tells the password for its version", "Connected", asked(tells(PASSWORD.as_bytes()))),
        case("tells a version that a terminal obeys", "Connected", asked(tells(b"8.0\n\r\x1b[31m\xff\xe2\x80\xae"))),
    ]
}

/// What is sent in answer to the first query.
fn asked<const N: usize>(answer: [Step; N]) -> Vec<Step> {
    [greet(), Read, Send(packet(2, OK)), Read].into_iter().chain(answer).collect()
}

/// What is sent in answer to the login; then it waits for what comes.
fn asks(question: &[u8]) -> Vec<Step> {
    vec![greet(), Read, Send(packet(2, question)), Hang]
}

fn switch(plugin: &str) -> Vec<u8> {
    [b"\xfe", plugin.as_bytes(), b"\0", CHALLENGE, b"\0"].concat()
}

fn greet() -> Step {
    Send(packet(0, &greeting("mysql_native_password", !CLIENT_SSL)))
}

/// The greeting of a MySQL 8 with these capabilities in the lower half, and all of the upper.
fn greeting(plugin: &str, capabilities: u16) -> Vec<u8> {
    let (first, second) = CHALLENGE.split_at(8);
    let head =
        [b"\x0a8.0.40\0\x01\0\0\0", first, b"\0", &capabilities.to_le_bytes(), b"\x2d\x02\0\xff\xff\x15"].concat();
    [&head, &[0; 10][..], second, b"\0", plugin.as_bytes(), b"\0"].concat()
}

fn error(sequence: u8, code: u16, length: usize) -> Vec<u8> {
    packet(sequence, &[b"\xff", &code.to_le_bytes()[..], b"#HY000", &nasty_text(length)].concat())
}

/// Three bytes of length, one of sequence, the content.
fn packet(sequence: u8, content: &[u8]) -> Vec<u8> {
    let [low, middle, high, ..] = content.len().to_le_bytes();
    [&[low, middle, high, sequence], content].concat()
}
