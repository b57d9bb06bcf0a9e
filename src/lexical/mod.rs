//! Words: what a text's terms are, which of a question's words matter, and what a match is worth.
//! Pure functions, shared by the engines (which index and count) and by `search/` (which scores),
//! so that both mean the same by a word. Nothing here knows a store.

pub use memoria_kernel::bm25;
pub mod entities;
mod fold;
pub mod question;
mod stem;
pub mod words;

pub use entities::entities;
pub use question::terms_of_question;
pub use words::{Words, analyse, terms};
