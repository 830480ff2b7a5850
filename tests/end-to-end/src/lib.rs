//! The harness of the tests of the whole: the real binary on a real store in a directory of its own, a simulated Pulumi Cloud in the test's process,
//! between the two the referee that checks each call against the specification (where it is there), and a tester that speaks of people and
//! requests: `gate.ask("alice", …)`, `gate.approve("bob", …)`, `gate.expect_state(…)`, and at the end `gate.finish()`, which fails on leftovers.
//!
//! Nothing sleeps for a time in the hope that something has happened by then: conditions are awaited, within a limit.

#![expect(clippy::expect_used, reason = "a test that can't go on fails, and says why")]

mod binary;
mod ears;
mod finish;
mod gate;
mod github;
mod http;
mod people;
mod process;
mod referee;
mod setup;
mod wait;

pub use binary::binary;
pub use ears::{Answer, Ears, Heard};
pub use finish::Drained;
pub use gate::{Gate, LIMIT, PRINCIPAL};
pub use github::{GITHUB_SECRET, GITHUB_TOKEN, GitHub, GitHubFault, deliver};
pub use http::{Reply, client, send};
pub use process::{Ended, Process, command, run};
pub use referee::{Referee, Score};
pub use setup::{GATES, Setup, WEBHOOK_SECRET};
pub use wait::{together, until};
