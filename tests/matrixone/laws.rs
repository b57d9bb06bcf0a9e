//! The laws of every engine on a real server. They run where `MEMORIA_TEST_MATRIXONE_URL` names one
//! (`mysql://user:password@host:port`, without a database); elsewhere one test says how many did not run.

use memoria::engine::conformance as laws;
use memoria::engine::{Engine, Names};

use crate::server::{Database, runtime};

macro_rules! tests_of {
    ($($law:ident,)*) => {
        mod matrixone {
            use super::*;

            const LAWS: &[&str] = &[$(stringify!($law)),*];

            $(#[test]
            fn $law() {
                let Some(database) = Database::fresh(stringify!($law)) else { return };
                let engine = database.engine();
                let law = runtime().block_on(async {
                    // A store begins when it is first asked for something, and some laws ask about the time before.
                    engine.names(Names::All).await?;
                    laws::$law(&engine).await
                });
                if let Err(error) = law {
                    panic!("{error}");
                }
            })*

            #[test]
            fn laws_that_did_not_run_are_counted() {
                if crate::server::url().is_none() {
                    println!("SKIPPED: {} laws, since MEMORIA_TEST_MATRIXONE_URL names no server", LAWS.len());
                }
            }
        }
    };
}

memoria::engine_laws!(tests_of);
