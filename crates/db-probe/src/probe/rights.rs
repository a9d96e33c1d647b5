//! What a login may do, in one of four words and a sentence: the engines' files weigh what the server's catalogue
//! lists, and the worst of it counts. Pure.

use std::fmt;

use api_types::Privileges;

/// The longest name of a server's object that is shown.
const MAX_NAME: usize = 80;

/// What a login may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rights {
    /// No right to write was found.
    ReadOnly,
    /// The catalogue did not tell everything, and what it told is no right to write.
    Unknown(Gap),
    /// More than reading.
    Excess(Excess),
}

/// Why the rights are not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The server refused to tell, or did not in time.
    NotRead,
    /// What this role may do cannot be seen with this login.
    Role(String),
}

/// The worst right found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// How bad it is.
    pub level: Level,
    /// The right in words, such as `INSERT on table "public.items"`.
    pub right: String,
    /// How to take it away.
    pub remedy: &'static str,
}

/// More than reading, and how much more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It can change data or objects.
    Write,
    /// It can change the server itself, read its files, run programs or hand on rights.
    Admin,
}

impl Rights {
    /// The word for `status.privileges`.
    #[must_use]
    pub fn privileges(&self) -> Privileges {
        match self {
            Self::ReadOnly => Privileges::ReadOnly,
            Self::Unknown(_) => Privileges::Unknown,
            Self::Excess(Excess { level: Level::Write, .. }) => Privileges::ReadWrite,
            Self::Excess(Excess { level: Level::Admin, .. }) => Privileges::Admin,
        }
    }

    /// The worst of them; the first among equals.
    #[must_use]
    pub fn worst(found: impl IntoIterator<Item = Self>) -> Self {
        found.into_iter().fold(Self::ReadOnly, |worst, next| if next.rank() > worst.rank() { next } else { worst })
    }

    fn rank(&self) -> u8 {
        match self {
            Self::ReadOnly => 0,
            Self::Unknown(_) => 1,
            Self::Excess(Excess { level: Level::Write, .. }) => 2,
            Self::Excess(Excess { level: Level::Admin, .. }) => 3,
        }
    }

    /// The same without a name that holds the password: a server that means harm could send it back to us.
    #[must_use]
    pub fn without(self, password: &str) -> Self {
        // Every text contains the empty one, and there is nothing to keep secret about it.
        let told = |text: &str| !password.is_empty() && text.contains(password);
        match self {
            Self::Excess(excess) if told(&excess.right) => {
                Self::Excess(Excess { right: "a right on an object whose name is not shown".to_owned(), ..excess })
            }
            Self::Unknown(Gap::Role(role)) if told(&role) => Self::Unknown(Gap::NotRead),
            other => other,
        }
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadOnly => f.write_str("no right to write was found"),
            Self::Unknown(Gap::NotRead) => f.write_str("the server did not tell what the login may do"),
            Self::Unknown(Gap::Role(role)) => write!(
                f,
                "the login may take on role {}, and what that role may do cannot be seen with this login: revoke the \
                 role, or make it a default role",
                shown(role)
            ),
            Self::Excess(Excess { level, right, remedy }) => {
                let verb = match level {
                    Level::Write => "write",
                    Level::Admin => "administer",
                };
                write!(f, "the login can {verb}, by {right}: {remedy}")
            }
        }
    }
}

/// A name out of a server's catalogue as it may be shown: short, printable, in quotes.
#[must_use]
pub fn shown(name: &str) -> String {
    let printable = |c: &char| c.is_ascii_graphic() || *c == ' ';
    let name: String = name.chars().filter(printable).take(MAX_NAME).collect();
    format!("\"{name}\"")
}

/// An object, and how many more of its kind are meant.
#[must_use]
pub fn counted(object: String, count: Option<i64>) -> String {
    match count {
        Some(count) if count > 1 => format!("{object} and {} more", count - 1),
        _ => object,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excess(level: Level, right: &str) -> Rights {
        Rights::Excess(Excess { level, right: right.to_owned(), remedy: "revoke it" })
    }

    #[test]
    fn the_worst_counts_and_a_gap_is_never_read_only() {
        let (write, admin) = (excess(Level::Write, "INSERT"), excess(Level::Admin, "SUPER"));
        let gap = Rights::Unknown(Gap::Role("r".to_owned()));
        assert_eq!(Rights::worst([]), Rights::ReadOnly);
        assert_eq!(Rights::worst([Rights::ReadOnly, gap.clone()]).privileges(), Privileges::Unknown);
        assert_eq!(Rights::worst([write.clone(), gap]).privileges(), Privileges::ReadWrite);
        assert_eq!(Rights::worst([write.clone(), admin, write.clone()]).privileges(), Privileges::Admin);
        assert_eq!(Rights::worst([write.clone(), excess(Level::Write, "DELETE")]), write);
    }

    #[test]
    fn a_name_is_short_and_printable_and_never_the_password() {
        assert_eq!(shown(&format!("a\n\u{1b}b{}", "x".repeat(200))), format!("\"ab{}\"", "x".repeat(78)));
        let right = excess(Level::Write, "INSERT on table \"hunter2\"").without("hunter2").to_string();
        assert_eq!(right, "the login can write, by a right on an object whose name is not shown: revoke it");
        assert_eq!(Rights::Unknown(Gap::Role("hunter2".into())).without("hunter2"), Rights::Unknown(Gap::NotRead));
        for rights in [excess(Level::Write, "INSERT on table \"items\""), Rights::Unknown(Gap::Role("r".into()))] {
            assert_eq!(rights.clone().without(""), rights, "an empty password is in every name");
        }
    }
}
