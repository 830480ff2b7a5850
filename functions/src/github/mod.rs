//! GitHub's REST API: what is on a branch, who pushed it, what it changes, and the status beside a commit.

mod client;
mod wire;

pub use client::{GITHUB_URL, GitHubClient, Token};
