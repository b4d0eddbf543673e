//! Every service and tool as one binary, for tests that start, kill and restart them.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = shadow_devstack::launcher_requested() {
        return code;
    }
    ExitCode::from(64)
}
