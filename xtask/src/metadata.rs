//! What cargo knows of the workspace: its targets. Asked of cargo itself, so that nothing here can disagree with it.

use crate::step::{Invocation, root};
use serde::Deserialize;
use std::path::PathBuf;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    rust_version: Option<String>,
    targets: Vec<RawTarget>,
}

#[derive(Deserialize)]
struct RawTarget {
    name: String,
    kind: Vec<String>,
    src_path: PathBuf,
    #[serde(default, rename = "required-features")]
    required_features: Vec<String>,
}

/// Something cargo builds.
pub(crate) struct Target {
    pub(crate) package: String,
    pub(crate) name: String,
    pub(crate) is_example: bool,
    /// The file it starts from, relative to the root of the workspace, with `/`.
    pub(crate) source: String,
    pub(crate) required_features: Vec<String>,
}

pub(crate) struct Workspace {
    pub(crate) targets: Vec<Target>,
    pub(crate) target_directory: PathBuf,
    /// The `rust-version` that the library states.
    pub(crate) rust_version: Option<String>,
}

pub(crate) fn workspace() -> Result<Workspace, String> {
    let invocation = Invocation::cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let text = invocation.output().ok_or_else(|| format!("`{invocation}` failed"))?;
    let metadata: Metadata = serde_json::from_str(&text).map_err(|error| format!("`{invocation}`: {error}"))?;
    let rust_version =
        metadata.packages.iter().find(|package| package.name == "oxifaster").and_then(|own| own.rust_version.clone());
    let root = root();
    let mut targets = Vec::new();
    for package in metadata.packages {
        for target in package.targets {
            let source = target.src_path.strip_prefix(&root).unwrap_or(&target.src_path);
            targets.push(Target {
                package: package.name.clone(),
                is_example: target.kind.iter().any(|kind| kind == "example"),
                source: source.to_string_lossy().replace('\\', "/"),
                name: target.name,
                required_features: target.required_features,
            });
        }
    }
    Ok(Workspace { targets, target_directory: metadata.target_directory, rust_version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_names_the_library_and_this_program() {
        let workspace = workspace().unwrap();
        let sources: Vec<&str> = workspace.targets.iter().map(|target| target.source.as_str()).collect();
        assert!(sources.contains(&"src/lib.rs"), "{sources:?}");
        assert!(sources.contains(&"xtask/src/main.rs"), "{sources:?}");
        assert!(workspace.rust_version.is_some());
    }
}
