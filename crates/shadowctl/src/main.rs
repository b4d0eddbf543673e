//! The operator's command line; acts as the development stack's launcher when started as one.

use std::process::ExitCode;

fn main() -> ExitCode {
    shadow_devstack::launcher_requested().unwrap_or_else(|| shadowctl::main_with(std::env::args_os()))
}
