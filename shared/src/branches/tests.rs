use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::json;

use super::*;
use crate::cloud::DeploymentStatus;
use crate::github::{CommitStatus, Push};
use crate::names::Commit;
use crate::request::{Request, State};
use crate::testing::book::Book;
use crate::testing::clock::Clock;
use crate::testing::pulumi::Pulumi;
use crate::testing::world::{SWEEP, World, block_on};

const PUSH: &str = "github push";
const PUSHES: &str = "\n[[gate.pushes]]\nrepository = \"acme/web\"\nbranch = \"main\"\nstack = \"acme/web/prod\"\n";

/// One branch, and what happened to it.
#[derive(Default)]
struct Inside {
    head: Option<(u8, &'static str)>,
    /// The files that changed from one commit to another.
    changed: BTreeMap<(u8, u8), Vec<&'static str>>,
    down: bool,
    /// Who pushes each commit, where it is not as usual; nobody: GitHub does not list the push.
    pushers: BTreeMap<u8, Option<&'static str>>,
    /// What happens while the branch is being read.
    meanwhile: Option<Box<dyn FnOnce() + Send>>,
    calls: usize,
    /// The branches that were read.
    read: Vec<String>,
    /// How long it takes to read one, and on which clock.
    slow: Option<(Clock, SignedDuration)>,
}

#[derive(Clone, Default)]
struct Repositories(Arc<Mutex<Inside>>);

impl Repositories {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap()
    }
}

fn commit(number: u8) -> Commit {
    format!("{number:040x}").parse().unwrap()
}

fn number(commit: &Commit) -> u8 {
    u8::from_str_radix(&commit.as_str()[38..], 16).unwrap()
}

impl GitHub for Repositories {
    async fn head(&self, _: &Repository, branch: &Branch) -> Result<Option<Head>, GitHubError> {
        let (answer, meanwhile) = {
            let mut inside = self.inside();
            inside.calls += 1;
            inside.read.push(branch.to_string());
            if let Some((clock, takes)) = &inside.slow {
                clock.pass(*takes);
            }
            if inside.down {
                return Err(GitHubError::Unclear("502".to_owned()));
            }
            let head = inside.head.map(|(number, title)| Head {
                commit: commit(number),
                title: title.to_owned(),
                author: Some("hubot".to_owned()),
                url: format!("https://github.com/acme/web/commit/{number}"),
            });
            (head, inside.meanwhile.take())
        };
        if let Some(happens) = meanwhile {
            happens();
        }
        Ok(answer)
    }

    async fn push(&self, _: &Repository, _: &Branch, head: &Commit) -> Result<Option<Push>, GitHubError> {
        if let Some(pusher) = self.inside().pushers.get(&number(head)) {
            return Ok(pusher.map(|pusher| Push { pusher: Some(pusher.to_owned()) }));
        }
        let pusher = match number(head) % 4 {
            0 => None,
            1 => Some("Octocat"),
            2 => Some("alice"),
            _ => Some("mallory"),
        };
        Ok(Some(Push { pusher: pusher.map(str::to_owned) }))
    }

    async fn changed(&self, _: &Repository, base: &Commit, head: &Commit) -> Result<Changed, GitHubError> {
        let files = self.inside().changed.get(&(number(base), number(head))).cloned();
        Ok(files.map_or(Changed::Unknown, |files| Changed::Files(files.into_iter().map(str::to_owned).collect())))
    }

    async fn set_status(&self, _: &Repository, _: &Commit, _: &CommitStatus) -> Result<(), GitHubError> {
        Ok(())
    }
}

struct Pushing {
    world: World,
    github: Repositories,
    branches: Arc<Branches<Book, Repositories, Pulumi, Clock>>,
}

/// A gate with a push and these keys, at which nothing was asked for.
fn pushing(keys: &str, push_keys: &str) -> Pushing {
    let world = World::new();
    world.cancel().unwrap();
    world.work();
    let text = format!(
        "github-logins = {{ octocat = \"carol\" }}\n{}{keys}\n{PUSHES}{push_keys}",
        crate::testing::world::GATES
    );
    world.book.inside().gates = Gates::from_toml(&text).unwrap();
    world.cloud.inside().members = BTreeSet::from(["alice".parse().unwrap()]);
    let github = Repositories::default();
    let (ledger, cloud, host) = (world.book.clone(), world.cloud.clone(), world.clock.clone());
    let branches = Arc::new(Branches { ledger, github: github.clone(), cloud, host, sweep: SWEEP });
    Pushing { world, github, branches }
}

