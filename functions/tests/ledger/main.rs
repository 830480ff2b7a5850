//! The ledger in DynamoDB: what the gate relies on (`contract`), and what is the adapter's own. The same body runs on every store that speaks DynamoDB: on the
//! embedded one, and, with `make test-dynamodb-local`, on AWS's own DynamoDB Local. The contract also runs on the simulated ledger (`tests/simulation`).
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[macro_use]
mod contract;
mod place;
mod served;
mod table;
mod trail;

use contract::{Place, samples};
use place::{Embedded, Table};
use signoff_core::ledger::Ledger;

/// Where the bodies of the tests are.
mod suites {
    pub(crate) use crate::contract::{line, lock, marks, notices, requests, work};
    pub(crate) use crate::{table, trail};
}

/// What only the adapter for DynamoDB does.
macro_rules! adapter {
    ($test:ident) => {
        contract! { $test:
            table {
                what_makes_no_sense_is_shown_and_not_guessed
                a_delivery_is_kept_as_it_came_whatever_its_id
                gates_are_none_until_they_are_put
                void_leases_let_what_was_intended_settle
            }
            trail {
                a_day_is_read_page_by_page
                of_a_day_a_span_is_read_alone
                a_page_that_nobody_handed_out_is_refused
                a_day_is_read_from_any_time_on
            }
        }
    };
}

/// A test in an embedded store of its own.
macro_rules! embedded {
    ($module:ident $name:ident) => {
        #[tokio::test]
        async fn $name() {
            crate::suites::$module::$name(&<crate::place::Embedded as crate::contract::Place>::open().await).await;
        }
    };
}

/// A test on a server that has to be there.
macro_rules! served {
    ($module:ident $name:ident) => {
        #[tokio::test]
        #[ignore = "needs a server: make test-dynamodb-local"]
        async fn $name() {
            crate::suites::$module::$name(&<crate::served::Served as crate::contract::Place>::open().await).await;
        }
    };
}

mod embedded {
    contract!(embedded);
    adapter!(embedded);
}

mod dynamodb_local {
    contract!(served);
    adapter!(served);
}

#[tokio::test]
async fn the_embedded_store_keeps_everything_when_it_is_opened_again() {
    let place = Embedded::open().await;
    let request = samples::created(&place.ledger(), samples::STACK).await;
    let before = place.ledger().load(request.ask.id).await.unwrap();
    let place = place.reopen().await;
    assert_eq!(place.ledger().load(request.ask.id).await.unwrap(), before);
    assert_eq!(place.ledger().open(10).await.unwrap(), [request.ask.id]);
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_unavailable() {
    let place = Embedded::open().await;
    let client = place.client().clone();
    let error = signoff_functions::dynamo::Dynamo::new(client, "another".to_owned()).load(samples::id()).await;
    assert_eq!(error.unwrap_err().to_string(), "the store does not answer: ResourceNotFoundException");
}
