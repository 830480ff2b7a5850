//! GitHub's answers, as far as they are read. A field that is not read may be anything.

use serde::Deserialize;
use signoff_core::github::{Branch, Changed, Head, Push};
use signoff_core::names::{Commit, hides};

/// Longest first line of a commit's message that is kept, in characters.
const MAX_TITLE: usize = 200;
/// Longest address of a commit's page that is kept, in characters.
const MAX_URL: usize = 300;
/// Longest login that is kept, in characters.
const MAX_LOGIN: usize = 100;
/// How many files GitHub lists of a comparison, at most.
const MAX_FILES: usize = 300;

/// `GET /repos/{owner}/{repo}/branches/{branch}`
#[derive(Deserialize)]
pub(super) struct BranchNow {
    name: String,
    commit: CommitNow,
}

#[derive(Deserialize)]
struct CommitNow {
    sha: String,
    #[serde(default)]
    html_url: String,
    author: Option<User>,
    commit: Option<Written>,
}

#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct User {
    login: Option<String>,
}

/// An item of `GET /repos/{owner}/{repo}/activity`
#[derive(Deserialize)]
pub(super) struct Activity {
    after: String,
    #[serde(rename = "ref")]
    reference: String,
    actor: Option<User>,
}

/// `GET /repos/{owner}/{repo}/compare/{basehead}`
#[derive(Deserialize)]
pub(super) struct Comparison {
    status: String,
    files: Option<Vec<File>>,
}

#[derive(Deserialize)]
struct File {
    filename: String,
    previous_filename: Option<String>,
}

/// What is on the branch; `None` if the answer is about another one, or names no commit.
pub(super) fn head(answer: &BranchNow, branch: &Branch) -> Option<Head> {
    let BranchNow { name, commit } = answer;
    let is_page = |url: &&String| {
        url.starts_with("https://") && url.len() <= MAX_URL && url.bytes().all(|b| b.is_ascii_graphic())
    };
    (name == branch.as_str()).then(|| {
        Some(Head {
            commit: sha(&commit.sha)?,
            title: title(commit.commit.as_ref().map_or("", |written| &written.message)),
            author: commit.author.as_ref().and_then(login),
            url: Some(&commit.html_url).filter(is_page).cloned().unwrap_or_default(),
        })
    })?
}

/// The newest push that led to this commit.
pub(super) fn push(activities: &[Activity], branch: &Branch, head: &Commit) -> Option<Push> {
    let reference = format!("refs/heads/{branch}");
    let found = activities.iter().find(|one| one.reference == reference && sha(&one.after).as_ref() == Some(head))?;
    Some(Push { pusher: found.actor.as_ref().and_then(login) })
}

/// What changed. A commit that is no ancestor of the other was forced away: what that changes can't be told.
pub(super) fn changed(answer: &Comparison) -> Changed {
    let files = answer.files.as_ref().filter(|files| files.len() < MAX_FILES);
    match (answer.status.as_str(), files) {
        ("ahead" | "identical", Some(files)) => Changed::Files(
            files
                .iter()
                .flat_map(|file| [Some(&file.filename), file.previous_filename.as_ref()])
                .flatten()
                .cloned()
                .collect(),
        ),
        _ => Changed::Unknown,
    }
}

fn sha(text: &str) -> Option<Commit> {
    text.parse().ok()
}

fn login(user: &User) -> Option<String> {
    let plain = |login: &&String| {
        (1..=MAX_LOGIN).contains(&login.len())
            && login.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'[' | b']'))
    };
    user.login.as_ref().filter(plain).cloned()
}

/// The first line of a message, fit to be shown.
fn title(message: &str) -> String {
    message.lines().next().unwrap_or_default().chars().filter(|c| !hides(*c)).take(MAX_TITLE).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SHA: &str = "6dcb09b5b57875f334f61aebed695e2e4193db5e";

    fn branch() -> Branch {
        "release/1".parse().unwrap()
    }

    #[test]
    fn a_branch_is_the_one_that_was_asked_for_and_names_a_commit() {
        let answer = |name: &str, sha: &str| {
            let commit = json!({
                "sha": sha, "html_url": "https://github.com/acme/web/commit/6dcb",
                "author": {"login": "Octocat", "id": 1}, "commit": {"message": "Fix\u{202e} all\u{7} of it\n\nmore", "tree": {}},
            });
            serde_json::from_value::<BranchNow>(json!({"name": name, "commit": commit, "protected": true})).unwrap()
        };
        let found = head(&answer("release/1", SHA), &branch()).unwrap();
        assert_eq!((found.commit.as_str(), found.title.as_str()), (SHA, "Fix all of it"));
        assert_eq!(
            (found.author.as_deref(), found.url.as_str()),
            (Some("Octocat"), "https://github.com/acme/web/commit/6dcb")
        );
        assert!(head(&answer("main", SHA), &branch()).is_none(), "another branch");
        assert!(head(&answer("release/1", "HEAD"), &branch()).is_none(), "no commit");
        let bare =
            json!({"name": "release/1", "commit": {"sha": SHA, "html_url": "javascript:alert(1)", "author": null}});
        let bare = head(&serde_json::from_value(bare).unwrap(), &branch()).unwrap();
        assert_eq!((bare.author, bare.title.as_str(), bare.url.as_str()), (None, "", ""));
    }

    #[test]
    fn who_pushed_is_who_made_the_head_what_it_is() {
        let activity = |id: u64, reference: &str, after: &str, actor: serde_json::Value| json!({"id": id, "ref": reference, "after": after, "before": "0", "actor": actor, "activity_type": "push"});
        let other = "0000000000000000000000000000000000000001";
        let all = json!([
            activity(9, "refs/heads/main", SHA, json!({"login": "mallory"})),
            activity(8, "refs/heads/release/1", other, json!({"login": "mallory"})),
            activity(7, "refs/heads/release/1", SHA, json!({"login": "dependabot[bot]"})),
            activity(6, "refs/heads/release/1", SHA, json!({"login": "earlier"})),
        ]);
        let head: Commit = SHA.parse().unwrap();
        let all: Vec<Activity> = serde_json::from_value(all).unwrap();
        assert_eq!(push(&all, &branch(), &head), Some(Push { pusher: Some("dependabot[bot]".to_owned()) }));
        let ghost: Vec<Activity> =
            serde_json::from_value(json!([activity(1, "refs/heads/release/1", SHA, json!(null))])).unwrap();
        assert_eq!(push(&ghost, &branch(), &head), Some(Push { pusher: None }));
        assert_eq!(push(&[], &branch(), &head), None);
    }

    #[test]
    fn what_changed_is_known_of_ancestors_and_short_lists() {
        let of = |status: &str, files: usize| {
            let files: Vec<_> =
                (0..files).map(|n| json!({"filename": format!("f{n}"), "status": "modified"})).collect();
            changed(&serde_json::from_value(json!({"status": status, "files": files})).unwrap())
        };
        assert_eq!(of("ahead", 2), Changed::Files(vec!["f0".to_owned(), "f1".to_owned()]));
        assert!(matches!(of("ahead", 299), Changed::Files(_)));
        for (status, files) in [("ahead", 300), ("diverged", 1), ("behind", 0), ("new", 1)] {
            assert_eq!(of(status, files), Changed::Unknown, "{status}");
        }
        let renamed = json!({"status": "ahead", "files": [{"filename": "b", "previous_filename": "a"}]});
        assert_eq!(
            changed(&serde_json::from_value(renamed).unwrap()),
            Changed::Files(vec!["b".to_owned(), "a".to_owned()])
        );
    }
}
