//! The functions and the adapters that they share. [`api`] and [`receive`] are what people and Pulumi Cloud talk to, [`stream`] wakes the workers,
//! [`dynamo`] is the ledger, [`pulumi`] the client, [`checkpoint`] keeps checkpoints of the trail, [`notices`] tells people; [`setup`] puts a function together, with [`logs`] and [`metrics`]; `src/bin/` puts them together, one entry point each.

pub mod api;
pub mod aws;
pub mod checkpoint;
pub mod dynamo;
pub mod github;
pub mod logs;
pub mod machine;
pub mod metrics;
pub mod notices;
pub mod pulumi;
pub mod receive;
pub mod secrets;
pub mod setup;
pub mod stream;
pub mod tls;
