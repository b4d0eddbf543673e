//! The launcher alone, for owners that are not an executable of their own: test binaries and benchmarks.
//!
//! See the crate's documentation for what it runs and why nothing outlives the owner.

use std::process::ExitCode;

fn main() -> ExitCode {
    shadow_devstack::launcher_main()
}
