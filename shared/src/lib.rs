//! The gate itself: requests, their states and events, the verdict on approvals, the audit chain, and the loop
//! *load → observe → decide → record → act → record* that moves them.
//!
//! Nothing in here knows HTTP, DynamoDB, Lambda, the clock or the environment: they come in as arguments, behind seven traits: [`ledger::Ledger`],
//! [`cloud::PulumiCloud`], [`github::GitHub`], [`host::Host`] and [`notify::Messenger`], and for checkpoints [`checkpoint::Days`] and
//! [`checkpoint::Notary`].

pub mod answer;
pub mod asking;
pub mod blocker;
pub mod branches;
pub mod chain;
pub mod checkpoint;
pub mod cloud;
pub mod conditions;
pub mod decide;
pub mod doorbell;
pub mod event;
pub mod facts;
pub mod gate;
pub mod github;
pub mod host;
pub mod ledger;
pub mod look;
pub mod mark;
pub mod measure;
pub mod names;
pub mod notice;
pub mod notify;
mod observe;
pub mod period;
pub mod push;
pub mod request;
pub mod rescue;
pub mod sweep;
#[cfg(test)]
mod testing;
pub mod transition;
pub mod verdict;
