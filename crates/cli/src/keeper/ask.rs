//! The tables of a process that some recorder has: who may ask, and whom.

use std::fs::File;
use std::io::Read;

use plimsoll_heap::image::Image;
use rustix::process::geteuid;

use crate::exit::Failure;
use crate::keeper::{place, post};

/// The status of a process is a page of text; this is many times as much.
const STATUS_MAX: u64 = 64 << 10;

/// Whose process it is.
pub(crate) struct Owner {
    uid: u32,
    /// Its number in each pid namespace that it is in, from ours inwards.
    pids: Vec<i32>,
}

/// Whose it is, if we may ask about it.
pub(crate) fn owner(pid: i32) -> Result<Owner, Failure> {
    let mut status = String::new();
    let read = File::open(format!("/proc/{pid}/status"))
        .and_then(|file| file.take(STATUS_MAX).read_to_string(&mut status));
    let gone = || Failure::could_not(format!("there is no process {pid}: `ps` lists those that there are"));
    read.map_err(|_| gone())?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|line| {
            line.split_whitespace().filter_map(|word| word.parse::<i64>().ok()).collect::<Vec<_>>()
        })
    };
    let number = |number: i64| u32::try_from(number).ok();
    let uid = field("Uid").and_then(|uids| number(*uids.first()?)).ok_or_else(gone)?;
    let pids =
        field("NSpid").unwrap_or_default().into_iter().filter_map(|pid| i32::try_from(pid).ok()).collect();
    let ours = geteuid();
    if !ours.is_root() && ours.as_raw() != uid {
        return Err(Failure::could_not(format!(
            "process {pid} belongs to another user (uid {uid}): ask as that user, or as root"
        )));
    }
    Ok(Owner { uid, pids })
}

/// Asks each recorder that may have it, and returns nothing if none has: those of the process's user, and our own, which may have started a program
/// that became another user.
pub(crate) fn find(pid: i32, owner: &Owner) -> Result<Option<Image>, Failure> {
    let mut users = vec![owner.uid, geteuid().as_raw()];
    users.dedup();
    let mut unreadable = None;
    for user in users {
        for directory in place::candidates(user).iter().filter(|directory| place::is_of(directory, user)) {
            for socket in place::sockets(directory) {
                // One that does not answer is one that has it not: it may just be ending.
                let Ok(Some(tables)) = post::ask(&socket, pid) else { continue };
                match Image::map(&tables) {
                    Ok(image) if image.process().pid == pid || owner.pids.contains(&image.process().pid) => {
                        return Ok(Some(image));
                    }
                    Ok(_) => {}
                    Err(error) => unreadable = Some(error),
                }
            }
        }
    }
    match unreadable {
        Some(error) => Err(Failure::could_not(format!(
            "the tables of process {pid} cannot be read ({error}): use the version of plimsoll that records it"
        ))),
        None => Ok(None),
    }
}
