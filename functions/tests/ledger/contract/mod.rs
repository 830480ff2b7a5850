//! What the gate relies on in its ledger, whatever it is kept in. The same body runs on the DynamoDB adapter, and on the ledger that the simulation plays on.

pub(crate) mod line;
pub(crate) mod lock;
pub(crate) mod marks;
pub(crate) mod notices;
pub(crate) mod requests;
pub(crate) mod samples;
pub(crate) mod work;

use signoff_core::ledger::Ledger;

/// Somewhere with an empty ledger of its own.
pub(crate) trait Place: Sized {
    /// What keeps it.
    type Ledger: Ledger + Clone;
    /// Makes one.
    async fn open() -> Self;
    /// The ledger in it.
    fn ledger(&self) -> Self::Ledger;
}

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
            a_delivery_is_recorded_once
            change_requests_lead_to_their_requests
        }
    }};
    ($test:ident: $($module:ident { $($name:ident)* })*) => {
        $(mod $module {
            $($test!($module $name);)*
        })*
    };
}
