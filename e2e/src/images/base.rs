//! The base of all other images: glibc, CA certificates, time zones and three accounts, put together from Debian's own
//! packages. No shell, no package manager.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use super::{ImageFile, Recipe};
use crate::cache::{Cache, Key};
use crate::command;
use crate::progress::Progress;

const DOCKERFILE: &str = include_str!("../../files/images/Base.Dockerfile");
const PACKAGES: [&str; 6] = ["libc6", "libgcc-s1", "ca-certificates", "netbase", "base-files", "tzdata"];
const DEADLINE: Duration = Duration::from_mins(5);

/// Files that the packages' installation scripts would make.
const FILES: [(&str, &str); 3] = [
    ("etc/passwd", include_str!("../../files/images/passwd")),
    ("etc/group", include_str!("../../files/images/group")),
    ("etc/nsswitch.conf", include_str!("../../files/images/nsswitch.conf")),
];

/// Home folders and their owners.
const HOMES: [(&str, u32); 2] = [("home/nonroot", 65532), ("home/app", 1000)];

/// What no program in a container reads.
const TRIMMED: &[&str] = &[
    "etc/ca-certificates",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/sbin",
    "usr/share/base-files",
    "usr/share/bug",
    "usr/share/ca-certificates",
    "usr/share/common-licenses",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/tzdata",
    "usr/share/zoneinfo/posix",
    "usr/share/zoneinfo/right",
];

pub(super) async fn ensure(cache: &Cache, progress: Progress) -> Result<ImageFile> {
    let release = fs::read_to_string("/etc/debian_version").context("the base image is made on Debian only")?;
    let files = FILES.iter().fold(Key::default(), |key, (path, content)| key.with(path).with(content));
    let key = files.with(DOCKERFILE).with(PACKAGES.join(" ")).with(TRIMMED.join(" ")).with(release).finish();
    let recipe = Recipe { name: "base", key, tags: &["localhost/base:nonroot"] };
    let log = cache.log("image-base")?;
    super::ensure(&recipe, cache, progress, async |folder| fill(folder, &log).await).await
}

async fn fill(folder: &Path, log: &Path) -> Result<()> {
    fs::write(folder.join("Dockerfile"), DOCKERFILE)?;
    let packages = download(folder, log).await?;
    let root = folder.join("root");
    for package in &packages {
        unpack(package, &root, log).await?;
    }
    write_certificates(&root)?;
    for (path, content) in FILES {
        fs::write(root.join(path), content)?;
    }
    for (home, owner) in HOMES {
        fs::create_dir_all(root.join(home))?;
        chown(root.join(home), Some(owner), Some(owner)).context("making the base image needs root")?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    trim(&root)
}

/// Package lists may be missing on a machine that has never installed anything.
async fn download(folder: &Path, log: &Path) -> Result<Vec<PathBuf>> {
    let target = folder.join("packages");
    fs::create_dir_all(&target)?;
    let apt = async |program: &str, arguments: &[&str]| {
        let mut apt = Command::new(program);
        apt.current_dir(&target).args(["-q", "-o", "APT::Sandbox::User=root"]).args(arguments);
        command::run(&mut apt, log, DEADLINE).await
    };
    let wanted = [&["download"], &PACKAGES[..]].concat();
    if apt("apt-get", &wanted).await.is_err() {
        apt("apt-get", &["update"]).await?;
        apt("apt-get", &wanted).await?;
    }
    let mut packages: Vec<PathBuf> = fs::read_dir(&target)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    packages.sort();
    Ok(packages)
}

async fn unpack(package: &Path, root: &Path, log: &Path) -> Result<()> {
    command::run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(root), log, DEADLINE).await?;
    // Scanners read here which packages a base without dpkg is made of.
    let status = root.join("var/lib/dpkg/status.d");
    fs::create_dir_all(&status)?;
    let fields = command::output(Command::new("dpkg-deb").arg("--field").arg(package), DEADLINE).await?;
    let name = fields.lines().find_map(|line| line.strip_prefix("Package: ")).context("a package without a name")?;
    Ok(fs::write(status.join(name), &fields)?)
}

/// One bundle of all certificates, as `update-ca-certificates` would write it.
fn write_certificates(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    collect_files(&root.join("usr/share/ca-certificates"), &mut files)?;
    files.sort();
    let certificates: Vec<String> = files.iter().map(fs::read_to_string).collect::<Result<_, _>>()?;
    fs::create_dir_all(root.join("etc/ssl/certs"))?;
    Ok(fs::write(root.join("etc/ssl/certs/ca-certificates.crt"), certificates.concat())?)
}

fn collect_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { collect_files(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

fn trim(root: &Path) -> Result<()> {
    for path in TRIMMED.iter().map(|path| root.join(path)).filter(|path| path.exists()) {
        fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}
