//! The workspace as Cargo sees it: where it stands, where it builds, who imports whom.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::shell;
use crate::trouble::Trouble;

/// The workspace.
pub(crate) struct House {
    /// The folder of the workspace's Cargo.toml.
    pub(crate) root: PathBuf,
    /// Where Cargo builds; somewhere else than `target/` when CARGO_TARGET_DIR says so.
    pub(crate) target: PathBuf,
    /// The members, by name.
    pub(crate) packages: Vec<Package>,
}

/// A member of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its Cargo.toml, from the root.
    pub(crate) manifest: String,
    /// The members that it imports.
    pub(crate) imports: Vec<Import>,
}

/// One member importing another.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) name: String,
    pub(crate) kind: ImportKind,
}

/// What an import is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImportKind {
    /// It is part of what is shipped, or of building that.
    Shipped,
    /// Only tests, benches and examples see it.
    Test,
}

impl House {
    /// Asks Cargo about the workspace of the present folder.
    pub(crate) fn open() -> Result<House, Trouble> {
        let mut cargo = Command::new("cargo");
        let json = shell::printed(cargo.args(["metadata", "--format-version", "1", "--no-deps"]))?;
        House::from_metadata(&json).ok_or_else(|| {
            Trouble::Undone(format!(
                "`{}`: its answer lacks a field that is read here; see House::from_metadata",
                shell::typed(&cargo)
            ))
        })
    }

    fn from_metadata(json: &str) -> Option<House> {
        let metadata: Value = serde_json::from_str(json).ok()?;
        let root = PathBuf::from(metadata["workspace_root"].as_str()?);
        let target = PathBuf::from(metadata["target_directory"].as_str()?);
        let packages = metadata["packages"].as_array()?;
        let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
        let packages =
            packages.iter().map(|package| read_package(package, &root, &names)).collect::<Option<_>>()?;
        Some(House { root, target, packages })
    }

    /// The folder of the member `name`.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, Trouble> {
        let found = self.packages.iter().find(|package| package.name == name);
        let found = found.and_then(|package| Path::new(&package.manifest).parent());
        found.map(|folder| self.root.join(folder)).ok_or_else(|| {
            Trouble::Undone(format!("the workspace has no package `{name}`; correct the list that names it"))
        })
    }

    /// The shipped program, as a release build leaves it.
    pub(crate) fn release_binary(&self) -> PathBuf {
        self.target.join("release").join(format!("plimsoll{}", std::env::consts::EXE_SUFFIX))
    }
}

fn read_package(package: &Value, root: &Path, members: &[&str]) -> Option<Package> {
    let manifest = Path::new(package["manifest_path"].as_str()?);
    let manifest = manifest.strip_prefix(root).unwrap_or(manifest);
    let mut imports = Vec::new();
    for dependency in package["dependencies"].as_array()? {
        let name = dependency["name"].as_str()?;
        if members.contains(&name) {
            let test = dependency["kind"].as_str() == Some("dev");
            let kind = if test { ImportKind::Test } else { ImportKind::Shipped };
            imports.push(Import { name: name.to_owned(), kind });
        }
    }
    Some(Package {
        name: package["name"].as_str()?.to_owned(),
        manifest: manifest.to_str()?.to_owned(),
        imports,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_imports_between_members_and_no_others() {
        let json = r#"{"workspace_root": "/w", "target_directory": "/t", "packages": [
            {"name": "a", "manifest_path": "/w/crates/a/Cargo.toml", "dependencies": [
                {"name": "b", "kind": null}, {"name": "b", "kind": "dev"},
                {"name": "b", "kind": "build"}, {"name": "bytes", "kind": null}]},
            {"name": "b", "manifest_path": "/w/crates/b/Cargo.toml", "dependencies": []}]}"#;
        let house = House::from_metadata(json).expect("it is complete");
        assert_eq!(house.folder("b").expect("it is a member"), Path::new("/w/crates/b"));
        let [a, b] = &house.packages[..] else { panic!("two members: {:?}", house.packages) };
        assert_eq!((a.manifest.as_str(), b.imports.len()), ("crates/a/Cargo.toml", 0));
        let imports: Vec<_> = a.imports.iter().map(|import| (import.name.as_str(), import.kind)).collect();
        assert_eq!(
            imports,
            [("b", ImportKind::Shipped), ("b", ImportKind::Test), ("b", ImportKind::Shipped)]
        );
    }
}
