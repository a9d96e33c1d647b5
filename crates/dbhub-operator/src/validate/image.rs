//! Which images may run: whatever runs in a DBHub pod gets the databases' logins. Pure.

use std::fmt;

/// Repositories, and paths above them, whose images may run. None: any image may.
#[derive(Clone, Debug, Default)]
pub struct AllowedImages(Vec<String>);

impl From<Vec<String>> for AllowedImages {
    fn from(places: Vec<String>) -> Self {
        Self(places)
    }
}

impl AllowedImages {
    /// Whether an image may run. Names are compared as they are written: `bytebase/dbhub` is not
    /// `docker.io/bytebase/dbhub`.
    #[must_use]
    pub fn includes(&self, image: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|place| is_at(image, place))
    }
}

impl fmt::Display for AllowedImages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

/// Whether an image is the one of that name, has that repository, or has one below that path. A colon before a slash
/// begins the port of a registry, which is another registry.
fn is_at(image: &str, place: &str) -> bool {
    image.strip_prefix(place).is_some_and(|rest| match rest.chars().next() {
        None | Some('/' | '@') => true,
        Some(':') => !rest.contains('/'),
        Some(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_allowed_by_its_name_its_repository_or_a_path_above() {
        let allowed = AllowedImages::from(["bytebase/dbhub", "registry.acme.internal/ai"].map(str::to_owned).to_vec());
        for image in [
            "bytebase/dbhub",
            "bytebase/dbhub:1.4.0",
            "bytebase/dbhub@sha256:00",
            "bytebase/dbhub:1.4.0@sha256:00",
            "registry.acme.internal/ai/dbhub:1",
            "registry.acme.internal/ai/tools/dbhub@sha256:00",
        ] {
            assert!(allowed.includes(image), "{image}");
        }
        for image in [
            "bytebase/dbhub-of-another:1.4.0",
            "bytebase/db",
            "docker.io/bytebase/dbhub",
            "registry.acme.internal/ai-of-another/dbhub",
            "registry.acme.internal.example.org/ai/dbhub",
            "bytebase/dbhub:5000/x",
            "x/bytebase/dbhub",
            "",
        ] {
            assert!(!allowed.includes(image), "{image}");
        }
        assert!(AllowedImages::default().includes("any/image"));
    }
}
