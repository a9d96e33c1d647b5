//! What clients reach. Pure.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::names::Names;

/// Name of the port in pods and Service.
pub const PORT_NAME: &str = "http";

/// The Service of an instance.
#[must_use]
pub fn service(names: &Names, owner: &OwnerReference, port: u16) -> Service {
    Service {
        metadata: names.owned(names.service(), owner),
        spec: Some(ServiceSpec {
            selector: names.label_selector().match_labels,
            ports: Some(vec![ServicePort {
                name: Some(PORT_NAME.to_owned()),
                port: i32::from(port),
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::String(PORT_NAME.to_owned())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// The host names under which DBHub answers: those of the Service, as short as the cluster's search path allows, and
/// what the instance adds.
#[must_use]
pub fn allowed_hosts(names: &Names, cluster_domain: &str, added: &[String]) -> String {
    let service = names.service_host();
    let mut hosts = vec![
        names.instance().to_owned(),
        format!("{}.{}", names.instance(), names.namespace()),
        service.clone(),
        format!("{service}.{cluster_domain}"),
    ];
    hosts.extend_from_slice(added);
    hosts.join(",")
}
