//! Pulumi Cloud's REST API: the client that carries a call out, the answers that it takes, and the two kinds of caller:
//! signoff's own principals, and whoever asks signoff with a token of their own.

mod caller;
mod carrier;
mod client;
mod message;
mod principal;
mod wire;
mod wire_deployment;

pub use caller::CallerClient;
pub use carrier::{Carried, Carrier, Letter};
pub use client::{BadBase, Calls, ClientOptions, PulumiClient};
pub use principal::PrincipalClient;

pub(crate) use client::{bare_client, bounded_body, encoded, http_client, review_url, trouble};
pub(crate) use message::{bounded, retry_after};
