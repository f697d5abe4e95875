//! The `tollgate` program; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    tollgate::cli::main(std::env::args_os())
}
