//! Takes a script apart at its semicolons, but for those in quoted texts, names and comments. It knows nothing else of
//! SQL: bodies of routines with semicolons in them must be quoted, as PostgreSQL's are between dollars.
//!
//! MySQL's quotes are read as its default `sql_mode` has it, with a backslash as an escape. A server set otherwise would
//! be sent other statements than were meant, as the application's own user, as the author of the script may do anyway.

use super::ScriptError;
use crate::engine::Engine;

/// The statements of a script, without their semicolons. Nothing but comments is no statement.
pub fn split(text: &str, engine: Engine) -> Result<Vec<String>, ScriptError> {
    let mut statements = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let number = statements.len() + 1;
        let Found { end, code } = statement(rest, engine).map_err(|what| ScriptError::Endless { what, number })?;
        if let Some(code) = code {
            let (statement, code) = (&rest[..end], &rest[code..end]);
            if engine == Engine::Mysql && first_word(code).eq_ignore_ascii_case("delimiter") {
                return Err(ScriptError::Delimiter { number });
            }
            statements.push(statement.trim().to_owned());
        }
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    Ok(statements)
}

/// Where a statement ends, and where it begins behind comments, if there is anything to run.
struct Found {
    end: usize,
    code: Option<usize>,
}

fn statement(text: &str, engine: Engine) -> Result<Found, &'static str> {
    let (mut at, mut code) = (0, None);
    while let Some(c) = text[at..].chars().next() {
        if c == ';' {
            break;
        }
        at += match token(&text[at..], &text[..at], engine)? {
            Token::Space(length) => length,
            Token::Code(length) => {
                code = code.or(Some(at));
                length
            }
        };
    }
    Ok(Found { end: at, code })
}

/// What a text begins with, by its length.
enum Token {
    /// A comment or white space.
    Space(usize),
    /// Something else.
    Code(usize),
}

fn token(text: &str, before: &str, engine: Engine) -> Result<Token, &'static str> {
    let c = text.chars().next().unwrap_or_default();
    let quoted = |escapes| quoted(text, c, escapes).map(Token::Code).ok_or("a quoted text");
    let comment = |nested| comment(text, nested).map(Token::Space).ok_or("a comment");
    match (c, engine) {
        ('\'' | '"', Engine::Mysql) => quoted(true),
        ('\'', Engine::Postgres) => quoted(last_word(before).eq_ignore_ascii_case("e")),
        ('"', Engine::Postgres) | ('`', Engine::Mysql) => quoted(false),
        ('-', engine) if is_line_comment(text, engine) => Ok(Token::Space(line(text))),
        ('#', Engine::Mysql) => Ok(Token::Space(line(text))),
        // What looks like a comment may be a part of the statement there: /*! … */.
        ('/', Engine::Mysql) if text.starts_with("/*!") || text.starts_with("/*M!") => {
            comment(false).map(|token| match token {
                Token::Space(length) | Token::Code(length) => Token::Code(length),
            })
        }
        ('/', engine) if text.starts_with("/*") => comment(engine == Engine::Postgres),
        ('$', Engine::Postgres) if last_word(before).is_empty() => dollars(text),
        (c, _) if c.is_whitespace() => Ok(Token::Space(c.len_utf8())),
        (c, _) => Ok(Token::Code(c.len_utf8())),
    }
}

/// A doubled quote ends one text and begins the next, which comes to the same.
fn quoted(text: &str, quote: char, escapes: bool) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if escapes => drop(chars.next()),
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// MySQL takes two dashes for a comment only before white space.
fn is_line_comment(text: &str, engine: Engine) -> bool {
    let Some(rest) = text.strip_prefix("--") else { return false };
    engine == Engine::Postgres || rest.chars().next().is_none_or(|c| c.is_whitespace() || c.is_control())
}

