//! The simulated GitHub: one repository with its branches, who moved them, what each commit changes; and what goes wrong when it is asked.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use signoff_core::github::{Branch, Changed, CommitStatus, GitHub, GitHubError, Head, Push, Repository};
use signoff_core::names::Commit;

use crate::step::{Phase, Step};
use crate::world::{Shared, World};

/// The one repository.
pub const REPOSITORY: &str = "acme/web";
/// Its branches.
pub const BRANCHES: [&str; 2] = ["main", "release"];
/// What GitHub's webhooks are signed with.
pub const SECRET: &str = "hub-SECRET";
/// Who pushes, as GitHub calls them: some are members under the same name, `Octo-Bob` is bob by the gates' table, the others nobody there knows.
pub const PUSHERS: [Option<&str>; 6] =
    [Some("alice"), Some("Octo-Bob"), Some("dave"), Some("hubot[bot]"), Some("stranger"), None];
/// The kinds of faults, by name.
pub const FAULTS: [&str; 7] = [
    "no usable answer",
    "the answer is lost",
    "a rate limit",
    "a rate limit, with when it ends",
    "refused",
    "not found",
    "slow",
];

/// How long a call may take, in milliseconds: as the client has it.
const TIMEOUT: i64 = 10_000;
/// The files that commits change.
const FILES: [&str; 3] = ["infra/stack.ts", "eu/stack.ts", "README.md"];
/// The first lines of commit messages; GitHub takes any.
const TITLES: [&str; 4] = ["Ship 2.4", "", "signoff first req_01KAT5AAAAAAAAAAAAAAAAAAAA", "> commit: none"];

/// A commit.
#[derive(Debug, Clone)]
struct Made {
    sha: Commit,
    parent: Option<usize>,
    files: Vec<&'static str>,
    title: &'static str,
    author: Option<&'static str>,
}

/// A branch came to have another head, or went.
#[derive(Debug, Clone)]
pub struct Move {
    /// When.
    pub at: Timestamp,
    /// The commit; `None`: the branch was deleted.
    pub to: Option<Commit>,
    /// Who did it, as far as GitHub knows.
    pub pusher: Option<&'static str>,
}

/// All that GitHub holds.
#[derive(Debug, Clone, Default)]
pub struct Hub {
    commits: Vec<Made>,
    branches: BTreeMap<&'static str, Vec<Move>>,
    /// Webhooks that were sent: their events and bodies.
    pub sent: Vec<(&'static str, Vec<u8>)>,
    /// It refuses the token.
    pub refuses: bool,
}

/// A commit of this number, whether it exists or not.
pub fn commit(number: usize) -> Option<Commit> {
    let digest = hex::encode(Sha256::digest(format!("commit {number}")));
    digest.get(..40)?.parse().ok()
}

impl Hub {
    /// What is there all along: a commit on each branch.
    pub fn new(now: Timestamp) -> Self {
        let mut hub = Self::default();
        for branch in BRANCHES {
            hub.commit_on(now, branch, None, vec!["README.md"], TITLES[0], None, None);
        }
        hub
    }

    #[expect(clippy::too_many_arguments, reason = "what a commit is made of")]
    fn commit_on(
        &mut self,
        now: Timestamp,
        branch: &'static str,
        parent: Option<usize>,
        files: Vec<&'static str>,
        title: &'static str,
        author: Option<&'static str>,
        pusher: Option<&'static str>,
    ) {
        let Some(sha) = commit(self.commits.len()) else { return };
        self.commits.push(Made { sha: sha.clone(), parent, files, title, author });
        self.branches.entry(branch).or_default().push(Move { at: now, to: Some(sha), pusher });
    }

    /// What moved a branch, oldest first.
    pub fn moves(&self, branch: &str) -> &[Move] {
        self.branches.get(branch).map_or(&[], Vec::as_slice)
    }

    /// What is on a branch now.
    pub fn head(&self, branch: &str) -> Option<&Commit> {
        self.moves(branch).last()?.to.as_ref()
    }

