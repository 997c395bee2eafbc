//! Builds the programs as those are built that run in production: optimised, with lines, without frame pointers.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::catalogue::{self, Language, Program};
use crate::trouble::Trouble;

/// What runs those that are not built.
const PYTHON: &str = "python3";

/// Where built programs lie.
pub(crate) struct Built {
    target: PathBuf,
}

impl Built {
    /// Builds all of these.
    pub(crate) fn build(programs: &[Program]) -> Result<Built, Trouble> {
        // Beside the runner itself: wherever Cargo was told to build.
        let own = env::current_exe().map_err(|error| Trouble::Undone(format!("where am I? {error}")))?;
        let target = own.ancestors().nth(2).unwrap_or(Path::new("target")).join("corpus-programs");
        std::fs::create_dir_all(&target)
            .map_err(|error| Trouble::Undone(format!("{} could not be made: {error}", target.display())))?;
        let built = Built { target };
        if programs.iter().any(|program| program.language == Language::Rust) {
            run(&mut built.cargo())?;
        }
        for program in programs {
            match program.language {
                Language::C => run(&mut built.compiler(program, "gcc", "-std=c11"))?,
                Language::Cpp => run(&mut built.compiler(program, "g++", "-std=c++17"))?,
                Language::Rust | Language::Python => {}
            }
        }
        Ok(built)
    }

    /// What starts it, without its arguments.
    pub(crate) fn command(&self, program: &Program) -> Vec<PathBuf> {
        match program.language {
            Language::Rust => vec![self.target.join("release").join(&program.name)],
            Language::C | Language::Cpp => vec![self.target.join(&program.name)],
            Language::Python => vec![PathBuf::from(PYTHON), program.source.clone()],
        }
    }

    fn cargo(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--release", "--bins"]);
        cargo.arg("--manifest-path").arg(catalogue::folder().join("Cargo.toml"));
        cargo.arg("--target-dir").arg(&self.target);
        // Flags from the caller's environment would make other programs of them.
        cargo.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTFLAGS");
        cargo
    }

    fn compiler(&self, program: &Program, compiler: &str, standard: &str) -> Command {
        let mut command = Command::new(compiler);
        command.args([standard, "-D_GNU_SOURCE", "-O2", "-g1", "-o"]).arg(self.target.join(&program.name));
        command.arg(&program.source).arg("-lm");
        command
    }
}

fn run(command: &mut Command) -> Result<(), Trouble> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Trouble::Undone(format!("{command:?} failed: {status}; it says above why"))),
        Err(error) => {
            Err(Trouble::Undone(format!("{command:?} could not be started: {error}; is it installed?")))
        }
    }
}
