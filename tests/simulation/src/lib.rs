//! The gate on a simulated clock: the real loop, the real client, the real API and doors, over a simulated table and a simulated Pulumi Cloud, in
//! one thread, everything from one seed. What the cloud saw is the judge.
#![recursion_limit = "256"]

pub mod chance;
pub mod coverage;
pub mod github;
pub mod host;
pub mod judge;
pub mod ledger;
pub mod people;
pub mod plan;
pub mod roles;
pub mod run;
pub mod schedule;
pub mod setup;
pub mod step;
pub mod table;
pub mod wire;
pub mod world;
