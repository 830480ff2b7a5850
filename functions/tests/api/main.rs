//! The HTTP API against its contract, on the embedded store.
#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it has to be")]

mod asking;
mod audit;
mod callers;
mod cancelling;
mod conditions;
mod reading;
mod setup;
