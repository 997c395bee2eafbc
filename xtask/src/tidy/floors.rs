//! Imports go down only. An edge that runs up or sideways is how a small crate becomes one that nobody can
//! use alone; it is cheap to refuse on the day it is made and dear a year later.

use super::Complaint;
use super::tree::Tree;
use crate::house::{Import, ImportKind, Package};

/// Where this file is, for a complaint about a crate that has no place yet.
const HERE: &str = "xtask/src/tidy/floors.rs";

/// Where a crate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Imports floors below its own.
    Floor(u8),
    /// Re-exports floors up to [`FACADE_TOP`] for users; of the house only the top floor may use it.
    Facade,
    /// Outside the house: imports what it wants, and nobody imports it.
    Workshop,
}

/// Every crate's place, as ARCHITECTURE.md draws it.
const PLACES: [(&str, Place); 15] = [
    ("plimsoll-core", Place::Floor(0)),
    ("plimsoll-heap", Place::Floor(1)),
    ("plimsoll-symbols", Place::Floor(1)),
    ("plimsoll-verdict", Place::Floor(1)),
    ("plimsoll-bounds", Place::Floor(1)),
    ("plimsoll-http", Place::Floor(2)),
    ("plimsoll-watch", Place::Floor(2)),
    ("plimsoll-mcp", Place::Floor(2)),
    ("plimsoll-preload", Place::Floor(2)),
    ("plimsoll-gateway", Place::Floor(3)),
    ("plimsoll-cli", Place::Floor(TOP)),
    ("plimsoll", Place::Facade),
    ("leaky-service", Place::Workshop),
    ("own-allocator", Place::Workshop),
    ("xtask", Place::Workshop),
];
/// The command line.
const TOP: u8 = 4;
/// The highest floor that a library user gets through the facade.
const FACADE_TOP: u8 = 2;
const _: () = assert!(FACADE_TOP < TOP);

/// Crates that any test may import: test kits, when one becomes a crate of its own.
const TEST_KITS: [&str; 0] = [];

fn place(name: &str) -> Option<Place> {
    PLACES.iter().find(|(known, _)| *known == name).map(|&(_, place)| place)
}

/// Complains about crates without a place and imports that do not go down.
pub(super) fn check(packages: &[Package], tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for package in packages {
        let Some(from) = place(&package.name) else {
            complaints.push(Complaint {
                file: package.manifest.clone(),
                line: line_of(tree, &package.manifest, "name"),
                what: format!("the crate `{}` stands on no floor", package.name),
                cure: format!("give it one in {HERE} (PLACES) and in ARCHITECTURE.md"),
            });
            continue;
        };
        for import in &package.imports {
            if let Some(what) = wrong(package, from, import) {
                complaints.push(Complaint {
                    file: package.manifest.clone(),
                    line: line_of(tree, &package.manifest, &import.name),
                    what,
                    cure: "imports go down only: move what is shared to a lower floor, or hand it in \
                           as a value or a trait"
                        .to_owned(),
                });
            }
        }
    }
    complaints
}

/// What is wrong with `import`, if anything is.
fn wrong(package: &Package, from: Place, import: &Import) -> Option<String> {
    let test = import.kind == ImportKind::Test;
    if test && (import.name == package.name || TEST_KITS.contains(&import.name.as_str())) {
        return None;
    }
    // A crate that stands nowhere has its own complaint.
    let to = place(&import.name)?;
    let down = match (from, to) {
        (_, Place::Workshop) => false,
        (Place::Workshop, _) => true,
        (Place::Floor(from), Place::Floor(to)) => to < from,
        (Place::Floor(from), Place::Facade) => from == TOP || test,
        (Place::Facade, Place::Floor(to)) => to <= FACADE_TOP,
        (Place::Facade, Place::Facade) => false,
    };
    let name = |place| match place {
        Place::Floor(number) => format!("floor {number}"),
        Place::Facade => "the facade".to_owned(),
        Place::Workshop => "the workshop".to_owned(),
    };
    (!down).then(|| format!("`{}` ({}) imports `{}` ({})", package.name, name(from), import.name, name(to)))
}

