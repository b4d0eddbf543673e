//! The stub's process; see the crate's documentation for the flow.

fn main() -> std::process::ExitCode {
    shadow_stub::main_with(std::env::args_os())
}