fn delivery(kind: &str) -> Delivery {
    let branches = vec![BranchPointer { repository: "Acme/Web".parse().unwrap(), branch: "main".parse().unwrap() }];
    let pointers = Pointers { branches, ..Pointers::default() };
    Delivery { id: "d".to_owned(), kind: kind.to_owned(), body: String::new(), pointers, at: Timestamp::UNIX_EPOCH }
}

impl Pushing {
    fn push(&self, number: u8, title: &'static str) {
        self.github.inside().head = Some((number, title));
        self.ring(PUSH);
        self.world.work();
    }

    fn ring(&self, kind: &str) {
        block_on(self.branches.answer(&delivery(kind))).unwrap();
    }

    fn ask_by_api(&self) -> RequestId {
        let next = self.world.book.inside().line.next;
        self.world.ask_again(next)
    }

    /// What pushes asked for, oldest first.
    fn asked(&self) -> Vec<Request> {
        let rows = self.world.book.inside().rows.values().map(|row| row.request.clone()).collect::<Vec<_>>();
        let mut pushed: Vec<_> = rows.into_iter().filter(|request| request.ask.push.is_some()).collect();
        pushed.sort_by_key(|request| request.ask.position);
        pushed
    }

    fn states(&self) -> Vec<(u8, State)> {
        let asked = self.asked();
        asked.iter().map(|one| (number(one.ask.commit.as_ref().unwrap()), one.status.state)).collect()
    }

    fn waits(&self, id: RequestId) -> Vec<String> {
        let waiting = self.world.book.inside().rows[&id].work.note.waiting.clone();
        waiting.into_iter().map(|one| format!("{}: {}", one.kind.as_str(), one.detail)).collect()
    }

    /// Somebody approves what this request opened.
    fn approve(&self, id: RequestId) {
        let wanted = self.world.book.inside().rows[&id].request.status.change_requests[0].id.clone();
        for one in self.world.cloud.inside().change_requests.iter_mut().filter(|one| one.id == wanted) {
            one.rulesets[0].approval.as_mut().unwrap().approvers.push("bob".parse().unwrap());
            (one.status, one.satisfied) = (crate::request::ChangeRequestStatus::Ready, true);
        }
    }
}

#[test]
fn a_push_asks_for_what_is_on_the_branch_once() {
    let pushing = pushing("", "");
    pushing.github.inside().head = Some((4, "Old"));
    pushing.ring(POLL);
    assert!(pushing.asked().is_empty(), "what has been there all along is nobody's wish");
    pushing.push(1, "Ship 2.4 <!channel>");
    pushing.ring(PUSH);
    pushing.ring(POLL);
    let [request] = &pushing.asked()[..] else { panic!("{:?}", pushing.states()) };
    let ask = &request.ask;
    assert_eq!((ask.commit.clone(), ask.operation.as_str()), (Some(commit(1)), "update"));
    assert_eq!(ask.reason.as_str(), "Ship 2.4 <!channel>\nhttps://github.com/acme/web/commit/1");
    assert_eq!(ask.push.as_ref().unwrap().to_string(), "acme/web main, by Octocat, written by hubot");
    assert_eq!(request.status.state, State::PendingApproval);
    let description = pushing.world.cloud.inside().change_requests.last().unwrap().description.clone();
    assert!(description.contains("\npushed to: acme/web main, by Octocat, written by hubot\n"), "{description}");
    assert!(description.contains(&format!("\ncommit: {}\n", commit(1))), "{description}");
    // A push whose webhook was lost is found by the clock.
    pushing.github.inside().head = Some((2, "Ship 2.5"));
    pushing.ring(POLL);
    assert_eq!(pushing.asked().len(), 2);
}

