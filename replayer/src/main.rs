//! The replayer's process; see the crate's documentation for the flow.

fn main() -> std::process::ExitCode {
    replayer::main_with(std::env::args_os())
}
