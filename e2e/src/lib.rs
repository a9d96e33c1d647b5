//! A throw-away Kubernetes node with database servers on one bare machine, and what the end-to-end tests stand on.
//!
//! [`tools`] installs what is missing, [`images`] builds container images without a registry, [`cluster`] runs
//! everything inside one tree of namespaces that dies with its init, [`servers`] reaches the databases in it,
//! [`loopback`] starts servers beside it, and [`testing`] is what a test imports. Nothing here is linked into an operator.

pub mod bench;
pub mod cache;
pub mod cluster;
pub mod command;
pub mod demo;
pub mod images;
pub mod install;
pub mod loopback;
pub mod progress;
pub mod servers;
pub mod testing;
pub mod tools;
