//! The ways out: signoff's HTTP API, and the few calls of Pulumi Cloud that a reviewer makes.

pub(crate) mod base;
pub(crate) mod http;
pub(crate) mod model;
pub(crate) mod pulumi;
mod refusal;
pub(crate) mod signoff;