#[test]
fn the_first_push_of_a_stack_is_asked_for_however_github_answers_at_first() {
    let down = |pushing: &Pushing, is: bool| pushing.github.inside().down = is;
    let pushing = pushing("", "");
    down(&pushing, true);
    pushing.push(1, "Ship 2.4");
    assert!(pushing.asked().is_empty());
    down(&pushing, false);
    pushing.ring(POLL);
    assert_eq!(pushing.asked().len(), 1, "the clock comes back to it");
}

#[test]
fn who_pushed_asks_and_does_not_count() {
    let pushing = pushing("newer-push = \"queue\"", "");
    for number in 1..=4 {
        pushing.push(number, "");
    }
    let who = |request: &Request| {
        let Ask { requester, on_behalf_of, .. } = &request.ask;
        (requester.login.to_string(), requester.machine.clone(), on_behalf_of.as_ref().map(ToString::to_string))
    };
    let machine = |of: Option<&str>| ("github:acme/web".to_owned(), Some("github".to_owned()), of.map(str::to_owned));
    let asked = pushing.asked();
    assert_eq!(who(&asked[0]), ("carol".to_owned(), None, None), "by the table");
    assert_eq!(who(&asked[1]), ("alice".to_owned(), None, None), "by the same login");
    assert_eq!(who(&asked[2]), machine(Some("mallory")), "no member");
    assert_eq!(who(&asked[3]), machine(Some("hubot")), "GitHub does not say: who wrote it");
    assert!(asked[2].ask.is_asked_by(&"Mallory".parse().unwrap()));
    assert_eq!(asked[3].ask.reason.as_str().lines().next(), Some("Push to main"));
}

#[test]
fn who_wrote_it_does_not_count_where_an_app_pushed_and_a_login_that_is_anothers_is_nobodys() {
    let pushing = pushing("newer-push = \"queue\"", "");
    // Carol is Octocat at GitHub, so whoever is carol there is somebody else.
    pushing.github.inside().pushers = BTreeMap::from([(1, Some("github-merge-queue[bot]")), (2, Some("Carol"))]);
    pushing.world.cloud.inside().members.insert("carol".parse().unwrap());
    pushing.push(1, "merged by an app");
    pushing.push(2, "by a stranger");
    let asked = pushing.asked();
    let claimed: Vec<_> = asked.iter().map(|one| one.ask.on_behalf_of.as_ref().unwrap().as_str()).collect();
    assert_eq!(claimed, ["hubot", "Carol"]);
    assert!(asked.iter().all(|one| one.ask.requester.machine.is_some()));
    // By the table, the author too.
    let text = crate::testing::world::GATES;
    let text = format!("github-logins = {{ hubot = \"dave\" }}\n{text}newer-push = \"queue\"\n{PUSHES}");
    pushing.world.book.inside().gates = Gates::from_toml(&text).unwrap();
    pushing.github.inside().pushers.insert(3, Some("dependabot[bot]"));
    pushing.push(3, "by an app");
    assert!(pushing.asked()[2].ask.is_asked_by(&"dave".parse().unwrap()));
}

#[test]
fn where_the_principal_may_not_see_who_is_a_member_the_same_login_is_claimed_and_does_not_count() {
    let pushing = pushing("", "");
    let refused = CloudError::Refused { status: 403, message: "only administrators may see that".to_owned() };
    pushing.world.cloud.fail("permission", crate::testing::pulumi::Fault::Answer(refused));
    pushing.push(2, "by alice");
    let ask = &pushing.asked()[0].ask;
    assert_eq!(ask.on_behalf_of, Some("alice".parse().unwrap()));
    assert!(ask.requester.machine.is_some() && ask.is_asked_by(&"Alice".parse().unwrap()));
}

#[test]
fn a_push_that_github_does_not_list_yet_is_waited_for_once() {
    let pushing = pushing("newer-push = \"queue\"", "");
    pushing.push(1, "first");
    pushing.github.inside().pushers = BTreeMap::from([(2, None), (3, None)]);
    pushing.push(2, "second");
    assert_eq!(pushing.asked().len(), 1);
    pushing.github.inside().pushers.insert(2, Some("Octocat"));
    pushing.ring(POLL);
    assert_eq!(pushing.asked()[1].ask.requester.login, "carol".parse().unwrap());
    pushing.push(3, "third");
    pushing.ring(POLL);
    assert_eq!(pushing.asked().len(), 2, "the clock may have come to it right after it was pushed");
    pushing.ring(POLL);
    assert!(pushing.asked()[2].ask.is_asked_by(&"hubot".parse().unwrap()), "it is never listed");
}

