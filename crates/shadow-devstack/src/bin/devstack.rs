//! The smallest owner of a stack: starts one, prints where it answers, and holds it until it is told to end.
//!
//! It ends when its standard input closes, or on Ctrl-C. The crate's tests use it as an owner that can be killed, and
//! as the launcher; it takes an optional data directory.

use std::io::Write;
use std::process::ExitCode;

use shadow_devstack::{Devstack, DevstackError, Progress};

fn main() -> ExitCode {
    if let Some(code) = shadow_devstack::launcher_requested() {
        return code;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let held = runtime
        .map_err(|source| DevstackError::Io { doing: "start the runtime".into(), source })
        .and_then(|runtime| runtime.block_on(hold()));
    match held {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error closed, the exit code still tells.
            let _ = writeln!(std::io::stderr(), "devstack: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn hold() -> Result<(), DevstackError> {
    let mut builder = Devstack::builder().progress(Progress::Bars);
    if let Some(dir) = std::env::args_os().nth(1) {
        builder = builder.data_dir(dir.into());
    }
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let stack = tokio::select! {
        stack = builder.start() => stack?,
        _ = &mut interrupted => return Ok(()),
    };
    let place = format!("SHADOW_KAFKA_BROKERS={} SHADOW_CLICKHOUSE_URL={}\n", stack.brokers(), stack.clickhouse_url());
    let mut stdout = std::io::stdout();
    stdout
        .write_all(place.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|source| DevstackError::Io { doing: "write to standard output".into(), source })?;
    let (closing, closed) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // However reading ends, nobody is left to hold the stack for.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = closing.send(());
    });
    tokio::select! {
        _ = closed => {}
        _ = &mut interrupted => {}
    }
    stack.stop().await;
    Ok(())
}
