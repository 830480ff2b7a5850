//! GitHub in signoff's own verbs: what is on a branch, who pushed it, what it changes. The REST client and the tests' simulation are behind this trait.
//!
//! Calls and fields are those of GitHub's REST API, version 2022-11-28 (<https://docs.github.com/rest>).

use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::names::{BadName, Commit};

/// The longest repository name, in characters: an account of 39, and a name of 100.
const MAX_REPOSITORY: usize = 140;
/// The longest branch name that is taken, in characters.
const MAX_BRANCH: usize = 250;

/// A repository: `owner/name`. GitHub compares both without regard to case, and so does this.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository(String);

impl Repository {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Repository {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Repository {}

impl FromStr for Repository {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let good = |part: &str| {
            part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
                && part.bytes().any(|b| b != b'.')
        };
        match text.split('/').collect::<Vec<_>>()[..] {
            [owner, name] if good(owner) && good(name) && text.len() <= MAX_REPOSITORY => Ok(Self(text.to_owned())),
            _ => Err(BadName("a repository is owner/name, as GitHub has it".to_owned())),
        }
    }
}

/// A branch, without `refs/heads/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Branch(String);

impl Branch {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Branch {
    type Err = BadName;
    /// What git takes for a branch (`git check-ref-format`), as far as it may stand in a path.
    fn from_str(text: &str) -> Result<Self, BadName> {
        let good = |part: &str| {
            !part.is_empty() && !part.starts_with(['.', '-']) && !part.ends_with('.') && !part.ends_with(".lock")
        };
        let odd = |c: char| {
            !c.is_ascii_graphic() || matches!(c, '~' | '^' | ':' | '?' | '*' | '[' | ']' | '\\' | '#' | '%' | '"')
        };
        let whole = (1..=MAX_BRANCH).contains(&text.len()) && !text.starts_with("refs/");
        if whole && !text.contains(odd) && !text.contains("..") && !text.contains("@{") && text.split('/').all(good) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName(
                "a branch is one name such as main, without refs/heads/ and without patterns; name each branch by itself"
                    .to_owned(),
            ))
        }
    }
}

macro_rules! text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

text!(Repository);
text!(Branch);

/// What is on a branch now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The commit.
    pub commit: Commit,
    /// The first line of its message, bounded and without control characters; may be empty.
    pub title: String,
    /// GitHub's login of its author; `None` where GitHub knows none.
    pub author: Option<String>,
    /// Its page; empty if the answer had none that can be used.
    pub url: String,
}

/// How a branch came to have its head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// GitHub's login of who pushed or merged; `None` where GitHub knows none.
    pub pusher: Option<String>,
}

/// What changed between two commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// These files, renamed ones under both names.
    Files(Vec<String>),
    /// It can't be told: the older commit is gone or no ancestor, or there are more files than GitHub lists.
    Unknown,
}

/// How a commit stands, as GitHub shows it beside the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Not over yet.
    Pending,
    /// Over, and good.
    Success,
    /// Over, and the deployment failed or was rejected.
    Failure,
    /// Over, since something is wrong.
    Error,
}

impl Mood {
    /// GitHub's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
        }
    }
}

/// A commit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitStatus {
    /// How it stands.
    pub mood: Mood,
    /// In a few words; GitHub takes 140 characters.
    pub description: String,
    /// Where to read more; `None`: nowhere.
    pub link: Option<String>,
    /// What tells it from other statuses of the same commit.
    pub context: String,
}

/// What a caller does next about a call that did not give what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitHubError {
    /// There is no such thing, or it is not visible to the token.
    #[error("GitHub does not know it: {0}")]
    NotFound(String),
    /// Refused for good (401, 403 that is no rate limit, 422 and other 4xx); somebody has to mend something.
    #[error("GitHub refused ({status}): {message}")]
    Refused {
        /// The HTTP status; 401 also if there is no token to be had.
        status: u16,
        /// What it said, bounded and without control characters.
        message: String,
    },
    /// Rate-limited (429, or 403 with `Retry-After` or `x-ratelimit-remaining: 0`); not before this time has passed, where it was said.
    #[error("GitHub is rate-limiting")]
    Later {
        /// From `Retry-After`, or until `x-ratelimit-reset`.
        retry_after: Option<Duration>,
    },
    /// No answer that can be relied on: 5xx, a broken connection, a time-out, an answer that can't be read.
    #[error("GitHub gave no usable answer: {0}")]
    Unclear(String),
}

/// A call's answer, later.
pub trait Answer<T>: Future<Output = Result<T, GitHubError>> + Send {}
impl<T, F: Future<Output = Result<T, GitHubError>> + Send> Answer<T> for F {}

/// The calls that signoff makes at GitHub. Each is one HTTP call.
pub trait GitHub: Send + Sync {
    /// What is on the branch (`GET /repos/{repository}/branches/{branch}`). `None`: there is no such branch, or no such repository for this token.
    fn head(&self, repository: &Repository, branch: &Branch) -> impl Answer<Option<Head>>;

    /// How the branch came to have this head: the newest activity that led to it (`GET /repos/{repository}/activity?ref=…&per_page=100`, the first
    /// page). `None`: none of them did.
    fn push(&self, repository: &Repository, branch: &Branch, head: &Commit) -> impl Answer<Option<Push>>;

    /// What changed from `base` to `head` (`GET /repos/{repository}/compare/{base}...{head}`).
    fn changed(&self, repository: &Repository, base: &Commit, head: &Commit) -> impl Answer<Changed>;

    /// Shows a status beside a commit (`POST /repos/{repository}/statuses/{sha}`).
    fn set_status(&self, repository: &Repository, commit: &Commit, status: &CommitStatus) -> impl Answer<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_github_and_git_take() {
        for good in ["acme/web", "Acme/web.js", "a-b/c_d"] {
            assert_eq!(good.parse::<Repository>().unwrap().as_str(), good);
        }
        assert_eq!("ACME/Web".parse::<Repository>().unwrap(), "acme/web".parse().unwrap());
        for bad in ["acme", "acme/web/x", "/web", "acme/..", "acme/we b", "acme/%2e", "https://x/y"] {
            assert!(bad.parse::<Repository>().is_err(), "{bad}");
        }
        for good in ["main", "release/1.2", "feature/x_y-z", "v1.0@stable"] {
            assert_eq!(good.parse::<Branch>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "refs/heads/main",
            "a..b",
            "a//b",
            "/a",
            "a/",
            ".a",
            "a/.b",
            "x.lock",
            "re*",
            "a b",
            "a?b",
            "a@{1}",
            "ü",
            "-x",
        ] {
            assert!(bad.parse::<Branch>().is_err(), "{bad}");
        }
    }
}
