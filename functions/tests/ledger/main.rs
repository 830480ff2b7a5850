//! What the gate relies on in its ledger. The same body runs on every store that speaks DynamoDB: on the embedded one, and, with
//! `make test-dynamodb-local`, on AWS's own DynamoDB Local.
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod line;
mod lock;
mod marks;
mod notices;
mod place;
mod requests;
mod samples;
mod served;
mod trail;
mod work;

use place::{Embedded, Place};
use signoff_core::ledger::Ledger;

/// Makes a test of each of these, by the macro `test`.
macro_rules! contract {
    ($test:ident) => { contract! { $test:
        requests {
            what_is_created_is_loaded
            a_line_that_moved_is_a_conflict_and_nothing_is_written
            of_two_at_once_one_is_created
            an_idempotency_key_stands_for_one_request_until_it_ends
            the_state_is_what_the_events_make
            a_step_is_recorded_once_whoever_asks_again
            of_two_steps_at_once_one_is_recorded
            what_makes_no_sense_is_shown_and_not_guessed
            a_listing_is_newest_first_and_of_one_organization
        }
        work {
            a_lease_is_held_by_one
            a_lease_that_ran_out_is_taken_and_its_holder_writes_nothing_more
            rings_are_bounded_within_their_window
            an_intent_forbids_the_cancellation
            a_cancellation_forbids_the_intent
            a_lease_is_confirmed_while_it_holds_and_nothing_ends
            what_a_look_leaves_is_there_for_the_next
            what_is_due_is_found_oldest_first_and_claimed_once
            a_request_that_is_over_is_neither_due_nor_open
            void_leases_let_what_was_intended_settle
        }
        line {
            requests_stand_in_the_order_of_asking_and_leave
            a_push_that_was_heard_of_is_remembered_before_anything_was_asked_for
            the_turn_is_had_by_one_and_given_back
            many_leave_at_once
            a_turn_of_one_that_left_is_taken_over
            it_remembers_what_was_pushed_and_what_was_deployed_last
        }
        lock {
            the_lock_is_had_by_one_and_passed_to_who_waited_longest
            the_dead_hold_nothing
            who_waits_can_go
        }
        notices {
            a_notice_is_due_with_its_event_and_is_claimed_once
            what_is_left_of_a_notice_is_there_for_the_next
        }
        marks {
            something_is_done_once_until_its_time
            a_delivery_is_recorded_once_whatever_its_id
            change_requests_lead_to_their_requests
            gates_are_none_until_they_are_put
        }
        trail {
            a_day_is_read_page_by_page
            of_a_day_a_span_is_read_alone
            a_page_that_nobody_handed_out_is_refused
            a_day_is_read_from_any_time_on
        }
    }};
    ($test:ident: $($module:ident { $($name:ident)* })*) => {
        $(mod $module {
            $($test!($module $name);)*
        })*
    };
}

/// A test in an embedded store of its own.
macro_rules! embedded {
    ($module:ident $name:ident) => {
        #[tokio::test]
        async fn $name() {
            crate::$module::$name(&<crate::place::Embedded as crate::place::Place>::open().await).await;
        }
    };
}

/// A test on a server that has to be there.
macro_rules! served {
    ($module:ident $name:ident) => {
        #[tokio::test]
        #[ignore = "needs a server: make test-dynamodb-local"]
        async fn $name() {
            crate::$module::$name(&<crate::served::Served as crate::place::Place>::open().await).await;
        }
    };
}

mod embedded {
    contract!(embedded);
}

mod dynamodb_local {
    contract!(served);
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
