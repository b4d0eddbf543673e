//! What works behind and beside the hot path does so at lower priority: the masking threads, the Kafka client's threads, and one
//! thread with a runtime of its own for heartbeats and announcements.
//!
//! Guarantee: a thread that was started through here, and every thread it starts, gives way to the traffic when processor time is
//! short. Then masking falls behind first, its bounded queue fills, and what does not fit is a counted drop.

use std::io;
use std::panic::resume_unwind;
use std::thread;

use rustix::process::{getpriority_process, setpriority_process};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The runtime beside the traffic. It ends when this is dropped.
pub(crate) struct Beside {
    nice: u8,
    runtime: Handle,
    _end: oneshot::Sender<()>,
}

impl Beside {
    /// Starts the runtime's thread.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub(crate) fn start(nice: u8) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        thread::Builder::new().name("beside".to_owned()).spawn(move || {
            give_way(nice);
            // Its sender is only ever dropped.
            let _ = runtime.block_on(ended);
            // The resolver may still be busy on a thread of its own.
            runtime.shutdown_background();
        })?;
        Ok(Self { nice, runtime: handle, _end: end })
    }

    /// Does something that starts threads or tasks: they are of lower priority, and on this runtime.
    pub(crate) fn run<T: Send>(&self, start: impl FnOnce() -> T + Send) -> T {
        let lowered = || {
            give_way(self.nice);
            let _entered = self.runtime.enter();
            start()
        };
        thread::scope(|scope| scope.spawn(lowered).join().unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

/// Lowers the priority of this thread and of all that it will start. Where it is lower already, it stays so: raising it is a
/// privilege.
fn give_way(nice: u8) {
    // Elsewhere than on Linux priority is the process's, not the thread's.
    if !cfg!(target_os = "linux") {
        return;
    }
    let wanted = i32::from(nice);
    let lower = |now| if now < wanted { setpriority_process(None, wanted) } else { Ok(()) };
    if let Err(error) = getpriority_process(None).and_then(lower) {
        tracing::warn!(%error, nice, "cannot lower a thread's priority; it competes with the traffic");
    }
}
