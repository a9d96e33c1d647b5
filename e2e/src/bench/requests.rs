//! What the API server counted: requests by anybody, for the objects that an AppDatabase is made of or for all.

use anyhow::Result;

use super::place::Place;
use crate::testing::Cli;

/// API group and resource of what the concierge reads and writes for one AppDatabase.
const COUNTED: [(&str, &str); 4] =
    [("db.stillwaters.io", "appdatabases"), ("", "secrets"), ("", "namespaces"), ("events.k8s.io", "events")];
const WRITES: [&str; 5] = ["POST", "PUT", "PATCH", "APPLY", "DELETE"];
const READS: [&str; 2] = ["GET", "LIST"];

/// Requests since the API server's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Requests {
    pub(super) writes: u32,
    pub(super) reads: u32,
}

impl Requests {
    /// Asks the API server.
    pub(super) async fn now(place: &Place) -> Result<Self> {
        Ok(Self::parse(&metrics(&place.harness.kubectl).await?, is_counted))
    }

    /// Asks for requests of every kind but leases, which every operator renews all the time.
    pub(super) async fn of_all(kubectl: &Cli) -> Result<Self> {
        Ok(Self::parse(&metrics(kubectl).await?, |line| !has(line, "resource", "leases")))
    }

    /// Those since `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self { writes: self.writes - earlier.writes, reads: self.reads - earlier.reads }
    }

    fn parse(metrics: &str, counts: impl Fn(&str) -> bool) -> Self {
        let counters = metrics.lines().filter(|line| line.starts_with("apiserver_request_total{"));
        let ours: Vec<&str> = counters.filter(|line| counts(line)).collect();
        let count = |verbs: &[&str]| {
            let of_verbs = ours.iter().filter(|line| verbs.iter().any(|verb| has(line, "verb", verb)));
            of_verbs.filter_map(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).sum()
        };
        Self { writes: count(&WRITES), reads: count(&READS) }
    }
}

async fn metrics(kubectl: &Cli) -> Result<String> {
    kubectl.run(&["get", "--raw", "/metrics"]).await
}

fn is_counted(line: &str) -> bool {
    COUNTED.iter().any(|(group, resource)| has(line, "group", group) && has(line, "resource", resource))
}

fn has(line: &str, label: &str, value: &str) -> bool {
    let wanted = format!("{label}=\"{value}\"");
    // Begins a label: `subresource` ends with `resource`.
    line.match_indices(&wanted).any(|(at, _)| line[..at].ends_with(['{', ',']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_summed_by_what_they_do() {
        let metrics = r#"# TYPE apiserver_request_total counter
apiserver_request_total{code="200",group="",resource="secrets",subresource="",verb="GET"} 2
apiserver_request_total{code="404",group="",resource="secrets",subresource="",verb="GET"} 3
apiserver_request_total{code="200",group="",resource="secrets",subresource="",verb="WATCH"} 50
apiserver_request_total{code="201",group="",resource="secrets",subresource="",verb="POST"} 7
apiserver_request_total{code="200",group="db.stillwaters.io",resource="appdatabases",subresource="status",verb="PATCH"} 11
apiserver_request_total{code="200",group="apps",resource="secrets",subresource="",verb="POST"} 100
apiserver_request_total{code="200",group="",resource="pods",subresource="secrets",verb="POST"} 100
apiserver_request_sli_total{code="200",group="",resource="secrets",verb="POST"} 100
"#;
        assert_eq!(Requests::parse(metrics, is_counted), Requests { writes: 18, reads: 5 });
    }
}
