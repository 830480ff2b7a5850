//! The git checkout that one stands in.

use std::process::{Command, Stdio};

use signoff_core::names::Commit;

use crate::failure::Failure;
use crate::render::text;

/// The commit that is checked out, and what speaks against deploying it.
pub(crate) struct Head {
    /// The commit.
    pub(crate) commit: Commit,
    /// What the person should know.
    pub(crate) warnings: Vec<String>,
}

/// Looks at the checkout.
///
/// # Errors
/// If there is none, or it has no commit.
pub(crate) fn head() -> Result<Head, Failure> {
    let commit = git(&["rev-parse", "--verify", "--end-of-options", "HEAD^{commit}"])
        .map_err(|why| Failure::Usage(format!("--commit HEAD needs a git checkout with a commit: {why}")))?;
    let commit: Commit = commit.trim().parse().map_err(|error| Failure::Usage(format!("--commit HEAD: {error}")))?;
    let mut warnings = Vec::new();
    match git(&["status", "--porcelain"]) {
        Ok(changes) if changes.trim().is_empty() => {}
        Ok(_) => warnings.push("there are changes here that are not committed, and will not be deployed".to_owned()),
        Err(why) => warnings.push(format!("whether everything is committed can't be told: {why}")),
    }
    match git(&["branch", "--remotes", "--contains", commit.as_str()]) {
        Ok(branches) if !branches.trim().is_empty() => {}
        Ok(_) => warnings.push("the commit is in no remote branch that is known here: push it first".to_owned()),
        Err(why) => warnings.push(format!("whether the commit is pushed can't be told: {why}")),
    }
    Ok(Head { commit, warnings })
}

fn git(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("git")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("git does not run: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(text::line(String::from_utf8_lossy(&output.stderr).trim()))
    }
}
