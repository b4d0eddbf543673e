//! The one page that an account's counters live in: of a file, so that they outlive the process, or of memory.
//!
//! Guarantee: counting is one atomic addition to mapped memory: no lock, no system call, no way to fail. The pages of a shared
//! mapping belong to the kernel's page cache, so a process that is killed loses nothing that it counted.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::atomic::AtomicU64;

use memmap2::{MmapOptions, MmapRaw};

/// Bytes of the page, and of an account's file.
pub(crate) const LEN: usize = 4096;
/// Bytes before the first slot; they are written as a file and never touched through the mapping.
pub(super) const HEADER: usize = 1024;
/// Bytes of one slot: a cache line, so that threads that count different things do not disturb each other.
pub(super) const SLOT: usize = 64;
/// Slots of a page.
pub(super) const SLOTS: usize = (LEN - HEADER) / SLOT;
/// Where in its slot a counter stands; its name stands before it.
pub(super) const VALUE: usize = SLOT - size_of::<u64>();

/// The page as the processor sees it.
#[repr(C, align(64))]
struct Words([AtomicU64; LEN / size_of::<u64>()]);

/// Counters, wherever they are kept.
pub(super) struct Page(Place);

enum Place {
    Memory(Box<Words>),
    Mapped(MmapRaw),
}

impl Page {
    /// Zeroes that end with the process.
    pub(super) fn in_memory() -> Self {
        Self(Place::Memory(Box::new(Words([const { AtomicU64::new(0) }; LEN / size_of::<u64>()]))))
    }

    /// The page of an account's file, whose blocks are reserved.
    ///
    /// # Errors
    /// A file of another length, or one that the system does not map.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() != LEN as u64 {
            return Err(io::Error::other("the file is not as long as an account"));
        }
        // Present from the start: the first request must not wait for a page fault.
        Ok(Self(Place::Mapped(MmapOptions::new().len(LEN).populate().map_raw(file)?)))
    }

    /// The counter of a slot.
    ///
    /// # Panics
    /// Beyond [`SLOTS`]; callers count with constants.
    pub(super) fn counter(&self, slot: usize) -> &AtomicU64 {
        assert!(slot < SLOTS, "an account has {SLOTS} counters");
        &self.words().0[(HEADER + slot * SLOT + VALUE) / size_of::<u64>()]
    }

    #[allow(unsafe_code, reason = "a mapped page can only be reached through a pointer; see docs/adr/0010")]
    fn words(&self) -> &Words {
        match &self.0 {
            Place::Memory(words) => words,
            // SAFETY:
            // - The mapping is `LEN` bytes long, which is the size of `Words`, starts at a page's boundary, which is aligned
            //   better than `Words`, and lives as long as `self`, from which the reference borrows.
            // - Any bytes are valid `AtomicU64`s, and atomics may be changed by others (another mapping of the same file) while
            //   a shared reference exists. Nobody holds the page as anything but atomics: it is private to this module.
            // - Access cannot fail for want of space: the file's blocks were reserved before it was mapped (`file`). Cutting the
            //   file short under a running agent would end it with SIGBUS; only its own user and root may open it (mode 0600),
            //   and they can as well kill it. Removing the file is harmless: the mapping keeps it.
            Place::Mapped(map) => unsafe { &*map.as_ptr().cast::<Words>() },
        }
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Place::Memory(_) => "Page in memory",
            Place::Mapped(_) => "Page of a file",
        })
    }
}

const _: () =
    assert!(size_of::<Words>() == LEN && align_of::<Words>() <= LEN && VALUE.is_multiple_of(size_of::<u64>()));

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn what_is_counted_in_a_mapped_page_stands_in_its_file() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(LEN as u64).unwrap();
        let (page, again) = (Page::of(&file).unwrap(), Page::of(&file).unwrap());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        page.counter(SLOTS - 1).fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(again.counter(SLOTS - 1).load(Ordering::Relaxed), 20_000);
        let mut bytes = [0; 8];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, (LEN - 8) as u64).unwrap();
        assert_eq!(u64::from_ne_bytes(bytes), 20_000);
    }

    #[test]
    fn a_file_of_another_length_is_not_mapped() {
        let file = tempfile::tempfile().unwrap();
        for length in [0, LEN as u64 - 1, LEN as u64 + 1] {
            file.set_len(length).unwrap();
            assert!(Page::of(&file).is_err(), "{length}");
        }
    }
}
