//! How much of what databases bring along the pods can be given: all CAs of an instance are in one ConfigMap, all logins
//! in one Secret, and the API server stores no larger ones than 1 MiB. Pure. Who comes first has the room.

use std::collections::BTreeSet;

use secrecy::ExposeSecret as _;

use super::ca::CaBundle;
use super::login::Credentials;
use super::rejection::Rejection;
use super::source::{Backend, Source};

/// Less than 1 MiB by what else stands in the Secret.
const MOST_BYTES: usize = (1 << 20) - 1024;

/// What was taken in so far. A bundle that several sources trust takes its room once.
#[derive(Default)]
pub struct Room {
    bundles: BTreeSet<CaBundle>,
    ca_bytes: usize,
    login_bytes: usize,
}

impl Room {
    /// Takes a source in, or says what it has no room for.
    pub fn admit(&mut self, source: Source) -> Result<Source, Rejection> {
        let Backend::Server(server) = &source.backend else { return Ok(source) };
        let new_bundle = server.tls.ca().filter(|bundle| !self.bundles.contains(bundle));
        let ca_bytes = self.ca_bytes + new_bundle.map_or(0, |bundle| bundle.as_str().len());
        let login_bytes = self.login_bytes + length(&server.credentials);
        if ca_bytes > MOST_BYTES {
            return Err(Rejection::NoRoom { part: "CA" });
        }
        if login_bytes > MOST_BYTES {
            return Err(Rejection::NoRoom { part: "login" });
        }
        self.bundles.extend(new_bundle.cloned());
        (self.ca_bytes, self.login_bytes) = (ca_bytes, login_bytes);
        Ok(source)
    }
}

fn length(login: &Credentials) -> usize {
    login.user.expose_secret().len() + login.password.expose_secret().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::sources;
    use crate::validate::source::{Tls, Trust};

    /// A server whose login and CA have these lengths; CAs of the same letter are the same.
    fn server(password: usize, ca: Option<(&str, usize)>) -> Source {
        let yaml = "[{name: a, type: postgres, host: pg, database: app, sslMode: verify-ca, ca: true}]";
        let mut source = sources(yaml).remove(0);
        let Backend::Server(server) = &mut source.backend else { panic!("a server was meant") };
        server.credentials = Credentials { user: "".into(), password: "x".repeat(password).into() };
        server.tls = match ca {
            None => Tls::Require,
            Some((letter, length)) => Tls::VerifyCa(Trust::Bundle(CaBundle::of_text(letter.repeat(length)))),
        };
        source
    }

    fn taken<const N: usize>(all: [Source; N]) -> [&'static str; N] {
        let mut room = Room::default();
        all.map(|source| match room.admit(source) {
            Ok(_) => "yes",
            Err(Rejection::NoRoom { part }) => part,
            Err(_) => "other",
        })
    }

    #[test]
    fn each_kind_has_its_room_and_a_shared_ca_takes_it_once() {
        let cas = [("a", MOST_BYTES - 2), ("b", 1), ("a", MOST_BYTES - 2), ("c", 2), ("d", 1), ("e", 1)];
        assert_eq!(taken(cas.map(|ca| server(1, Some(ca)))), ["yes", "yes", "yes", "CA", "yes", "CA"]);
        assert_eq!(taken([MOST_BYTES, 1, 0].map(|password| server(password, None))), ["yes", "login", "yes"]);
    }

    #[test]
    fn who_is_left_out_takes_no_room() {
        let told = taken([server(MOST_BYTES, None), server(1, Some(("a", MOST_BYTES))), server(0, Some(("b", 1)))]);
        assert_eq!(told, ["yes", "login", "yes"]);
    }
}
