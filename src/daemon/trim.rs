//! Gives memory that is free back to the system. glibc keeps what small allocations leave free between larger ones,
//! after a million imported memories some 60 MB of it, until it is asked.
//!
//! `unsafe` because `malloc_trim` is C: it takes a number, touches only what nobody holds, and may be called by any
//! thread at any time (man malloc_trim: MT-Safe). Other systems' allocators give back by themselves.

/// Blocks for some milliseconds.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn give_back() {
    unsafe extern "C" {
        fn malloc_trim(pad: usize) -> i32;
    }
    // SAFETY: see above; the declaration is that of malloc.h.
    unsafe { malloc_trim(0) };
}

/// Nothing to do.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back() {}