#[test]
fn the_first_push_of_a_stack_is_waited_for_too() {
    let pushing = pushing("", "");
    pushing.github.inside().pushers = BTreeMap::from([(1, None)]);
    pushing.push(1, "first");
    pushing.push(1, "first");
    pushing.ring(POLL);
    assert!(pushing.asked().is_empty());
    pushing.github.inside().pushers.insert(1, Some("Octocat"));
    pushing.ring(POLL);
    assert_eq!(pushing.asked()[0].ask.requester.login, "carol".parse().unwrap());
}

#[test]
fn of_two_that_look_at_once_the_older_answer_asks_for_nothing() {
    let pushing = pushing("newer-push = \"queue\"", "");
    pushing.push(1, "first");
    // While one reads what is there, it is pushed over, and that is asked for.
    pushing.github.inside().head = Some((2, "second"));
    let (github, branches) = (pushing.github.clone(), pushing.branches.clone());
    pushing.github.inside().meanwhile = Some(Box::new(move || {
        github.inside().head = Some((3, "third"));
        block_on(branches.answer(&delivery(PUSH))).unwrap();
    }));
    pushing.ring(PUSH);
    let commits: Vec<_> = pushing.states().into_iter().map(|(number, _)| number).collect();
    assert_eq!(commits, [1, 3]);
}

#[test]
fn only_what_touches_the_paths_is_asked_for() {
    let pushing = pushing("newer-push = \"queue\"", "paths = [\"infra/**\", \"*.yaml\"]\n");
    pushing.push(1, "first");
    pushing.github.inside().changed =
        BTreeMap::from([((1, 2), vec!["README.md", "docs/infra/x"]), ((1, 3), vec!["README.md", "infra/a/b.ts"])]);
    pushing.push(2, "words");
    assert_eq!(pushing.asked().len(), 1);
    pushing.push(3, "since the last that was asked for");
    pushing.push(4, "forced: what changed can't be told");
    let commits: Vec<_> = pushing.states().into_iter().map(|(number, _)| number).collect();
    assert_eq!(commits, [1, 3, 4]);
}

#[test]
fn a_newer_push_supersedes_what_still_waits() {
    let pushing = pushing("", "");
    pushing.push(1, "first");
    let first = pushing.asked()[0].ask.id;
    pushing.push(2, "second");
    assert_eq!(pushing.states(), [(1, State::Cancelled), (2, State::PendingApproval)]);
    let asked = pushing.asked();
    let outcome = asked[0].status.outcome.clone().unwrap();
    assert_eq!(outcome.code, "superseded");
    assert!(outcome.message.contains(&asked[1].ask.id.to_string()), "{}", outcome.message);
    let inside = pushing.world.cloud.inside();
    let comment = inside.history.iter().rev().find_map(|(_, change)| change.comment.clone()).unwrap();
    assert!(comment.contains(&first.to_string()) && comment.contains(&asked[1].ask.id.to_string()), "{comment}");
}

#[test]
fn what_is_approved_is_superseded_only_where_the_gate_says_so() {
    for (keys, state) in [("", State::Approved), ("supersede-approved = true\n", State::Cancelled)] {
        let pushing = pushing(keys, "");
        pushing.world.cloud.inside().paused = true;
        pushing.push(1, "first");
        pushing.approve(pushing.asked()[0].ask.id);
        pushing.world.pass(1);
        assert_eq!(pushing.states(), [(1, State::Approved)]);
        pushing.push(2, "second");
        pushing.world.pass(1);
        assert_eq!(pushing.states(), [(1, state), (2, State::PendingApproval)], "{keys}");
    }
}

#[test]
fn what_an_api_asked_for_is_superseded_by_no_push() {
    let pushing = pushing("", "");
    let asked = pushing.ask_by_api();
    pushing.push(1, "first");
    pushing.world.pass(1);
    assert_eq!(pushing.world.book.inside().rows[&asked].request.status.state, State::PendingApproval);
}

