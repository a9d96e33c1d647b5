//! The programs of the node and their arguments. Pure.

use std::path::Path;

use crate::cluster::layout::{API_PORT, Layout, NODE_ADDRESS, NODE_NAME, SERVICE_CIDR};
use crate::tools::Tools;

const ETCD: &str = "http://127.0.0.1:2379";

/// A program that runs as long as the cluster.
#[derive(Debug, Clone)]
pub(super) struct Component {
    pub(super) name: &'static str,
    pub(super) command: Vec<String>,
}

impl Component {
    pub(super) fn new(name: &'static str, command: Vec<String>) -> Self {
        Self { name, command }
    }
}

/// What the API server needs, the API server, and the way to it from outside.
pub(super) fn first(layout: &Layout, tools: &Tools) -> Vec<Component> {
    vec![
        etcd(layout, tools),
        Component::new("containerd", words("containerd", &["-c", "containerd.toml"])),
        api_server(layout, tools),
        api_socket(layout),
    ]
}

/// What needs a ready API server.
pub(super) fn second(layout: &Layout, tools: &Tools) -> Vec<Component> {
    let kubeconfig = format!("--kubeconfig={}", text(&layout.path("admin.kubeconfig")));
    vec![
        kubelet(layout, tools),
        Component::new("coredns", words(&text(&tools.coredns), &["-conf", "Corefile"])),
        Component::new(
            "kube-proxy",
            words(
                &text(&tools.kubernetes("kube-proxy")),
                &["--config=kube-proxy.yaml", &format!("--hostname-override={NODE_NAME}")],
            ),
        ),
        controller_manager(tools, &kubeconfig),
        Component::new(
            "kube-scheduler",
            words(&text(&tools.kubernetes("kube-scheduler")), &[&kubeconfig, "--leader-elect=false"]),
        ),
    ]
}

fn etcd(layout: &Layout, tools: &Tools) -> Component {
    let data = text(&layout.path("etcd"));
    let peers = "http://127.0.0.1:2380";
    let arguments = [
        "--data-dir",
        &data,
        "--listen-client-urls",
        ETCD,
        "--advertise-client-urls",
        ETCD,
        "--listen-peer-urls",
        peers,
        "--unsafe-no-fsync",
    ];
    Component::new("etcd", words(&text(&tools.etcd), &arguments))
}

fn api_server(layout: &Layout, tools: &Tools) -> Component {
    let pki = |file: &str| text(&layout.path("pki").join(file));
    let arguments = [
        format!("--etcd-servers={ETCD}"),
        "--bind-address=0.0.0.0".into(),
        format!("--secure-port={API_PORT}"),
        format!("--advertise-address={NODE_ADDRESS}"),
        format!("--tls-cert-file={}", pki("apiserver.crt")),
        format!("--tls-private-key-file={}", pki("apiserver.key")),
        format!("--client-ca-file={}", pki("ca.crt")),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-signing-key-file={}", pki("sa.key")),
        format!("--service-account-key-file={}", pki("sa.pub")),
        format!("--service-cluster-ip-range={SERVICE_CIDR}"),
        "--authorization-mode=Node,RBAC".into(),
        "--kubelet-preferred-address-types=InternalIP".into(),
        "--allow-privileged=true".into(),
        format!("--kubelet-client-certificate={}", pki("admin.crt")),
        format!("--kubelet-client-key={}", pki("admin.key")),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Component::new("apiserver", words(&text(&tools.kubernetes("kube-apiserver")), &arguments))
}

fn controller_manager(tools: &Tools, kubeconfig: &str) -> Component {
    let arguments = [
        kubeconfig,
        "--service-account-private-key-file=pki/sa.key",
        "--root-ca-file=pki/ca.crt",
        "--use-service-account-credentials=true",
        "--allocate-node-cidrs=false",
        "--leader-elect=false",
    ];
    Component::new("controller-manager", words(&text(&tools.kubernetes("kube-controller-manager")), &arguments))
}

fn kubelet(layout: &Layout, tools: &Tools) -> Component {
    let kubeconfig = format!("--kubeconfig={}", text(&layout.path("kubelet.kubeconfig")));
    let name = format!("--hostname-override={NODE_NAME}");
    let address = format!("--node-ip={NODE_ADDRESS}");
    let arguments = ["--config=kubelet.yaml", &kubeconfig, &name, &address];
    Component::new("kubelet", words(&text(&tools.kubernetes("kubelet")), &arguments))
}

/// This very program, which stays the same file even when it is built anew while the cluster runs.
fn api_socket(layout: &Layout) -> Component {
    let socket = text(&layout.api_socket());
    Component::new("api-socket", words("/proc/self/exe", &["cluster-socket", &socket, &API_PORT.to_string()]))
}

fn words(program: &str, arguments: &[&str]) -> Vec<String> {
    std::iter::once(program).chain(arguments.iter().copied()).map(str::to_owned).collect()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
