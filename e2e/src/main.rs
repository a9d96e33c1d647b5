//! The harness's command line: the throw-away cluster, its images and its tools. `cargo xtask` calls it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use e2e::bench::{self, Part};
use e2e::cache::Cache;
use e2e::cluster::{self, Cluster, forward, init, keeper, layout::Layout};
use e2e::images::ImageFile;
use e2e::install::install;
use e2e::progress::Progress;
use e2e::testing::{Harness, Target};
use e2e::tools::GoModule;
use e2e::{images, tools};

#[derive(Parser)]
#[command(about, version)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Starts, ends or describes the throw-away cluster
    Cluster {
        /// The folder of the cluster's files, by default in the user's cache
        #[arg(long, global = true, env = "E2E_STATE", value_name = "DIR")]
        state: Option<PathBuf>,
        #[command(subcommand)]
        action: Action,
    },
    /// Builds every image, and copies the archives into a folder if one is given
    Images {
        /// Where to write the archives
        #[arg(long, value_name = "DIR")]
        output: Option<PathBuf>,
    },
    /// Installs the chart with this workspace's images, or upgrades it
    Install(Place),
    /// Starts a cluster unless one is given, installs the chart and shows the operators at work
    Demo(Place),
    /// Measures the operators beside a script that does the same work, on a throw-away cluster
    Bench {
        /// The folder of the throw-away cluster's files
        #[arg(long, env = "E2E_STATE", value_name = "DIR")]
        state: Option<PathBuf>,
        /// What to measure [default: all]
        parts: Vec<Part>,
    },
    /// Prints the path of a program of the harness, or the folder with DBHub and its Node.js, made now if it is missing
    Tool {
        /// Which one
        name: Tool,
    },
    /// Started by `cluster up`: keeps a cluster until its end
    #[command(hide = true)]
    ClusterKeep { state: PathBuf },
    /// Started by `cluster-keep`: PID 1 of a cluster
    #[command(hide = true)]
    ClusterInit { state: PathBuf },
    /// Started by `bench`, inside the node: measures
    #[command(hide = true)]
    BenchInside { state: PathBuf, parts: Vec<Part> },
    /// Started by `cluster-init`: the API server's socket
    #[command(hide = true)]
    ClusterSocket { socket: PathBuf, port: u16 },
}

/// Where the operators are installed.
#[derive(clap::Args)]
struct Place {
    /// The folder of the throw-away cluster's files
    #[arg(long, env = "E2E_STATE", value_name = "DIR")]
    state: Option<PathBuf>,
    /// Install on this context of your kubeconfig instead
    #[arg(long, env = "E2E_CONTEXT", value_name = "NAME")]
    context: Option<String>,
    /// With --context: how an image archive gets onto its nodes, such as 'kind load image-archive {}'
    #[arg(long, value_name = "COMMAND", requires = "context")]
    load_images: Option<String>,
}

#[derive(Subcommand)]
enum Action {
    /// Starts the cluster, or finds it running, and loads images that changed
    Up {
        /// Leave out this workspace's own images, which takes no compilation
        #[arg(long)]
        without_operators: bool,
    },
    /// Ends the cluster and removes everything of it
    Down,
    /// Says what runs
    Status,
    /// Prints yes or no
    IsRunning,
    /// Prints shell lines that set KUBECONFIG and PATH: eval "$(cargo xtask cluster env)"
    Env,
}

#[derive(Clone, Copy, ValueEnum)]
enum Tool {
    Helm,
    Kubectl,
    Kubeconform,
    Dbhub,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        // PID 1 waits for every process of its tree and must not share that with a runtime.
        Task::ClusterInit { state } => init::run(state),
        task => run_async(task),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_async(task: Task) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(task))
}

async fn run(task: Task) -> Result<()> {
    match task {
        Task::Cluster { state, action } => run_cluster(state, action).await,
        Task::Images { output } => run_images(output).await,
        Task::Install(place) => install_at(place).await.map(drop),
        Task::Demo(place) => run_demo(place).await,
        Task::Bench { state, parts } => run_bench(state, &parts).await,
        Task::Tool { name } => print_tool(name).await,
        Task::ClusterKeep { state } => keeper::keep(&Layout::new(state)?).await,
        Task::ClusterSocket { socket, port } => forward::socket_to_port(&socket, port).await,
        Task::BenchInside { state, parts } => bench::run_inside(&Layout::new(state)?, &parts).await,
        Task::ClusterInit { state } => init::run(state),
    }
}

