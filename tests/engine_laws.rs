//! The embedded engine keeps every law of `engine/conformance.rs`, and those that need a store opened again.

use memoria::engine::conformance as laws;
use memoria::engine::embedded::Embedded;

const CACHE_BYTES: usize = 1 << 20;

fn open(home: &std::path::Path) -> Embedded {
    Embedded::open(&home.join("memoria.redb"), &home.join("index"), CACHE_BYTES).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

macro_rules! tests_of {
    ($($law:ident,)*) => {$(
        #[test]
        fn $law() {
            let home = tempfile::tempdir().unwrap();
            let engine = open(home.path());
            if let Err(error) = runtime().block_on(laws::$law(&engine)) {
                panic!("{error}");
            }
        }
    )*};
}

memoria::engine_laws!(tests_of);
