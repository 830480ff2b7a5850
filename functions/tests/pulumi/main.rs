//! The REST client against the simulated Pulumi Cloud, and against servers that answer what no Pulumi Cloud should.

#![expect(clippy::unwrap_used, reason = "a test that can't go on ends")]

mod answers;
mod faults;
mod fixture;
mod tokens;
mod verbs;
