//! The capture agent. See the library's documentation for the flow.
fn main() -> std::process::ExitCode {
    capture_agent::main_with(std::env::args_os())
}