/// The line of `manifest` that begins with the key `key`; 1 when it is not written plainly.
fn line_of(tree: &Tree, manifest: &str, key: &str) -> usize {
    let begins = |line: &str| {
        let rest = line.trim_start().strip_prefix(key);
        rest.is_some_and(|rest| rest.starts_with([' ', '=', '.']))
    };
    let file = tree.file(manifest);
    file.and_then(|file| file.lines().find(|(_, line)| begins(line))).map_or(1, |(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(from: &str, to: &str, kind: ImportKind) -> Vec<Complaint> {
        let package = Package {
            name: from.to_owned(),
            manifest: "crates/x/Cargo.toml".to_owned(),
            imports: vec![Import { name: to.to_owned(), kind }],
        };
        let text = format!("[package]\nname = \"{from}\"\n[dependencies]\n{to}.workspace = true\n");
        check(&[package], &Tree::of(&[("crates/x/Cargo.toml", &text)]))
    }

    fn allowed(from: &str, to: &str, kind: ImportKind) -> bool {
        imports(from, to, kind).is_empty()
    }

    #[test]
    fn down_is_fine_up_and_sideways_are_not() {
        use ImportKind::Shipped;
        assert!(allowed("plimsoll-gateway", "plimsoll-bounds", Shipped));
        assert!(!allowed("plimsoll-bounds", "plimsoll-http", Shipped), "up");
        assert!(!allowed("plimsoll-bounds", "plimsoll-heap", Shipped), "sideways");
        assert!(!allowed("plimsoll-core", "plimsoll-bounds", Shipped), "up from the ground");
    }

    #[test]
    fn the_facade_takes_the_library_floors_and_serves_only_the_top() {
        use ImportKind::{Shipped, Test};
        assert!(allowed("plimsoll", "plimsoll-http", Shipped));
        assert!(!allowed("plimsoll", "plimsoll-gateway", Shipped));
        assert!(allowed("plimsoll-cli", "plimsoll", Shipped));
        assert!(!allowed("plimsoll-http", "plimsoll", Shipped));
        assert!(allowed("plimsoll-http", "plimsoll", Test));
    }

    #[test]
    fn tests_go_down_too_but_may_see_their_own_crate() {
        assert!(allowed("plimsoll-http", "plimsoll-bounds", ImportKind::Test));
        assert!(allowed("plimsoll-http", "plimsoll-http", ImportKind::Test), "with another feature");
        assert!(!allowed("plimsoll-bounds", "plimsoll-cli", ImportKind::Test));
    }

    #[test]
    fn nobody_imports_the_workshop() {
        assert!(allowed("xtask", "plimsoll-cli", ImportKind::Shipped));
        assert!(!allowed("plimsoll-cli", "xtask", ImportKind::Test));
    }

    #[test]
    fn a_complaint_shows_the_line_of_the_import() {
        let complaints = imports("plimsoll-core", "plimsoll-bounds", ImportKind::Shipped);
        let [complaint] = &complaints[..] else { panic!("one complaint: {complaints:?}") };
        assert_eq!((complaint.file.as_str(), complaint.line), ("crates/x/Cargo.toml", 4));
        assert_eq!(complaint.what, "`plimsoll-core` (floor 0) imports `plimsoll-bounds` (floor 1)");
    }

    #[test]
    fn a_crate_without_a_floor_is_told_where_to_get_one() {
        let complaints = imports("plimsoll-new", "plimsoll-core", ImportKind::Shipped);
        let [complaint] = &complaints[..] else { panic!("one complaint: {complaints:?}") };
        assert_eq!(complaint.line, 2);
        assert!(complaint.cure.contains(HERE), "{}", complaint.cure);
        assert!(file!().ends_with("tidy/floors.rs"), "HERE names this file");
    }
}
