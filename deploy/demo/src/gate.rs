//! The gate, run in a process of its own from this very binary, so that the demo needs nothing else to be built.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// A gate built elsewhere, to tour that one.
const OTHER: &str = "TOLLGATE_DEMO_GATE";

pub(crate) fn main(arguments: Vec<OsString>) -> ExitCode {
    let Some(program) = std::env::var_os(OTHER) else {
        writeln!(io::stderr(), "set {OTHER} to the path of the gate").ok();
        return ExitCode::FAILURE;
    };
    let error = Command::new(&program).args(arguments).exec();
    writeln!(io::stderr(), "{}: {error}", program.display()).ok();
    ExitCode::FAILURE
}
