//! What is made of files and made again when they change.
//!
//! Guarantee: there is always one that works. A change that does not is reported once, and tried again until the files are
//! whole: the certificate and its key are seldom written in one step.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::TlsError;
use super::files::{Pem, digest};

/// When something is made of files: how strict to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// Nothing serves yet: a certificate that has run out is better than no service.
    Start,
    /// Something serves: only the better may replace it.
    Change,
}

/// What a look at the files came to.
#[derive(Debug)]
pub(super) enum Look {
    /// As before.
    Same,
    /// The new is in force.
    Replaced,
    /// The old stays in force.
    Refused(TlsError),
}

/// How certificates stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// How often they were replaced.
    pub replaced: u64,
    /// Whether the files, as they were last looked at, cannot be used; the old certificates are in force then.
    pub refused: bool,
}

type Make<T> = Box<dyn Fn(&[Pem], Occasion) -> Result<T, TlsError> + Send + Sync>;

/// Something made of files.
pub(super) struct Reloading<T> {
    files: Vec<PathBuf>,
    make: Make<T>,
    current: RwLock<Arc<T>>,
    digest: Mutex<u64>,
    /// Counts replacements.
    generation: watch::Sender<u64>,
    /// Whether the files as they are now cannot be used.
    refused: AtomicBool,
}

impl<T: Send + Sync + 'static> Reloading<T> {
    /// Makes it for the first time. `make` gets the files in the order given here.
    pub(super) fn load(
        files: Vec<PathBuf>,
        make: impl Fn(&[Pem], Occasion) -> Result<T, TlsError> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        let read = read(&files)?;
        let current = RwLock::new(Arc::new(make(&read, Occasion::Start)?));
        let digest = Mutex::new(digest(&read));
        Ok(Self {
            files,
            make: Box::new(make),
            current,
            digest,
            generation: watch::Sender::new(0),
            refused: AtomicBool::new(false),
        })
    }

    /// What is in force.
    pub(super) fn current(&self) -> Arc<T> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the files now. Blocks on the disk.
    pub(super) fn look(&self) -> Look {
        // Held throughout, so that two looks cannot put the older state over the newer.
        let mut digest = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
        let remade = self.remake(&mut digest);
        self.refused.store(remade.is_err(), Ordering::Relaxed);
        match remade {
            Ok(None) => Look::Same,
            Ok(Some(made)) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(made);
                self.generation.send_modify(|count| *count += 1);
                Look::Replaced
            }
            Err(error) => Look::Refused(error),
        }
    }

    fn remake(&self, known: &mut u64) -> Result<Option<T>, TlsError> {
        let read = read(&self.files)?;
        let found = digest(&read);
        if found == *known {
            return Ok(None);
        }
        let made = (self.make)(&read, Occasion::Change)?;
        *known = found;
        Ok(Some(made))
    }

    /// How it stands.
    pub(super) fn standing(&self) -> Standing {
        Standing { replaced: *self.generation.borrow(), refused: self.refused.load(Ordering::Relaxed) }
    }

    #[cfg(test)]
    pub(super) fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Looks at the files every so often, and on SIGHUP, until `shutdown`. Without files it does nothing.
    ///
    /// # Errors
    /// When the operating system refuses the signal handler.
    pub(super) fn watch(self: Arc<Self>, every: Duration, shutdown: CancellationToken) -> io::Result<JoinHandle<()>> {
        let mut hangup = signal(SignalKind::hangup())?;
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(tokio::spawn(async move {
            let mut told = None;
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    _ = ticks.tick(), if !self.files.is_empty() => {}
                    Some(()) = hangup.recv() => {
                        tracing::info!("SIGHUP: looking at the certificates");
                        told = None;
                    }
                }
                let files = self.clone();
                // It only fails when the runtime ends.
                let Ok(look) = spawn_blocking(move || files.look()).await else { return };
                report(look, &mut told);
            }
        }))
    }
}

/// Logs what is new: the same complaint is made once.
fn report(look: Look, told: &mut Option<String>) {
    match look {
        Look::Same => *told = None,
        Look::Replaced => {
            *told = None;
            tracing::info!("new certificates are in force for new connections");
        }
        Look::Refused(error) => {
            let cause = error.to_string();
            if told.as_ref() != Some(&cause) {
                let remedy = error.remedy();
                tracing::error!(cause, remedy, "changed certificates are not used, the old ones stay in force");
                *told = Some(cause);
            }
        }
    }
}

fn read(files: &[PathBuf]) -> Result<Vec<Pem>, TlsError> {
    files.iter().map(|file| Pem::read(file)).collect()
}