fn line(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

fn comment(text: &str, nested: bool) -> Option<usize> {
    let (mut at, mut depth) = (2, 1_usize);
    while depth > 0 {
        let end = at + text[at..].find("*/")?;
        let inner = text[at..end].find("/*").filter(|_| nested);
        (at, depth) = inner.map_or((end + 2, depth - 1), |begin| (at + begin + 2, depth + 1));
    }
    Some(at)
}

/// `$tag$ … $tag$`; anything else that begins with a dollar is a parameter.
fn dollars(text: &str) -> Result<Token, &'static str> {
    let tag = |end: usize| &text[..end + 2];
    let is_tag = |end: &usize| {
        let name = &text[1..=*end];
        !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_word)
    };
    let Some(tag) = text[1..].find('$').filter(is_tag).map(tag) else { return Ok(Token::Code(1)) };
    let end = text[tag.len()..].find(tag).ok_or("a text between dollars")?;
    Ok(Token::Code(2 * tag.len() + end))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn first_word(text: &str) -> &str {
    text.split(|c| !is_word(c)).next().unwrap_or_default()
}

fn last_word(text: &str) -> &str {
    text.rsplit(|c| !is_word(c) && c != '$').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn both(text: &str) -> [Vec<String>; 2] {
        [Engine::Mysql, Engine::Postgres].map(|engine| split(text, engine).unwrap())
    }

    #[test]
    fn statements_end_with_semicolons_alone() {
        for found in both("CREATE TABLE t (id INT);\n\nINSERT INTO t VALUES (1);;  ; SELECT 'é;'") {
            assert_eq!(found, ["CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1)", "SELECT 'é;'"]);
        }
    }

    #[test]
    fn semicolons_in_quotes_and_comments_end_nothing() {
        for text in [
            "SELECT ';', 'it''s;', \"a;\"\";\"",
            "-- one; two\nSELECT 1",
            "SELECT /* ; */ 1",
            "SELECT 1 -- ;",
            "SELECT 1-1",
        ] {
            for found in both(text) {
                assert_eq!(found, [text]);
            }
        }
    }

    #[test]
    fn each_server_has_quotes_and_comments_of_its_own() {
        let [mysql, postgres] = [Engine::Mysql, Engine::Postgres].map(|engine| {
            move |text: &str| split(text, engine).map(|found| found.len()).map_err(|error| error.to_string())
        });
        for (text, on_mysql, on_postgres) in [
            (r"SELECT 'a\'; b'; SELECT 2", Some(2), None),
            (r"SELECT E'a\'; b'; SELECT 2", Some(2), Some(2)),
            (r"SELECT 'a\'; SELECT 'b'", None, Some(2)),
            ("SELECT `a;`; SELECT 2", Some(2), Some(3)),
            ("SELECT 1 # one; two", Some(1), Some(2)),
            ("SELECT 2--1; SELECT 2", Some(2), Some(1)),
            ("SELECT /* /* ; */ ; */ 1", Some(2), Some(1)),
            ("DO $$ BEGIN; END $$; SELECT $1", Some(3), Some(2)),
            ("DO $a$ ; $b$ ; $a$; SELECT a$b$c", Some(4), Some(2)),
            ("DO $a$ ;", Some(1), None),
            ("/*! SELECT 1; */", Some(1), Some(0)),
        ] {
            assert_eq!(mysql(text).ok(), on_mysql, "MySQL: {text}");
            assert_eq!(postgres(text).ok(), on_postgres, "PostgreSQL: {text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_or_gets_lost(text in r"([a-z '\x22`\\;$#/*\n-]|--|/\*|\*/|\$\$|é){0,60}") {
            for engine in [Engine::Mysql, Engine::Postgres] {
                if let Ok(found) = split(&text, engine) {
                    let code = |text: &str| text.chars().filter(|c| !c.is_whitespace() && *c != ';').count();
                    prop_assert!(found.iter().map(|statement| code(statement)).sum::<usize>() <= code(&text));
                    prop_assert!(found.iter().all(|statement| text.contains(statement.as_str())));
                }
            }
        }

        #[test]
        fn a_quoted_text_is_never_taken_apart(words in "[a-z;]{0,20}") {
            let text = format!("INSERT INTO t VALUES ('{words}'); SELECT 1");
            for found in both(&text) {
                prop_assert_eq!(found.len(), 2);
            }
        }
    }
}
