//! The command line as a process, against a server that speaks signoff's API from canned answers.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod approve;
mod audit;
mod config;
mod reading;
mod request;
mod stub;
mod waiting;
