//! Every service and tool as one binary, for tests that start, kill and restart them: the first argument says which.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = shadow_devstack::launcher_requested() {
        return code;
    }
    // What follows the name is what the program itself would have been given, its own name first.
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match args.first().and_then(|name| name.to_str()) {
        Some("capture-agent") => capture_agent::main_with(args),
        Some("replayer") => replayer::main_with(args),
        Some("comparator") => comparator::main_with(args),
        Some("shadow-stub") => shadow_stub::main_with(args),
        Some("shadowctl") => shadowctl::main_with(args),
        _ => ExitCode::from(64),
    }
}