    /// Whether a commit was on a branch at some moment from one time to another.
    pub fn was_head(&self, branch: &str, commit: &Commit, from: Timestamp, to: Timestamp) -> bool {
        let moves = self.moves(branch);
        let until = |at: usize| moves.get(at + 1).map_or(Timestamp::MAX, |next| next.at);
        let mut there = moves.iter().enumerate().filter(|(_, one)| one.to.as_ref() == Some(commit));
        there.any(|(at, one)| one.at <= to && from <= until(at))
    }

    /// How often a branch came to have this commit.
    pub fn times(&self, branch: &str, commit: &Commit) -> usize {
        self.moves(branch).iter().filter(|one| one.to.as_ref() == Some(commit)).count()
    }

    fn find(&self, commit: &Commit) -> Option<usize> {
        self.commits.iter().position(|one| one.sha == *commit)
    }

    /// What changed between two commits.
    pub fn changed(&self, base: &Commit, head: &Commit) -> Changed {
        let (Some(base), Some(head)) = (self.find(base), self.find(head)) else { return Changed::Unknown };
        let (mut files, mut at) = (Vec::new(), Some(head));
        while at != Some(base) {
            let Some(one) = at.and_then(|at| self.commits.get(at)) else { return Changed::Unknown };
            files.extend(one.files.iter().map(|file| (*file).to_owned()));
            at = one.parent;
        }
        Changed::Files(files)
    }

    fn shown(&self, branch: &str) -> Option<Head> {
        let commit = self.head(branch)?.clone();
        let made = self.commits.get(self.find(&commit)?)?;
        let url = format!("https://github.com/{REPOSITORY}/commit/{commit}");
        Some(Head { commit, title: made.title.to_owned(), author: made.author.map(str::to_owned), url })
    }

    fn pushed(&self, branch: &str, head: &Commit) -> Option<Push> {
        let last = self.moves(branch).iter().rev().find(|one| one.to.as_ref() == Some(head))?;
        Some(Push { pusher: last.pusher.map(str::to_owned) })
    }

    /// The body of a webhook about a push, as far as anybody reads it; `before` and `after` may be anything.
    pub fn push_body(now: Timestamp, branch: &str, after: Option<&Commit>) -> Value {
        json!({
            "ref": format!("refs/heads/{branch}"), "after": after.map(Commit::as_str), "deleted": after.is_none(),
            "repository": {"full_name": REPOSITORY, "pushed_at": now.as_second()},
        })
    }

    /// The body of a webhook about a pull request that was merged into a branch.
    pub fn merge_body(now: Timestamp, branch: &str) -> Value {
        json!({
            "action": "closed", "pull_request": {"merged": true, "base": {"ref": branch}, "merged_at": now.to_string()},
            "repository": {"full_name": REPOSITORY},
        })
    }
}

impl World {
    /// Somebody pushes a commit of their own to a branch, or brings it back if it was deleted.
    pub fn push(&mut self, branch: &'static str) {
        let (now, chance) = (self.now, &mut self.chance);
        let files = vec![FILES[chance.weighted(&[3, 2, 2])]];
        let title = TITLES[chance.weighted(&[3, 1, 1, 1])];
        let pusher = PUSHERS[chance.weighted(&[3, 2, 1, 1, 1, 1])];
        let author = if chance.happens(0.5) { pusher } else { None };
        let parent = self.github.head(branch).and_then(|head| self.github.find(head));
        self.github.commit_on(now, branch, parent, files, title, author, pusher);
        self.say(|| format!("  {branch} is at {:?} by {pusher:?}", self.github.head(branch)));
    }

    /// Somebody moves a branch back to a commit that it had.
    pub fn push_back(&mut self, branch: &'static str) {
        let had: Vec<Commit> = self.github.moves(branch).iter().filter_map(|one| one.to.clone()).collect();
        let Some(to) = self.chance.of(&had).cloned() else { return };
        let pusher = PUSHERS[self.chance.weighted(&[3, 2, 1, 1, 1, 1])];
        if self.github.head(branch) == Some(&to) {
            return;
        }
        self.say(|| format!("  {branch} is back at {to} by {pusher:?}"));
        let now = self.now;
        self.github.branches.entry(branch).or_default().push(Move { at: now, to: Some(to), pusher });
    }

