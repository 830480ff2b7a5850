//! What carries calls where there is no network: a simulation that runs in one process, on a clock of its own.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::secrets::Secret;

/// A call as it would go over the network.
#[derive(Debug)]
pub struct Letter {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// The path, encoded, and the query if there is one.
    pub target: String,
    /// The access token.
    pub token: Secret,
    /// The body, if there is one.
    pub body: Option<Value>,
}

/// An answer as it would come over the network.
#[derive(Debug, Default)]
pub struct Carried {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// Carries calls.
pub trait Carrier: Debug + Send + Sync {
    /// Carries one call, and brings its answer; `None` if none came within the time that a call has.
    fn carry(&self, letter: Letter) -> Pin<Box<dyn Future<Output = Option<Carried>> + Send + '_>>;
}
