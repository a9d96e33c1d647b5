//! Names a process so that a recycled process id is never taken for it: the id together with its start time.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

const POLL: Duration = Duration::from_millis(50);

/// One process of this machine, as seen from outside the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its process id.
    pub id: i32,
    /// Clock ticks between the machine's start and its own, from `/proc/ID/stat`.
    started: u64,
}

impl Process {
    /// The running process with this id.
    pub fn find(id: i32) -> Result<Self> {
        let stat = read_stat(id).with_context(|| format!("there is no process {id}"))?;
        Ok(Self { id, started: stat.started })
    }

    /// The process that runs this code.
    pub fn current() -> Result<Self> {
        Self::find(i32::try_from(std::process::id()).context("a process id beyond i32")?)
    }

    /// The only child of this process, once it has one.
    #[must_use]
    pub fn child(self) -> Option<Self> {
        let ids = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        ids.filter_map(|id: i32| Some((id, read_stat(id)?)))
            .find(|(_, stat)| stat.parent == self.id)
            .map(|(id, stat)| Self { id, started: stat.started })
    }

    /// Whether it still exists. A process that ended and was not yet waited for counts as gone.
    #[must_use]
    pub fn is_running(self) -> bool {
        read_stat(self.id).is_some_and(|stat| stat.started == self.started && stat.state != 'Z')
    }

    /// Kills it, if it is still this very process.
    pub fn kill(self) -> Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        let id = Pid::from_raw(self.id).context("not a process id")?;
        match kill_process(id, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot kill process {}", self.id)),
        }
    }

    /// Waits until it is gone.
    pub fn wait_gone(self, deadline: Duration) -> Result<()> {
        let end = Instant::now() + deadline;
        while self.is_running() {
            if Instant::now() > end {
                bail!("process {} is still there after {} s", self.id, deadline.as_secs());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

struct Stat {
    state: char,
    parent: i32,
    started: u64,
}

fn read_stat(id: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// The fields after the program's name, which is in parentheses and may hold anything: see proc(5).
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_whitespace().collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_is_skipped() {
        let stat = parse_stat("7 (a) b (c) S 3 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0").unwrap();
        assert_eq!((stat.state, stat.parent, stat.started), ('S', 3, 4242));
    }

    #[test]
    fn another_process_of_the_same_id_is_not_this_one() {
        let current = Process::current().unwrap();
        assert!(current.is_running());
        let earlier = Process { started: current.started - 1, ..current };
        assert!(!earlier.is_running());
        earlier.kill().unwrap();
        assert!(current.is_running());
    }

    #[test]
    fn a_killed_child_is_gone() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::find(i32::try_from(child.id()).unwrap()).unwrap();
        process.kill().unwrap();
        process.wait_gone(Duration::from_secs(10)).unwrap();
        child.wait().unwrap();
    }
}
