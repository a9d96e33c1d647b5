//! The names that DBHub derives from a source's id: environment variables of its credentials and MCP tools. Pure.

use api_types::Operation;

/// The id of a source: the Database's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(String);

impl SourceId {
    /// The id of the Database with this name.
    #[must_use]
    pub fn new(database: &str) -> Self {
        Self(database.to_owned())
    }

    /// As written into the configuration.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// DBHub writes `_` for all but ASCII letters and digits where it makes a tool's name of an id. Two sources whose
    /// normalised ids agree break every call, so this is what must be unique.
    #[must_use]
    pub fn normalised(&self) -> String {
        self.0.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
    }

    /// Environment variable, and key of the `<name>-creds` Secret, that holds the user name.
    #[must_use]
    pub fn user_variable(&self) -> String {
        self.variable("USER")
    }

    /// Environment variable, and key of the `<name>-creds` Secret, that holds the password.
    #[must_use]
    pub fn password_variable(&self) -> String {
        self.variable("PASSWORD")
    }

    fn variable(&self, what: &str) -> String {
        format!("DBHUB_{}_{what}", self.normalised().to_ascii_uppercase())
    }

    /// DBHub's name of the tool; it drops the suffix when it serves one source only.
    #[must_use]
    pub fn tool(&self, operation: Operation, only_source: bool) -> String {
        if only_source {
            operation.as_str().to_owned()
        } else {
            format!("{}_{}", operation.as_str(), self.normalised())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_normalised_id() {
        let id = SourceId::new("analytics-prod.eu");
        assert_eq!(id.user_variable(), "DBHUB_ANALYTICS_PROD_EU_USER");
        assert_eq!(id.password_variable(), "DBHUB_ANALYTICS_PROD_EU_PASSWORD");
        assert_eq!(id.tool(Operation::ExecuteSql, false), "execute_sql_analytics_prod_eu");
        assert_eq!(id.tool(Operation::SearchObjects, true), "search_objects");
    }
}
