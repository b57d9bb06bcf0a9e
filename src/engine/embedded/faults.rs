//! redb's errors as ours: a full disk, a damaged file, a store that somebody else has open.

use crate::error::Error;

fn fault(source: redb::Error) -> Error {
    match source {
        redb::Error::Io(source) if source.kind() == std::io::ErrorKind::InvalidData => damaged(&source),
        redb::Error::Io(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => damaged(&source),
        redb::Error::Io(source) => Error::io("use the store", &source),
        redb::Error::Corrupted(why) => damaged(&why),
        redb::Error::DatabaseAlreadyOpen => Error::unavailable(
            "the store is open in another process: stop that one (`memoria stop`), or give this one another \
             MEMORIA_HOME",
        ),
        redb::Error::PreviousIo | redb::Error::DatabaseClosed => {
            Error::unavailable("the store is being opened again after a disk error: try again")
        }
        source @ (redb::Error::TableDoesNotExist(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TypeDefinitionChanged { .. }) => damaged(&source),
        source => Error::internal(format!("the store failed: {source}")),
    }
}

fn damaged(why: &dyn std::fmt::Display) -> Error {
    Error::corrupt(format!("the store is damaged: {why}. Restore it from a backup, or move it away to begin anew."))
}

macro_rules! faults {
    ($($source:ty),*) => {$(
        impl From<$source> for Error {
            fn from(source: $source) -> Self {
                fault(source.into())
            }
        }
    )*};
}

faults!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::DatabaseError,
    redb::SetDurabilityError
);
