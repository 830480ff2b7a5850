//! The five functions and the adapters that they share. [`api`] and [`receive`] are what people and Pulumi Cloud talk to, [`stream`] wakes the workers,
//! [`dynamo`] is the ledger, [`pulumi`] the client; `src/bin/` puts them together, one entry point each.

pub mod api;
pub mod checkpoint;
pub mod dynamo;
pub mod machine;
pub mod pulumi;
pub mod receive;
pub mod secrets;
pub mod setup;
pub mod stream;
