//! A process group: a program and what it started, seen and ended as one.

use std::fs;

use rustix::process::{Pid, Signal, kill_process_group};

/// A group of processes, named by the id of the first.
#[derive(Clone, Copy)]
pub(crate) struct Group(Pid);

/// A living process of a group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// What it holds of the machine's memory. Pages that processes share count for each of them.
    pub(crate) resident_bytes: u64,
}

impl Group {
    /// The group that `leader` leads.
    pub(crate) fn led_by(leader: &std::process::Child) -> Group {
        Group(Pid::from_child(leader))
    }

    /// Tells every process of the group. That none is left is no error: the telling was overtaken.
    pub(crate) fn tell(self, signal: Signal) {
        let _ = kill_process_group(self.0, signal);
    }

    /// Ends every process of the group at once.
    pub(crate) fn kill_all(self) {
        // A group without members has no name any more, and somebody else may be given it.
        if !self.members().is_empty() {
            self.tell(Signal::KILL);
        }
    }

    /// Who lives in the group now. Nobody, where there is no `/proc`.
    pub(crate) fn members(self) -> Vec<Member> {
        let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
        let page_bytes = rustix::param::page_size() as u64;
        // A process that ends while we look is not there any more, which is what we say.
        let stats =
            processes.filter_map(|process| fs::read_to_string(process.ok()?.path().join("stat")).ok());
        stats.filter_map(|stat| member(&stat, self.0.as_raw_nonzero().get(), page_bytes)).collect()
    }
}

/// Reads a line of `/proc/PID/stat`, if it is of a living process of `group`.
fn member(stat: &str, group: i32, page_bytes: u64) -> Option<Member> {
    // The name stands in brackets and may hold any character, brackets too.
    let (name, rest) = (stat.split_once('(')?.1, stat.rsplit_once(") ")?.1);
    let fields: Vec<&str> = rest.split(' ').collect();
    // Numbered from 1 and from the process id on in the manual: 3 state, 5 pgrp, 24 rss.
    let field = |number: usize| fields.get(number - 3).copied();
    if field(3)? == "Z" || field(5)?.parse() != Ok(group) {
        return None;
    }
    let name = name.rsplit_once(')')?.0.to_owned();
    Some(Member { name, resident_bytes: field(24)?.parse::<u64>().ok()? * page_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_process_with_an_awkward_name_and_skips_the_dead() {
        let stat = |state, group| {
            format!(
                "7 (a) b) {state} 1 {group} 7 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 99 4096 3 18446744073709551615 1"
            )
        };
        let expected = Member { name: "a) b".to_owned(), resident_bytes: 3 * 4096 };
        assert_eq!(member(&stat("S", 7), 7, 4096), Some(expected));
        assert_eq!(member(&stat("S", 8), 7, 4096), None, "another group");
        assert_eq!(member(&stat("Z", 7), 7, 4096), None, "dead");
        assert_eq!(member("torn", 7, 4096), None);
    }
}
