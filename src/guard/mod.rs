//! What is checked before a text is kept and before it is shown: secrets are masked (`secrets`), and signs of an
//! attempt to instruct or to hide are named (`flags`). It never refuses and never stores; the services decide.

pub mod flags;
pub mod secrets;
