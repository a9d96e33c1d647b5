//! PID 1 of a cluster's tree: mounts, network, then every component, which it starts again when one ends. Synchronous,
//! since all it does is start programs and wait for them.

mod components;
mod mounts;
mod network;

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{WaitOptions, wait};

use self::components::Component;
use super::config;
use super::layout::Layout;
use crate::command;
use crate::servers;
use crate::tools::Tools;

const API_DEADLINE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(200);
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// After so many early ends of one component something is wrong that another start will not mend.
const MOST_RESTARTS: u32 = 10;
/// A component that ran this long had started well.
const STEADY: Duration = Duration::from_secs(30);

/// Never returns unless something cannot be mended; the end of this process ends the tree.
pub fn run(state: PathBuf) -> Result<()> {
    let layout = Layout::new(state)?;
    let tools = config::read_tools(&layout)?;
    mounts::prepare(&layout, &tools)?;
    network::prepare()?;
    let mut running = Running::new(layout.clone());
    for component in components::first(&layout, &tools) {
        running.start(component)?;
    }
    for server in servers::daemons(&layout, &tools)? {
        running.start(Component::new(server.name, server.command))?;
    }
    wait_for_api(&layout, &tools)?;
    for component in components::second(&layout, &tools) {
        running.start(component)?;
    }
    println!("every component is started");
    running.supervise()
}

struct Running {
    layout: Layout,
    components: HashMap<i32, Started>,
}

struct Started {
    component: Component,
    since: Instant,
    restarts: u32,
}

impl Running {
    fn new(layout: Layout) -> Self {
        Self { layout, components: HashMap::new() }
    }

    fn start(&mut self, component: Component) -> Result<()> {
        self.start_again(component, 0)
    }

    fn start_again(&mut self, component: Component, restarts: u32) -> Result<()> {
        let log = command::append_to(&self.layout.log(component.name))?;
        let errors = log.try_clone()?;
        let (program, arguments) = component.command.split_first().context("a component without a program")?;
        let child = Command::new(program)
            .args(arguments)
            .current_dir(self.layout.state())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {}", component.name))?;
        println!("{} runs as process {}", component.name, child.id());
        let id = i32::try_from(child.id()).context("a process id beyond i32")?;
        fs::write(self.layout.path(&format!("{}.pid", component.name)), id.to_string())?;
        self.components.insert(id, Started { component, since: Instant::now(), restarts });
        Ok(())
    }

    /// Waits for any process of the tree: orphans come to PID 1 and must be waited for, components are started again.
    fn supervise(mut self) -> Result<()> {
        loop {
            let Some((id, status)) = wait(WaitOptions::empty()).context("cannot wait for processes")? else { continue };
            let Some(ended) = self.components.remove(&id.as_raw_nonzero().get()) else { continue };
            let restarts = if ended.since.elapsed() > STEADY { 1 } else { ended.restarts + 1 };
            println!("{} ended ({status:?}), start {restarts}", ended.component.name);
            if restarts > MOST_RESTARTS {
                let log = command::quote(&self.layout.log(ended.component.name));
                bail!("{} ended {MOST_RESTARTS} times in a row\n{log}", ended.component.name);
            }
            std::thread::sleep(RESTART_PAUSE);
            self.start_again(ended.component, restarts)?;
        }
    }
}

fn wait_for_api(layout: &Layout, tools: &Tools) -> Result<()> {
    let begun = Instant::now();
    while !is_api_ready(layout, tools)? {
        if begun.elapsed() > API_DEADLINE {
            bail!("the API server was not ready within {} s; see apiserver.log", API_DEADLINE.as_secs());
        }
        std::thread::sleep(POLL);
    }
    println!("API server ready after {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}

fn is_api_ready(layout: &Layout, tools: &Tools) -> Result<bool> {
    let status = Command::new(tools.kubectl())
        .args(["get", "--raw", "/readyz", "--request-timeout=5s", "--kubeconfig"])
        .arg(layout.path("admin.kubeconfig"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    Ok(status.context("cannot start kubectl")?.success())
}
