//! What a gate says of pushes: which of them asks for what, and what becomes of an older one when a newer one comes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::github::{Branch, Repository};
use crate::names::{BadName, Operation, StackName};

/// The most pushes that one gate may name.
pub const MAX_PUSHES: usize = 100;
/// The most path patterns that one push may have.
pub const MAX_PATHS: usize = 50;
/// The most GitHub logins that may be mapped.
pub const MAX_LOGINS: usize = 1_000;
/// The longest path pattern, in characters.
const MAX_PATTERN: usize = 200;
/// The longest GitHub login that is taken, in characters.
const MAX_GITHUB_LOGIN: usize = 100;

/// A push that asks for a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PushRule {
    /// The repository at GitHub.
    pub repository: Repository,
    /// The branch. What is on it is asked for, and nothing else.
    pub branch: Branch,
    /// The files of which one has to have changed since the last commit that was asked for; none: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathPattern>,
    /// The stack that is asked for.
    pub stack: StackName,
    /// What is asked for.
    #[serde(default, skip_serializing_if = "is_update")]
    pub operation: Operation,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_update(operation: &Operation) -> bool {
    *operation == Operation::Update
}

impl PushRule {
    /// Whether a change of these files is one that it asks for.
    pub fn wants(&self, files: &[String]) -> bool {
        self.paths.is_empty() || files.iter().any(|file| self.paths.iter().any(|pattern| pattern.matches(file)))
    }
}

/// What becomes of a request that a push made, and that still waits for approval, when a newer push asks for the same stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NewerPush {
    /// It is cancelled, and its change requests are closed.
    #[default]
    Supersede,
    /// Both wait; they are deployed one after the other.
    Queue,
}

impl NewerPush {
    /// Whether it is the default.
    pub fn is_supersede(&self) -> bool {
        *self == Self::Supersede
    }
}

/// A file's path within a repository, in which `*` and `?` stand for anything within one part and `**` for any number of parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathPattern(String);

impl PathPattern {
    /// Whether it fits this file.
    pub fn matches(&self, file: &str) -> bool {
        fast_glob::glob_match(&self.0, file)
    }
}

impl FromStr for PathPattern {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let part =
            |part: &str| !part.is_empty() && part != "." && part != ".." && (part == "**" || !part.contains("**"));
        let odd = |c: char| c.is_control() || matches!(c, '[' | ']' | '{' | '}' | '!' | '\\');
        if text.chars().count() <= MAX_PATTERN && !text.contains(odd) && text.split('/').all(part) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName(
                "a path pattern is a path within the repository, such as infra/** or *.tf: * stands for anything within one part, ** for any number of parts"
                    .to_owned(),
            ))
        }
    }
}

impl TryFrom<String> for PathPattern {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<PathPattern> for String {
    fn from(pattern: PathPattern) -> String {
        pattern.0
    }
}

/// A login at GitHub, in lower-case letters, since GitHub compares them without regard to case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GitHubLogin(String);

impl GitHubLogin {
    /// The login that GitHub gave, in lower-case letters; `None` if it is none.
    pub fn of(text: &str) -> Option<Self> {
        text.to_ascii_lowercase().try_into().ok()
    }
}

impl TryFrom<String> for GitHubLogin {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        let name = text.strip_suffix("[bot]").unwrap_or(&text);
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
        if (1..=MAX_GITHUB_LOGIN).contains(&name.len()) && name.bytes().all(good) {
            Ok(Self(text))
        } else {
            Err(BadName("a GitHub login is written in lower-case letters, digits, '-' and '_'".to_owned()))
        }
    }
}

impl From<GitHubLogin> for String {
    fn from(login: GitHubLogin) -> String {
        login.0
    }
}

/// The push that a request came from: part of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pushed {
    /// The repository.
    pub repository: Repository,
    /// The branch.
    pub branch: Branch,
    /// GitHub's login of who pushed, as GitHub said; absent where it said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pusher: Option<String>,
    /// GitHub's login of the commit's author, as GitHub said; absent where it said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

impl fmt::Display for Pushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.repository, self.branch)?;
        if let Some(pusher) = &self.pusher {
            write!(f, ", by {pusher}")?;
        }
        match &self.author {
            Some(author) if self.pusher.as_ref().is_none_or(|pusher| !pusher.eq_ignore_ascii_case(author)) => {
                write!(f, ", written by {author}")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_files_within_the_repository() {
        let fits = |pattern: &str, file: &str| pattern.parse::<PathPattern>().unwrap().matches(file);
        assert!(fits("infra/**", "infra/a/b.ts") && fits("infra/**", "infra/x") && fits("**/*.tf", "a/b/c.tf"));
        assert!(
            fits("**/*.tf", "c.tf")
                && fits("*.tf", "c.tf")
                && fits("a?c/x", "abc/x")
                && fits("Pulumi.yaml", "Pulumi.yaml")
        );
        assert!(!fits("infra/**", "infrastructure/x") && !fits("*.tf", "a/c.tf") && !fits("a?c", "a/c"));
        assert!(fits("infra/*", "infra/.hidden") && !fits("infra/*", "infra/a/b"));
        for bad in ["", "/infra", "infra/", "a//b", "../x", "a/./b", "a/**b", "[ab]", "{a,b}", "!x", "a\\b", "a\nb"] {
            assert!(bad.parse::<PathPattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn who_pushed_and_who_wrote_are_told_apart() {
        let pushed = |pusher: Option<&str>, author: Option<&str>| {
            let (repository, branch) = ("acme/web".parse().unwrap(), "main".parse().unwrap());
            Pushed { repository, branch, pusher: pusher.map(str::to_owned), author: author.map(str::to_owned) }
                .to_string()
        };
        assert_eq!(pushed(Some("octocat"), Some("Octocat")), "acme/web main, by octocat");
        assert_eq!(pushed(Some("octocat"), Some("hubot")), "acme/web main, by octocat, written by hubot");
        assert_eq!(pushed(None, None), "acme/web main");
        assert_eq!(GitHubLogin::of("Dependabot[bot]").map(String::from).unwrap(), "dependabot[bot]");
        assert!(GitHubLogin::of("a b").is_none() && GitHubLogin::try_from("Octocat".to_owned()).is_err());
    }
}