/// An older one that was approved after an update that was asked for later ran: it waits, or goes on, as the gate says.
fn overtaken(keys: &str, by_api: bool) -> (State, Vec<String>) {
    let pushing = pushing(&format!("newer-push = \"queue\"\n{keys}"), "");
    let older = if by_api {
        let id = pushing.ask_by_api();
        pushing.world.work();
        id
    } else {
        pushing.push(1, "older");
        pushing.asked()[0].ask.id
    };
    pushing.push(2, "newer");
    let newer = pushing.asked().last().unwrap().ask.id;
    pushing.approve(newer);
    pushing.world.pass(2);
    pushing.world.cloud.run(0, DeploymentStatus::Succeeded);
    pushing.world.pass(1);
    pushing.approve(older);
    pushing.world.pass(2);
    let state = pushing.world.book.inside().rows[&older].request.status.state;
    // What is overtaken holds nobody up.
    pushing.push(5, "the newest");
    let newest = pushing.asked().last().unwrap().ask.id;
    pushing.approve(newest);
    if state == State::Approved {
        pushing.world.pass(2);
        assert_eq!(pushing.states().last().unwrap(), &(5, State::Deploying));
    }
    (state, pushing.waits(older))
}

#[test]
fn an_older_push_is_not_deployed_after_a_newer_update() {
    let (state, waits) = overtaken("", false);
    assert_eq!(state, State::Approved);
    assert!(waits[0].starts_with("overtaken: an update of acme/web/prod that was asked for later"), "{waits:?}");
    assert_eq!(overtaken("allow-older = true\n", false).0, State::Deploying);
    assert_eq!(overtaken("", true).0, State::Deploying, "what an API asked for is not held");
    assert_eq!(overtaken("allow-older = false\n", true).0, State::Approved);
}

#[test]
fn who_is_to_approve_learns_before_that_it_would_not_be_deployed() {
    let pushing = pushing("newer-push = \"queue\"", "");
    pushing.push(1, "older");
    pushing.push(2, "newer");
    let [older, newer] = [0, 1].map(|at: usize| pushing.asked()[at].ask.id);
    pushing.approve(newer);
    pushing.world.pass(2);
    pushing.world.cloud.run(0, DeploymentStatus::Succeeded);
    pushing.world.pass(3);
    let waits = pushing.waits(older);
    assert!(waits[0].starts_with("approvals: ") && waits[1].starts_with("overtaken: "), "{waits:?}");
    assert!(waits[1].contains("cancel this one and ask for what is wanted now"), "{waits:?}");
}

#[test]
fn while_github_is_down_nothing_is_asked_for_and_the_clock_comes_back() {
    let pushing = pushing("", "");
    pushing.push(1, "first");
    pushing.github.inside().down = true;
    pushing.push(2, "second");
    assert_eq!(pushing.asked().len(), 1);
    pushing.github.inside().down = false;
    pushing.ring(POLL);
    assert_eq!(pushing.asked().len(), 2);
}

#[test]
fn no_branch_is_read_when_the_time_is_up_and_the_clock_comes_back_to_the_rest() {
    let more = |branch: &str, stack: &str| PUSHES.replace("main", branch).replace("acme/web/prod", stack);
    let pushing = pushing("", &format!("{}{}", more("next", "acme/api/prod"), more("old", "acme/db/prod")));
    pushing.push(1, "first");
    let mut all = delivery(POLL);
    for name in ["next", "old"] {
        let repository = "acme/web".parse().unwrap();
        all.pointers.branches.push(BranchPointer { repository, branch: name.parse().unwrap() });
    }
    pushing.github.inside().slow = Some((pushing.world.clock.clone(), SignedDuration::from_secs(31)));
    let mut read = |turn: i64| {
        all.at = Timestamp::UNIX_EPOCH + SWEEP * i32::try_from(POLL_SWEEPS * turn).unwrap();
        pushing.github.inside().read.clear();
        block_on(pushing.branches.answer(&all)).unwrap();
        pushing.github.inside().read.clone()
    };
    assert_eq!([read(0), read(1), read(2)], [["main", "next"], ["next", "old"], ["old", "main"]]);
}

