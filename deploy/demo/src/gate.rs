//! The gate, run in a process of its own from this very binary, so that the demo needs nothing else to be built.

use std::ffi::OsString;
use std::process::ExitCode;

pub(crate) fn main(arguments: Vec<OsString>) -> ExitCode {
    let program = OsString::from("tollgate");
    tollgate::cli::main(std::iter::once(program).chain(arguments))
}
