//! The processes behind pods, as the node's `/proc` shows them: what they use, and how to start the same again.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

const POLL: Duration = Duration::from_millis(2);
const DEADLINE: Duration = Duration::from_secs(30);
const CALL_DEADLINE: Duration = Duration::from_secs(2);

/// The first process of a pod's only container.
#[derive(Debug, Clone, Copy)]
pub(super) struct PodProcess(i32);

impl PodProcess {
    /// Finds it by the container's id in its cgroup.
    pub(super) fn of(pod: &Pod) -> Result<Self> {
        let status = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref()?.first());
        let id = status.and_then(|status| status.container_id.as_deref()).context("the pod runs no container")?;
        let id = id.rsplit('/').next().unwrap_or_default();
        let entries = fs::read_dir("/proc").context("cannot list processes")?;
        let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        let inside =
            |process: &i32| fs::read_to_string(format!("/proc/{process}/cgroup")).is_ok_and(|t| t.contains(id));
        ids.filter(inside).min().map(Self).context("no process of the pod's container is here")
    }

    /// Resident memory in megabytes.
    pub(super) fn resident(self) -> Result<f64> {
        resident_memory(self.0)
    }

    /// The time that processors have spent on it.
    pub(super) fn processor_time(self) -> Result<Duration> {
        processor_time(&fs::read_to_string(self.path("stat")).context("the process is gone")?)
    }

    /// Ends it at once, as a crash would. The kubelet starts another.
    pub(super) fn kill(self) -> Result<()> {
        let process = Pid::from_raw(self.0).context("0 is no process")?;
        kill_process(process, Signal::KILL).context("cannot kill the process")
    }

    /// The size of its program in megabytes.
    pub(super) fn program(self) -> Result<f64> {
        Ok(megabytes(fs::metadata(self.path("exe")).context("the process is gone")?.len()))
    }

    /// Its command line with the values of some flags replaced.
    pub(super) fn arguments(self, replaced: &[(&str, &str)]) -> Result<Vec<String>> {
        let mut arguments = self.strings("cmdline")?;
        for (flag, value) in replaced {
            let at = arguments.iter().position(|argument| argument == flag);
            let next =
                at.and_then(|at| arguments.get_mut(at + 1)).with_context(|| format!("there is no flag {flag}"))?;
            (*value).clone_into(next);
        }
        Ok(arguments)
    }

    /// Starts the same program once more, with the same files and environment but in the node's network, and gives
    /// the time until `url` answers well. The process is ended then.
    pub(super) async fn time_start(self, arguments: &[String], url: &str) -> Result<Duration> {
        let variables = self.strings("environ")?;
        let pairs = variables.iter().filter_map(|variable| variable.split_once('='));
        let client = reqwest::Client::builder().timeout(CALL_DEADLINE).build()?;
        let begun = Instant::now();
        // By its path, since the environment is the container's.
        let mut child = Command::new("/usr/bin/nsenter")
            .args(["--target", &self.0.to_string(), "--mount", "--root", "--wd"])
            .args(arguments)
            .env_clear()
            .envs(pairs)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start nsenter")?;
        let answered = answer(&mut child, &client, url).await.map(|()| begun.elapsed());
        child.kill().await.context("cannot end what was started")?;
        answered
    }

    fn strings(self, file: &str) -> Result<Vec<String>> {
        let text = fs::read_to_string(self.path(file)).context("the process is gone")?;
        Ok(text.split_terminator('\0').map(str::to_owned).collect())
    }

    fn path(self, file: &str) -> String {
        format!("/proc/{}/{file}", self.0)
    }
}

async fn answer(child: &mut Child, client: &reqwest::Client, url: &str) -> Result<()> {
    let end = Instant::now() + DEADLINE;
    while !client.get(url).send().await.is_ok_and(|response| response.status().is_success()) {
        ensure!(Instant::now() < end, "{url} did not answer well within {} s", DEADLINE.as_secs());
        if let Some(status) = child.try_wait()? {
            anyhow::bail!("what should answer at {url} ended with {status}");
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// A process's resident memory in megabytes.
pub(super) fn resident_memory(process: i32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).context("the process is gone")?;
    resident(&status).context("the process has no VmRSS")
}

/// The time that processors have spent on this process.
pub(super) fn own_processor_time() -> Result<Duration> {
    processor_time(&fs::read_to_string("/proc/self/stat")?)
}

/// Of a line in /proc/PID/stat, where both times count hundredths of a second on every Linux we know.
fn processor_time(stat: &str) -> Result<Duration> {
    const TICK: Duration = Duration::from_millis(10);
    // The program's name stands in brackets and may hold anything; the times are the 14th and 15th field.
    let (_, fields) = stat.rsplit_once(')').context("a stat line without a name")?;
    let times: Vec<u32> = fields.split_whitespace().skip(11).take(2).map_while(|field| field.parse().ok()).collect();
    ensure!(times.len() == 2, "a stat line without times");
    Ok(TICK * times.iter().sum())
}

fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(megabytes(kibibytes * 1024))
}

/// Of 1,000,000 bytes.
pub(super) fn megabytes(bytes: u64) -> f64 {
    const KILOBYTE: u64 = 1000;
    // Below 2^32 kilobytes, which is four terabytes, nothing is lost.
    f64::from(u32::try_from(bytes / KILOBYTE).unwrap_or(u32::MAX)) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_that_of_user_and_system() {
        let line = "17 (a) b) S 1 17 17 0 -1 4194560 100 0 0 0 150 25 0 0 20 0 9 0 12345 1 2";
        assert_eq!(processor_time(line).unwrap(), Duration::from_millis(1750));
        assert!(processor_time("17 (a) S 1").is_err());
    }

    #[test]
    fn resident_memory_is_read_in_megabytes() {
        let found = resident("Name:\tx\nVmHWM:\t  99999 kB\nVmRSS:\t   10000 kB\n").unwrap();
        assert!((found - 10.24).abs() < 0.001, "{found}");
    }
}
