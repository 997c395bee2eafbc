//! The files that the rules look at, read once. Tests of rules write theirs in memory.

use std::fs;
use std::path::Path;

use crate::trouble::Trouble;

/// Larger files are data, not something that somebody wrote.
const FILE_BYTES_MAX: u64 = 2 << 20;
/// Folders that begin with a dot and are ours all the same.
const DOTTED: [&str; 2] = [".ci", ".cargo"];
/// Written by Cargo.
const LOCK_FILE: &str = "Cargo.lock";

/// Every text file, sorted by path.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) files: Vec<File>,
}

/// One text file.
pub(super) struct File {
    /// From the root, with `/` between folders.
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    /// Whether it is Rust.
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The lines with their numbers, which count from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }
}

impl Tree {
    /// Reads what is under `root`, except what is built, hidden, large or no text.
    pub(super) fn read(root: &Path) -> Result<Tree, Trouble> {
        let mut tree = Tree::default();
        read_folder(root, "", &mut tree).map_err(|error| {
            Trouble::Undone(format!("the tree under {} could not be read: {error}", root.display()))
        })?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    /// A tree of `(path, text)` that is nowhere on disk.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Tree {
        let file = |&(path, text): &(&str, &str)| File { path: path.to_owned(), text: text.to_owned() };
        Tree { files: files.iter().map(file).collect() }
    }

    /// The file at `path`.
    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

fn read_folder(folder: &Path, prefix: &str, tree: &mut Tree) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name());
        // A name that is no text names no file of ours.
        let Some(name) = name.to_str() else { continue };
        let path = format!("{prefix}{name}");
        if kind.is_dir() {
            let built = name == "target" || name.starts_with("target-");
            let hidden = name.starts_with('.') && !DOTTED.contains(&name);
            if !built && !hidden {
                read_folder(&entry.path(), &format!("{path}/"), tree)?;
            }
            continue;
        }
        let wanted = kind.is_file() && name != LOCK_FILE && entry.metadata()?.len() <= FILE_BYTES_MAX;
        if !wanted {
            continue;
        }
        // What is not UTF-8 is no text.
        if let Ok(text) = String::from_utf8(fs::read(entry.path())?) {
            tree.files.push(File { path, text });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_text_and_leaves_out_what_is_built_or_hidden() {
        let root = std::env::temp_dir().join(format!("xtask-tree-{}", std::process::id()));
        for folder in ["crates/a", "target/debug", "target-x", ".git", ".ci"] {
            fs::create_dir_all(root.join(folder)).expect("a temporary folder");
        }
        for file in ["crates/a/lib.rs", "target/debug/x.rs", "target-x/x.rs", ".git/x", ".ci/run"] {
            fs::write(root.join(file), "text").expect("a temporary file");
        }
        fs::write(root.join("picture"), [0xff, 0xfe]).expect("a temporary file");
        let tree = Tree::read(&root);
        fs::remove_dir_all(&root).expect("it was made above");
        let paths: Vec<String> =
            tree.expect("it can be read").files.into_iter().map(|file| file.path).collect();
        assert_eq!(paths, [".ci/run", "crates/a/lib.rs"]);
    }
}
