//! Embedders that the user brings: endpoints that work, lie, hang and come back; models in a process of their own.

#[cfg(unix)]
#[path = "../support/mod.rs"]
mod support;

mod client;
mod endpoints;
mod folders;
mod follow;
mod hosts;
mod processes;
mod tokenizers;
