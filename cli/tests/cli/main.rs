//! The command line as a process, against a server that speaks signoff's API from canned answers.

mod approve;
mod audit;
mod config;
mod reading;
mod request;
mod stub;
mod waiting;
