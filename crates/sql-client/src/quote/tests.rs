//! Properties: a server that reads the quoted text by its own rules finds exactly the original, and the
//! text ends where the quotes end.

use proptest::prelude::*;

use super::{QuoteError, mysql, postgres};

/// Reads a quoted text as a server does: the content, and what follows it.
fn read(quoted: &str, quote: char, backslash_escapes: bool) -> Option<(String, String)> {
    let mut rest = quoted.strip_prefix(quote)?.chars().peekable();
    let mut content = String::new();
    while let Some(c) = rest.next() {
        match c {
            '\\' if backslash_escapes => content.push(rest.next()?),
            c if c == quote && rest.peek() == Some(&quote) => content.extend(rest.next()),
            c if c == quote => return Some((content, rest.collect())),
            c => content.push(c),
        }
    }
    None
}

/// Reads a database name in GRANT as MySQL does: a list of characters, `None` being a wildcard.
fn read_pattern(pattern: &str) -> Vec<Option<char>> {
    let mut chars = pattern.chars();
    let mut read = Vec::new();
    while let Some(c) = chars.next() {
        read.push(match c {
            '\\' => chars.next(),
            '_' | '%' => None,
            c => Some(c),
        });
    }
    read
}

/// Texts rich in what quoting is about.
fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![Just('\''), Just('"'), Just('`'), Just('\\'), Just('_'), any::<char>()],
        1..40,
    )
    .prop_map(|chars| chars.into_iter().filter(|c| *c != '\0').collect())
    .prop_filter("names are not empty", |text: &String| !text.is_empty())
}

proptest! {
    #[test]
    fn mysql_names_survive(name in text()) {
        let quoted = mysql::identifier(&name).unwrap();
        prop_assert_eq!(read(&quoted, '`', false), Some((name, String::new())));
    }

    #[test]
    fn mysql_strings_mean_the_same_under_every_sql_mode(value in text()) {
        match mysql::string_literal(&value) {
            Ok(quoted) => for backslash_escapes in [true, false] {
                prop_assert_eq!(read(&quoted, '\'', backslash_escapes), Some((value.clone(), String::new())));
            },
            Err(error) => prop_assert!(error == QuoteError::Backslash && value.contains('\\')),
        }
    }

    #[test]
    fn texts_are_plain_digits(value in ".{0,40}") {
        for (quoted, before, after) in [
            (mysql::text(&value), "_utf8mb4 X'", "'"),
            (postgres::text(&value), "pg_catalog.convert_from(pg_catalog.decode('", "', 'hex'), 'UTF8')"),
        ] {
            let digits = quoted.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).unwrap();
            let bytes: Vec<_> = (0..digits.len() / 2)
                .map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap())
                .collect();
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), value.clone());
        }
    }

    #[test]
    fn mysql_grants_open_one_database(name in text()) {
        let Ok(quoted) = mysql::grant_pattern(&name) else {
            prop_assert!(mysql::grant_pattern_text(&name).chars().count() > 64);
            return Ok(());
        };
        let (pattern, rest) = read(&quoted, '`', false).unwrap();
        prop_assert_eq!(rest, "");
        prop_assert_eq!(&pattern, &mysql::grant_pattern_text(&name));
        prop_assert_eq!(read_pattern(&pattern), name.chars().map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn postgres_names_survive_or_are_too_long(name in text()) {
        match postgres::identifier(&name) {
            Ok(quoted) => prop_assert_eq!(read(&quoted, '"', false), Some((name, String::new()))),
            Err(error) => prop_assert!(error == QuoteError::TooLong(63, "bytes") && name.len() > 63),
        }
    }

    #[test]
    fn postgres_values_survive(value in text()) {
        let quoted = postgres::literal(&value).unwrap();
        prop_assert_eq!(read(&quoted, '\'', false), Some((value, String::new())));
    }
}

#[test]
fn the_forms_read_as_in_a_manual() {
    assert_eq!(mysql::identifier("a`b").unwrap(), "`a``b`");
    assert_eq!(mysql::account("o'neil", "%").unwrap(), "'o''neil'@'%'");
    assert_eq!(mysql::grant_pattern("my_app").unwrap(), r"`my\_app`");
    assert_eq!(mysql::text("é"), "_utf8mb4 X'C3A9'");
    assert_eq!(mysql::text(""), "_utf8mb4 X''");
    assert_eq!(postgres::identifier("a\"b").unwrap(), "\"a\"\"b\"");
    assert_eq!(postgres::literal(r"a'\b").unwrap(), r"'a''\b'");
}

#[test]
fn what_cannot_be_quoted_is_an_error() {
    for quote in [mysql::identifier, mysql::grant_pattern, postgres::identifier] {
        assert_eq!(quote(""), Err(QuoteError::Empty));
        assert_eq!(quote("a\0b"), Err(QuoteError::Nul));
        assert!(matches!(quote(&"x".repeat(65)), Err(QuoteError::TooLong(..))));
    }
    for quote in [mysql::string_literal, postgres::literal] {
        assert_eq!(quote("a\0b"), Err(QuoteError::Nul));
        assert_eq!(quote("").as_deref(), Ok("''"));
    }
    assert_eq!(mysql::account("a\\", "%"), Err(QuoteError::Backslash));
    assert_eq!(postgres::identifier(&"é".repeat(32)), Err(QuoteError::TooLong(63, "bytes")));
}
