//! The HTTP API against its contract, on the embedded store.

mod asking;
mod audit;
mod callers;
mod cancelling;
mod reading;
mod setup;
