//! Lets go of descriptors that whoever started us left open: as long as a daemon holds the end of somebody's pipe,
//! the reader of its other end waits. This needs `unsafe`, because a descriptor that no value of ours owns can only
//! be named by its number. Nothing of ours is open yet when it runs, so no number can be one of ours.

use std::os::fd::{BorrowedFd, RawFd};

/// Closes everything but standard input, output and error. To be called first, before anything is opened.
pub fn close_all() {
    let Ok(entries) = std::fs::read_dir("/dev/fd") else { return };
    let numbers: Vec<RawFd> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|fd| *fd > 2).collect();
    for number in numbers {
        // SAFETY: the number is only looked up; the listing's own descriptor is closed by now and is not found.
        let is_open = rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) }).is_ok();
        if is_open {
            // SAFETY: no thread but this one exists, and no value in this process owns the descriptor.
            unsafe { rustix::io::close(number) };
        }
    }
}
