//! The functions as they run on Lambda: the real programs under the emulator of `cargo lambda`, with events as AWS sends them, secrets in a Secrets
//! Manager (moto's), the table on the embedded store, both behind the policies that the Pulumi program declares, the stream through the filters of the mappings, and a
//! simulated Pulumi Cloud.
//!
//! `SIGNOFF_LAMBDA_PROGRAMS=target/lambda` runs what `make package` packaged instead of what was built with the tests.
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod api;
#[path = "../tls/authority.rs"]
mod authority;
mod checkpoints;
mod emulator;
mod events;
mod iam;
mod notify;
mod permissions;
mod poison;
mod pushes;
mod reconcile;
mod runtime;
mod tools;
mod webhooks;
mod whole;
mod world;

#[expect(dead_code, unreachable_pub, reason = "the GitHub that the tests of the whole have, which use all of it")]
#[expect(clippy::expect_used, reason = "a test that can't go on fails")]
#[path = "../../../tests/end-to-end/src/github.rs"]
mod github;
#[expect(dead_code, unreachable_pub, reason = "what it sends its webhooks with")]
#[expect(clippy::expect_used, reason = "a test that can't go on fails")]
#[path = "../../../tests/end-to-end/src/http.rs"]
mod http;
