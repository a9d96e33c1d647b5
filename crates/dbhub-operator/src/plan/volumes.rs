//! The volumes of a DBHub pod and where they are mounted, each of them read only. Pure.

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, PersistentVolumeClaimVolumeSource, Volume as PodVolume, VolumeMount,
};

use super::files::{CA_FOLDER, CONFIG_KEY, CONFIG_PATH, sqlite_folder};
use super::names::Names;
use crate::validate::file::Volume;
use crate::validate::source::{Backend, Source};

/// The configuration, the CA files if there are any, and the volumes with SQLite files.
#[must_use]
pub fn volumes(names: &Names, sources: &[Source]) -> (Vec<PodVolume>, Vec<VolumeMount>) {
    let needs_ca = sources.iter().any(|source| match &source.backend {
        Backend::Server(server) => server.tls.ca().is_some(),
        Backend::Memory | Backend::File(_) => false,
    });
    let config = (config_map("config", names.config(), None), mount("config", CONFIG_PATH, Some(CONFIG_KEY)));
    let ca = needs_ca.then(|| (config_map("ca", names.ca(), None), mount("ca", CA_FOLDER, None)));
    std::iter::once(config).chain(ca).chain(files(sources)).unzip()
}

fn files(sources: &[Source]) -> impl Iterator<Item = (PodVolume, VolumeMount)> {
    let files = sources.iter().filter_map(|source| match &source.backend {
        Backend::File(file) => Some((source, file)),
        Backend::Server(_) | Backend::Memory => None,
    });
    files.enumerate().map(|(index, (source, file))| {
        // A Database's name may be too long for the name of a volume.
        let name = format!("sqlite-{index}");
        let volume = match &file.volume {
            // One that is deleted while pods start is left out of them, and the next pass leaves the Database out.
            Volume::ConfigMap(map) => config_map(&name, map.clone(), Some(true)),
            Volume::Claim(claim) => self::claim(&name, claim.clone()),
        };
        let mount = mount(&name, &sqlite_folder(&source.id), None);
        (volume, mount)
    })
}

/// A file is mounted by itself, not its folder: DBHub reloads a file that changes under it, once, and drops every
/// connection doing so.
fn mount(name: &str, path: &str, file: Option<&str>) -> VolumeMount {
    VolumeMount {
        mount_path: path.to_owned(),
        name: name.to_owned(),
        read_only: Some(true),
        sub_path: file.map(str::to_owned),
        ..VolumeMount::default()
    }
}

fn config_map(name: &str, map: String, optional: Option<bool>) -> PodVolume {
    let source = ConfigMapVolumeSource { name: map, optional, ..ConfigMapVolumeSource::default() };
    PodVolume { name: name.to_owned(), config_map: Some(source), ..PodVolume::default() }
}

fn claim(name: &str, claim: String) -> PodVolume {
    let source = PersistentVolumeClaimVolumeSource { claim_name: claim, read_only: Some(true) };
    PodVolume { name: name.to_owned(), persistent_volume_claim: Some(source), ..PodVolume::default() }
}
