//! What an operator says of itself on its metrics page.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;

const DEADLINE: Duration = Duration::from_secs(5);

/// One reading of a pod's metrics page.
pub(super) struct Scrape(String);

impl Scrape {
    /// Reads it now. A pod that does not answer is an error.
    pub(super) async fn of(pod: &Pod) -> Result<Self> {
        let address =
            pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()).context("the pod has no address")?;
        let client = reqwest::Client::builder().timeout(DEADLINE).build()?;
        let page = client.get(format!("http://{address}:8080/metrics")).send().await?.error_for_status()?;
        Ok(Self(page.text().await?))
    }

    /// The sum of a metric over all its labels; 0 when there is none.
    pub(super) fn sum(&self, metric: &str) -> f64 {
        let of_metric = |line: &str| {
            let rest = line.strip_prefix(metric).filter(|rest| rest.starts_with(['{', ' ']))?;
            rest.rsplit(' ').next()?.parse::<f64>().ok()
        };
        self.0.lines().filter_map(of_metric).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_no_other_is() {
        let page = "# HELP a_count x\na_count{b=\"c d\"} 2\na_count{b=\"e\"} 3\na_count_more 9\n";
        assert!((Scrape(page.to_owned()).sum("a_count") - 5.0).abs() < f64::EPSILON);
    }
}
