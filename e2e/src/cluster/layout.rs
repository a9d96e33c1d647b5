//! Where a cluster keeps its files and which addresses it uses. Pure: nothing is read or written here.
//!
//! The addresses exist only inside the cluster's own network namespace, so two clusters may use the same ones.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::cache::Key;

/// The node's address on the pods' bridge: API server, kubelet and DNS.
pub const NODE_ADDRESS: &str = "10.250.0.1";
/// The database servers' address. Not the node's own, since operators refuse to connect to the API server's address.
pub const SERVERS_ADDRESS: &str = "10.251.0.1";
/// The pods' addresses.
pub const POD_CIDR: &str = "10.250.0.0/24";
/// The Services' addresses.
pub const SERVICE_CIDR: &str = "10.97.0.0/16";
/// The first of [`SERVICE_CIDR`], which Kubernetes gives to its own API.
pub const API_SERVICE_ADDRESS: &str = "10.97.0.1";
/// The only node's name.
pub const NODE_NAME: &str = "node1";
/// The API server's port inside the cluster.
pub const API_PORT: u16 = 6443;

/// A path of a Unix socket may have 107 bytes; the longest of ours is this long below the state folder.
const LONGEST_STATE_PATH: usize = 107 - "/servers/postgres/.s.PGSQL.5432".len();

/// The files of one cluster, all below its state folder.
#[derive(Debug, Clone)]
pub struct Layout {
    state: PathBuf,
}

impl Layout {
    /// Checks that `state` is an absolute path, short enough for the sockets in it and free of quotes and spaces.
    pub fn new(state: PathBuf) -> Result<Self> {
        let text = state.to_string_lossy();
        let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c));
        if !state.is_absolute() || !plain {
            bail!("the state folder must be an absolute path of letters, digits, `/`, `.`, `_`, `-`, `+`: {text}");
        }
        if text.len() > LONGEST_STATE_PATH {
            bail!("the path of the state folder is longer than {LONGEST_STATE_PATH} bytes: {text}");
        }
        Ok(Self { state })
    }

    /// The state folder.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// A path below the state folder.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        self.state.join(relative)
    }

    /// The log file of one part.
    #[must_use]
    pub fn log(&self, part: &str) -> PathBuf {
        self.path(&format!("logs/{part}.log"))
    }

    /// The lock that `up` and `down` hold. It lies beside the state folder, since `down` removes that.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        let mut name = self.state.clone().into_os_string();
        name.push(".lock");
        name.into()
    }

    /// The cgroup of this cluster's pods, in every hierarchy. Its own, since two kubelets that share a parent delete
    /// each other's pods.
    #[must_use]
    pub fn cgroup(&self) -> String {
        format!("db-operators-{}", Key::default().with(self.state.as_os_str().as_encoded_bytes()).finish())
    }

    /// The kubeconfig for use outside of the cluster's namespaces.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// The socket that leads to the API server.
    #[must_use]
    pub fn api_socket(&self) -> PathBuf {
        self.path("api.sock")
    }

    /// containerd's socket.
    #[must_use]
    pub fn containerd_socket(&self) -> PathBuf {
        self.path("containerd.sock")
    }

    /// Fills a template's `{{NAME}}` placeholders with this cluster's values and with `more`.
    #[must_use]
    pub fn render(&self, template: &str, more: &[(&str, &str)]) -> String {
        let state = self.state.to_string_lossy();
        let cgroup = self.cgroup();
        let own = [
            ("STATE", state.as_ref()),
            ("CGROUP", cgroup.as_str()),
            ("NODE", NODE_ADDRESS),
            ("SERVERS", SERVERS_ADDRESS),
            ("POD_CIDR", POD_CIDR),
        ];
        let values = own.iter().chain(more);
        values.fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout::new("/tmp/x".into()).unwrap()
    }

    #[test]
    fn placeholders_are_filled_and_other_braces_left() {
        let text = layout().render("{{STATE}}/a {{PORT}} {{ .Name }}", &[("PORT", "1")]);
        assert_eq!(text, "/tmp/x/a 1 {{ .Name }}");
    }

    #[test]
    fn a_path_that_would_need_quoting_is_refused() {
        assert!(Layout::new("/tmp/a b".into()).is_err());
        assert!(Layout::new("relative".into()).is_err());
        assert!(Layout::new(format!("/{}", "x".repeat(100)).into()).is_err());
    }

    #[test]
    fn two_state_folders_have_two_cgroups() {
        assert_ne!(layout().cgroup(), Layout::new("/tmp/y".into()).unwrap().cgroup());
    }
}
