//! Other programs that Memoria runs behind the scenes: on Windows, none of them opens a window.

use std::ffi::OsStr;
use std::process::Command;

/// Takes no arguments over, and the environment and the folder of this process.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    #[cfg_attr(not(windows), expect(unused_mut))]
    let mut command = Command::new(program);
    #[cfg(windows)]
    {
        const CREATE_NO_WINDOW: u32 = 0x0800_0000;
        std::os::windows::process::CommandExt::creation_flags(&mut command, CREATE_NO_WINDOW);
    }
    command
}