async fn run_cluster(state: Option<PathBuf>, action: Action) -> Result<()> {
    let (cache, cluster) = cluster_of(state)?;
    let progress = Progress::new();
    match action {
        Action::Up { without_operators } => up(&cache, &cluster, !without_operators, progress).await.map(drop),
        Action::Down => cluster.down(progress),
        Action::IsRunning => {
            println!("{}", if cluster.running().is_some() { "yes" } else { "no" });
            Ok(())
        }
        Action::Status => {
            println!("{}", cluster.status().await);
            Ok(())
        }
        Action::Env => {
            println!("{}", cluster.environment()?);
            Ok(())
        }
    }
}

/// Starts the cluster, and gives the images that it has.
async fn up(cache: &Cache, cluster: &Cluster, with_operators: bool, progress: Progress) -> Result<Vec<ImageFile>> {
    cluster::check_machine()?;
    tools::ensure_packages(cache, progress).await?;
    let programs = tools::ensure(cache, progress).await?;
    let mut all = images::ensure_foreign(cache, progress).await?;
    if with_operators {
        all.extend(images::ensure_own(cache, progress).await?);
    }
    cluster.up(&programs, &all, progress).await?;
    println!("{}", cluster.status().await);
    Ok(all)
}

async fn run_demo(place: Place) -> Result<()> {
    let progress = Progress::new();
    let harness = if place.context.is_some() {
        install_at(place).await?
    } else {
        up_and_install(&cluster_of(place.state)?, progress).await?.0
    };
    e2e::demo::run(&harness, progress).await
}

async fn run_bench(state: Option<PathBuf>, parts: &[Part]) -> Result<()> {
    let place = cluster_of(state)?;
    let (_, images) = up_and_install(&place, Progress::new()).await?;
    bench::run(&place.1, &images, parts).await
}

/// Starts the cluster with the operators installed, and gives the images that it has.
async fn up_and_install((cache, cluster): &(Cache, Cluster), progress: Progress) -> Result<(Harness, Vec<ImageFile>)> {
    let images = up(cache, cluster, true, progress).await?;
    let harness = Harness::of_cluster(cluster.clone()).await?;
    install(&harness, &images, progress).await?;
    Ok((harness, images))
}

async fn install_at(place: Place) -> Result<Harness> {
    let (cache, cluster) = cluster_of(place.state)?;
    let progress = Progress::new();
    let own = images::ensure_own(&cache, progress).await?;
    let harness = if let Some(name) = &place.context {
        let all = [images::ensure_foreign(&cache, progress).await?, own.clone()].concat();
        images::load_by_command(&all, place.load_images.as_deref(), progress).await?;
        Harness::connect_to(&Target::context(name), None).await?
    } else {
        let harness = Harness::of_cluster(cluster.clone()).await?;
        cluster.load_images(&own, progress).await?;
        harness
    };
    install(&harness, &own, progress).await?;
    Ok(harness)
}

fn cluster_of(state: Option<PathBuf>) -> Result<(Cache, Cluster)> {
    let cache = Cache::of_user()?;
    let cluster = Cluster::new(&cache, state)?;
    Ok((cache, cluster))
}

async fn print_tool(name: Tool) -> Result<()> {
    let (cache, progress) = (Cache::of_user()?, Progress::new());
    let path = match name {
        Tool::Helm => tools::ensure_module(GoModule::Helm, &cache, progress).await?.join("helm"),
        Tool::Kubectl => tools::ensure_module(GoModule::Kubernetes, &cache, progress).await?.join("kubectl"),
        Tool::Kubeconform => tools::ensure_module(GoModule::Kubeconform, &cache, progress).await?.join("kubeconform"),
        Tool::Dbhub => {
            tools::ensure_packages(&cache, progress).await?;
            tools::ensure_dbhub(&cache, progress).await?
        }
    };
    println!("{}", path.display());
    Ok(())
}

async fn run_images(output: Option<PathBuf>) -> Result<()> {
    let (cache, progress) = (Cache::of_user()?, Progress::new());
    tools::ensure_packages(&cache, progress).await?;
    let mut all = images::ensure_foreign(&cache, progress).await?;
    all.extend(images::ensure_own(&cache, progress).await?);
    let files = match output {
        Some(folder) => images::export(&all, &folder)?,
        None => all.into_iter().map(|image| image.file).collect(),
    };
    for file in files {
        println!("{}", file.display());
    }
    Ok(())
}
