//! ClickHouse as a library: loads `libchdb.so` and calls its `clickhouse local` entry. A step of the launcher.
//!
//! The only unsafe code of the workspace. It runs in a process of its own, so that nothing the library does (its
//! threads, its signal handlers, its memory) can touch the owner.
#![allow(unsafe_code, reason = "a C library has no safe entry; this module is the one place that calls one")]

use std::ffi::{CStr, CString, OsString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// Why ClickHouse did not run, or how it ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LibraryError {
    /// The dynamic loader refused the file.
    #[error("cannot load {path}: {source}; remove the file to have it fetched again")]
    Load { path: String, source: libloading::Error },
    /// An argument cannot be passed to C.
    #[error("an argument holds a NUL byte")]
    Argument(#[from] std::ffi::NulError),
    /// ClickHouse reported an error.
    #[error("{0}")]
    ClickHouse(String),
}

/// `struct local_result_v2` of chdb.h.
#[repr(C)]
struct LocalResult {
    buf: *mut c_char,
    len: usize,
    vec: *mut c_void,
    elapsed: f64,
    rows_read: u64,
    bytes_read: u64,
    error_message: *mut c_char,
}

type QueryStable = unsafe extern "C" fn(argc: c_int, argv: *mut *mut c_char) -> *mut LocalResult;

/// Runs `clickhouse local` with `args` until it ends.
pub(super) fn run_local(path: &Path, args: Vec<OsString>) -> Result<(), LibraryError> {
    let mut owned = vec![CString::from(c"clickhouse")];
    for arg in args {
        owned.push(CString::new(arg.into_vec())?);
    }
    let mut argv: Vec<*mut c_char> = owned.iter().map(|arg| arg.as_ptr().cast_mut()).collect();
    argv.push(std::ptr::null_mut());
    let load = |source| LibraryError::Load { path: path.display().to_string(), source };

    // SAFETY: loading runs the library's initialisers. The file's SHA-256 is checked when it is fetched, and the
    // launcher has no other threads yet.
    let library = unsafe { libloading::Library::new(path) }.map_err(load)?;
    // SAFETY: `query_stable_v2` has this signature in chdb.h of the pinned version.
    let query = unsafe { library.get::<QueryStable>(c"query_stable_v2") }.map_err(load)?;
    // SAFETY: `argv` holds `owned.len()` NUL-terminated strings that outlive the call, and a final null.
    let result = unsafe { query(owned.len() as c_int, argv.as_mut_ptr()) };
    // SAFETY: the call returns null or a result that stays valid, since it is never freed: the process ends next.
    let message = unsafe { result.as_ref() }
        .filter(|result| !result.error_message.is_null())
        // SAFETY: a non-null message is a NUL-terminated string owned by the result.
        .map(|result| unsafe { CStr::from_ptr(result.error_message) }.to_string_lossy().into_owned());
    // Unloading would run the destructors of a server whose threads may still run.
    std::mem::forget(library);
    message.map_or(Ok(()), |message| Err(LibraryError::ClickHouse(message)))
}
