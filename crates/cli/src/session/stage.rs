//! What must be there before a program is started under the profiler: the library as a file, and a socket that it
//! registers at.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::SigSet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::child::{Additions, Child, Output, wants_python_malloc};
use super::program::Program;
use super::sample::Sample;
use crate::exit::Failure;
use crate::keeper::images::IMAGES_MAX;
use crate::keeper::library::LIBRARY;
use crate::keeper::place::Place;
use crate::keeper::post::Post;

/// What is said when Python's allocator is changed.
pub(crate) const PYTHON_NOTE: &str = "PYTHONMALLOC=malloc is set, so that each of Python's objects is seen; it is \
                                      slower, and --keep-pymalloc leaves it out";
/// What we have open besides two descriptors for each process: the socket and its callers, files, signals.
const DESCRIPTORS_BESIDES: u64 = 128;

/// How a program is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looks {
    pub(crate) sample: Sample,
    /// The unit of ages: whole milliseconds, up to an hour.
    pub(crate) epoch: Duration,
    /// Leave Python its own allocator.
    pub(crate) keep_pymalloc: bool,
    pub(crate) output: Output,
}

/// Everything that a program finds when it starts.
pub(crate) struct Stage {
    place: Place,
    preload: PathBuf,
    post: Post,
}

impl Stage {
    pub(crate) fn open() -> Result<Stage, Failure> {
        if LIBRARY.is_empty() {
            return Err(Failure::could_not(
                "this plimsoll was built without the library that it would put before the program: only that for \
                 x86-64 Linux with glibc has it",
            ));
        }
        let place = Place::open()?;
        let preload = place.unpack(LIBRARY)?;
        let post = Post::open(&place)?;
        Ok(Stage { place, preload, post })
    }

    pub(crate) fn post(&self) -> &Post {
        &self.post
    }

    /// Nobody is listened to from here on, so nobody should call.
    pub(crate) fn close(self) -> Place {
        self.place
    }

    /// Starts the program, and says whether Python's allocator was changed for it.
    pub(crate) fn start(
        &self,
        program: &Program,
        command: &[OsString],
        looks: &Looks,
        mask: &SigSet,
    ) -> Result<(Child, bool), Failure> {
        let python_malloc = wants_python_malloc(program, looks.keep_pymalloc);
        let additions = Additions {
            preload: &self.preload,
            socket: self.post.path(),
            sample: looks.sample,
            epoch: looks.epoch,
            python_malloc,
        };
        Ok((Child::start(program, command, Some(&additions), mask, looks.output)?, python_malloc))
    }
}

/// For how many processes there are descriptors, when the limit is raised as far as it may be. To be called when the
/// program runs: it has the limit that we got.
pub(crate) fn room_for_images() -> usize {
    let wanted = IMAGES_MAX as u64 * 2 + DESCRIPTORS_BESIDES;
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    let raised = limit.maximum.unwrap_or(u64::MAX).min(wanted);
    let have = if current < raised
        && setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum }).is_ok()
    {
        raised
    } else {
        current
    };
    usize::try_from(have.saturating_sub(DESCRIPTORS_BESIDES) / 2).unwrap_or(IMAGES_MAX)
}
