//! The `tollgate` program; all of it is in the library.

use std::process::ExitCode;

/// A tenth of what a call costs is taking and giving back memory; jemalloc does it at half of that, and wastes less beside
/// the buffers of a stream (`benches/README.md`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    tollgate::cli::main(std::env::args_os())
}
