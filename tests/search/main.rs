//! Search: what the index finds (`index.rs`), what becomes of it (`answers.rs`), how well each kind of question is
//! answered (`kinds.rs`), and where names lead (`hops.rs`).

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod hops;
mod index;
mod kinds;
mod notebook;
