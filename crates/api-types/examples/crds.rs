//! Writes the CRDs to `crds/` and to the chart; with `--check` fails when a file differs.

use std::{fs, path::Path, process::ExitCode};

use api_types::crd_manifests;

const FOLDERS: [&str; 2] = ["crds", "charts/db-operators/files/crds"];

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let check = std::env::args().any(|argument| argument == "--check");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut stale = Vec::new();
    for manifest in crd_manifests() {
        let yaml = serde_norway::to_string(&manifest.crd)?;
        for folder in FOLDERS {
            let name = format!("{folder}/{}", manifest.file_name);
            let path = root.join(&name);
            if fs::read_to_string(&path).ok().as_deref() == Some(yaml.as_str()) {
                continue;
            }
            if check {
                stale.push(name);
                continue;
            }
            fs::create_dir_all(root.join(folder))?;
            fs::write(&path, &yaml)?;
            println!("wrote {name}");
        }
    }
    if stale.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("out of date: {}; run `cargo xtask codegen`", stale.join(", "));
    Ok(ExitCode::FAILURE)
}