    /// Somebody deletes a branch.
    pub fn delete_branch(&mut self, branch: &'static str) {
        let now = self.now;
        if self.github.head(branch).is_some() {
            self.github.branches.entry(branch).or_default().push(Move { at: now, to: None, pusher: None });
        }
    }

    fn github_fault(&mut self, operation: &'static str) -> Option<usize> {
        if self.github.refuses {
            return Some(4);
        }
        if self.calm {
            return None;
        }
        let rates = self.plan.pushes.github.clone();
        let at = rates.iter().position(|rate| self.chance.happens(*rate))?;
        let name = FAULTS.get(at).copied().unwrap_or_default();
        self.judge.mishaps += 1;
        self.coverage.add("GitHub fault", format!("{name}: {operation}"));
        self.say(|| format!("fault: {name} on {operation}"));
        Some(at)
    }
}

/// The way to GitHub, and what goes wrong on it.
#[derive(Debug, Clone)]
pub struct SimGitHub {
    shared: Shared,
}

impl SimGitHub {
    /// To the GitHub of this world.
    pub fn new(shared: &Shared) -> Self {
        Self { shared: shared.clone() }
    }

    async fn call<T>(&self, operation: &'static str, read: impl FnOnce(&Hub) -> T) -> Result<T, GitHubError> {
        Step::at(&self.shared, operation, Phase::Before).await;
        let (answer, slow, sent) = {
            let mut world = self.shared.world();
            let fault = world.github_fault(operation);
            let unclear = || Err(GitHubError::Unclear("no answer".to_owned()));
            let later =
                |seconds: Option<u64>| GitHubError::Later { retry_after: seconds.map(std::time::Duration::from_secs) };
            let refused = |status| GitHubError::Refused { status, message: "Bad credentials".to_owned() };
            let answer = match fault {
                None | Some(6) => Ok(read(&world.github)),
                Some(2) => Err(later(None)),
                Some(3) => Err(later(Some(world.chance.below(90) + 1))),
                Some(4) => Err(refused(401)),
                Some(5) => Err(GitHubError::NotFound("Not Found".to_owned())),
                Some(_) => unclear(),
            };
            world.say(|| format!("GitHub: {operation}: {}", if answer.is_ok() { "answered" } else { "no answer" }));
            (answer, (fault == Some(6)).then(|| world.chance.within(500, 9_500)), world.now)
        };
        match slow {
            Some(slow) => Step::taking(&self.shared, operation, Phase::After, slow).await,
            None => Step::at(&self.shared, operation, Phase::After).await,
        }
        let took = self.shared.world().now.as_millisecond() - sent.as_millisecond();
        if took < TIMEOUT { answer } else { Err(GitHubError::Unclear("a time-out".to_owned())) }
    }
}

/// Where there is nothing of that name, nothing is found.
fn known(repository: &Repository) -> bool {
    repository.as_str().eq_ignore_ascii_case(REPOSITORY)
}

impl GitHub for SimGitHub {
    async fn head(&self, repository: &Repository, branch: &Branch) -> Result<Option<Head>, GitHubError> {
        let read = |hub: &Hub| hub.shown(branch.as_str()).filter(|_| known(repository));
        match self.call("GET branch", read).await {
            Err(GitHubError::NotFound(_)) => Ok(None),
            answer => answer,
        }
    }

    async fn push(&self, repository: &Repository, branch: &Branch, head: &Commit) -> Result<Option<Push>, GitHubError> {
        let read = |hub: &Hub| hub.pushed(branch.as_str(), head).filter(|_| known(repository));
        match self.call("GET activity", read).await {
            // The newest activities show late.
            Err(GitHubError::NotFound(_)) => Ok(None),
            answer => answer,
        }
    }

    async fn changed(&self, _: &Repository, base: &Commit, head: &Commit) -> Result<Changed, GitHubError> {
        match self.call("GET comparison", |hub: &Hub| hub.changed(base, head)).await {
            Err(GitHubError::NotFound(_)) => Ok(Changed::Unknown),
            answer => answer,
        }
    }

    async fn set_status(&self, _: &Repository, _: &Commit, _: &CommitStatus) -> Result<(), GitHubError> {
        self.call("POST status", |_: &Hub| ()).await
    }
}