#[test]
fn no_rule_of_a_branch_is_taken_up_when_the_time_is_up() {
    let more = |stack: &str| PUSHES.replace("acme/web/prod", stack);
    let pushing = pushing("", &format!("{}{}", more("acme/api/prod"), more("acme/db/prod")));
    pushing.push(1, "first");
    for (takes, rules) in [(1, 3), (31, 2), (61, 1)] {
        pushing.github.inside().slow = Some((pushing.world.clock.clone(), SignedDuration::from_secs(takes)));
        pushing.github.inside().read.clear();
        pushing.ring(POLL);
        assert_eq!(pushing.github.inside().read.len(), rules, "{takes} s each");
    }
}

#[test]
fn a_flood_of_pushes_looks_no_more_often_than_is_useful() {
    let pushing = pushing("", "");
    pushing.push(1, "first");
    let before = pushing.github.inside().calls;
    (0..100).for_each(|_| pushing.ring(PUSH));
    let most = usize::try_from(crate::ledger::MAX_RINGS).unwrap();
    assert_eq!(pushing.github.inside().calls - before, most - 1);
    // What was pushed meanwhile is found by the clock, and by webhooks when the flood is over.
    pushing.push(2, "second");
    assert_eq!(pushing.asked().len(), 1);
    pushing.ring(POLL);
    assert_eq!(pushing.asked().len(), 2);
    pushing.world.clock.pass(SignedDuration::from_secs(crate::ledger::RING_WINDOW_SECONDS));
    pushing.push(5, "third");
    assert_eq!(pushing.asked().len(), 3);
}

#[test]
fn the_clock_looks_at_each_branch_once_in_five_sweeps() {
    let pushing = pushing("", "");
    let start = pushing.world.clock.now();
    let mut polled = BTreeSet::new();
    for _ in 0..20 {
        pushing.world.clock.pass(SWEEP);
        block_on(poll(&pushing.world.book, &pushing.world.clock, SWEEP)).unwrap();
        let deliveries = std::mem::take(&mut pushing.world.book.inside().deliveries);
        polled.extend(deliveries.into_iter().map(|delivery| {
            assert_eq!(delivery.pointers.branches.len(), 1);
            assert!(delivery.id.contains(' '), "a webhook could have the id {}", delivery.id);
            delivery.id
        }));
    }
    let minutes = pushing.world.clock.now().duration_since(start).as_mins();
    assert_eq!((minutes, polled.len()), (20, 5), "{polled:?}");
    pushing.world.book.inside().gates = Gates::default();
    pushing.world.clock.pass(SWEEP * 5);
    block_on(poll(&pushing.world.book, &pushing.world.clock, SWEEP)).unwrap();
    assert!(pushing.world.book.inside().deliveries.is_empty());
}

#[test]
fn payloads_point_to_branches_and_nothing_else() {
    let found = |event: &str, body: serde_json::Value| {
        pointer(event, &body).map(|found| format!("{} {}", found.repository, found.branch))
    };
    let repository = json!({"full_name": "acme/web"});
    assert_eq!(
        found("push", json!({"ref": "refs/heads/release/1", "repository": repository})).unwrap(),
        "acme/web release/1"
    );
    let merged = json!({"action": "closed", "pull_request": {"merged": true, "base": {"ref": "main"}}, "repository": repository});
    assert_eq!(found("pull_request", merged.clone()).unwrap(), "acme/web main");
    let mut closed = merged.clone();
    closed["pull_request"]["merged"] = json!(false);
    for (event, body) in [
        ("push", json!({"ref": "refs/tags/v1", "repository": repository})),
        ("push", json!({"ref": "refs/heads/main", "deleted": true, "repository": repository})),
        ("push", json!({"ref": "refs/heads/main", "repository": {"full_name": "../x"}})),
        ("push", json!({"ref": "refs/heads/a..b", "repository": repository})),
        ("push", json!([])),
        ("pull_request", closed),
        ("ping", json!({"zen": "x", "repository": repository})),
        ("workflow_run", merged),
    ] {
        assert_eq!(found(event, body.clone()), None, "{event} {body}");
    }
}
