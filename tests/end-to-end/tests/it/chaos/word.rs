//! Pushes, runs that nobody asked for, and who hears of it all: what happens to them, and what has to hold of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pulumi_sim::{Happened, Permission, StackSetup};
use serde_json::{Value, json};
use signoff_tests::{Answer, Ears, GITHUB_SECRET, GITHUB_TOKEN, Gate, GitHub, GitHubFault, PRINCIPAL, Setup, until};
use standardwebhooks::Webhook;

use super::people::Chance;

/// The stack that pushes ask for.
const PUSHED: &str = "acme/pushed/prod";
/// The key that signs notices.
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// In which share of the time listeners are away: whoever is not told by then is told later and later.
const AWAY: f64 = 0.6;

/// GitHub and whoever listens, and what was done to them.
#[derive(Debug)]
pub(super) struct Word {
    github: GitHub,
    ears: Ears,
    pushed: Vec<String>,
    /// How many runs were started without asking.
    unasked: usize,
}

impl Word {
    pub(super) async fn start() -> Self {
        Self { github: GitHub::start().await, ears: Ears::start().await, pushed: Vec::new(), unasked: 0 }
    }

    /// The gates before which it all happens, before those that are there.
    pub(super) fn prepare(&self, setup: Setup) -> Setup {
        let gates = format!(
            "[[channel]]\nname = \"log\"\nkind = \"webhook\"\nurl = \"{}/log\"\n\
             [[gate]]\nstacks = [\"{PUSHED}\"]\nenvironment = \"acme/credentials/prod\"\nrescue = true\nnotices = [{{ channel = \"log\" }}]\n\
             [[gate.pushes]]\nrepository = \"acme/web\"\nbranch = \"main\"\nstack = \"{PUSHED}\"\n\
             [[gate]]\nstacks = [\"acme/platform/*\"]\nenvironment = \"acme/credentials/platform\"\nnotices = [{{ channel = \"log\", on = [\"over\", \"broken\"] }}]\n\
             [[gate]]\nstacks = [\"acme/*/prod\"]\nenvironment = \"acme/credentials/prod\"\nrescue = true\nnotices = [{{ channel = \"log\" }}]\n",
            self.ears.url()
        );
        let setup = setup.gates(&gates).secret(KEY).secret(GITHUB_TOKEN).secret(GITHUB_SECRET);
        setup
            .variable("SIGNOFF_CHANNEL_SECRET_LOG", KEY)
            .variable("SIGNOFF_GITHUB_TOKEN", GITHUB_TOKEN)
            .variable("SIGNOFF_GITHUB_URL", self.github.url())
            .variable("SIGNOFF_GITHUB_WEBHOOK_SECRET", GITHUB_SECRET)
            .cloud(|cloud| {
                let stack = StackSetup::git("https://github.com/acme/web.git", "refs/heads/main");
                cloud.stack(PUSHED, stack.opens("credentials/prod"));
                for login in ["alice", PRINCIPAL] {
                    cloud.allow(login, PUSHED, Permission::Write);
                }
            })
    }

    /// Now and then somebody pushes, starts a run without asking, or does not answer; `time` is the share of it that is over.
    pub(super) fn does_something(&mut self, gate: &Gate, chance: &mut Chance, stacks: &[String], time: f64) {
        match chance.below(120) {
            0..=5 => self.pushes(gate, chance),
            6..=8 => self.runs(gate, PUSHED),
            9 => self.runs(gate, &stacks[usize::try_from(chance.below(stacks.len() as u64)).unwrap_or_default()]),
            10 | 11 => self.github.fail(Some(GitHubFault::Down)),
            12..=19 => self.github.fail(None),
            20..=22 if time < AWAY => {
                let silent = [Answer::Status(503), Answer::Never, Answer::Status(429)];
                self.ears.answer(silent[usize::try_from(chance.below(3)).unwrap_or_default()]);
            }
            20..=40 => self.ears.answer(Answer::Status(200)),
            _ => {}
        }
    }

    fn pushes(&mut self, gate: &Gate, chance: &mut Chance) {
        let pusher = if chance.below(3) == 0 { "hubot" } else { "alice" };
        let sha = self.github.push("main", pusher, pusher, &format!("Push {}", self.pushed.len()), &[]);
        self.pushed.push(sha.clone());
        // Webhooks are lost, doubled, and forged.
        for _ in 0..chance.below(3) {
            let id = format!("{sha}-{}", chance.below(2));
            let secret = if chance.below(8) == 0 { "guessed" } else { GITHUB_SECRET };
            let (github, url) = (self.github.clone(), gate.url().to_owned());
            // The process may be away: then it is lost.
            tokio::spawn(async move { github.try_deliver(&url, secret, &id, "main").await.map(drop) });
        }
    }

    fn runs(&mut self, gate: &Gate, stack: &str) {
        let body = json!({"operation": "update", "inheritSettings": true});
        if gate.click(|cloud, now| cloud.deploy(now, "alice", stack, &body)).is_ok() {
            self.unasked += 1;
        }
    }

    /// Everybody answers again, and a last push is heard of.
    pub(super) async fn calms(&mut self, gate: &Gate) {
        self.github.fail(None);
        self.ears.answer(Answer::Status(200));
        let sha = self.github.push("main", "alice", "alice", "The last push", &[]);
        let _ = self.github.try_deliver(gate.url(), GITHUB_SECRET, &sha, "main").await;
        self.pushed.push(sha);
    }

    /// What is asked for by nobody's call.
    pub(super) fn is_made(request: &Value) -> bool {
        !request["push"].is_null() || !request["rescues"].is_null()
    }

    /// Waits until the last push is asked for.
    pub(super) async fn settles(&self, gate: &Gate, within: Duration) {
        let last = self.pushed.last().cloned().unwrap_or_default();
        let asked = until(within, async || {
            gate.requests().await.iter().any(|request| request["commit"] == *last).then_some(())
        });
        assert!(asked.await.is_some(), "the last push was not asked for\n{}", gate.tail());
    }

    /// From here on nothing is asked for by itself: a run that is found late would be asked for when all is counted.
    pub(super) async fn ends(gate: &mut Gate) {
        gate.config = gate.config.replace("rescue = true", "rescue = false");
        gate.restart().await;
    }

    /// Judges all of it.
    pub(super) async fn judge(&self, gate: &Gate, requests: &[Value], within: Duration) -> String {
        let (mut commits, mut rescued) = (BTreeSet::new(), BTreeSet::new());
        for request in requests.iter().filter(|request| !request["push"].is_null()) {
            let commit = text(&request["commit"]);
            assert!(self.pushed.iter().any(|pushed| pushed == commit), "{commit} was never pushed: {request:#}");
            assert!(commits.insert(commit), "{commit} was asked for twice: {request:#}");
            for deployment in gate.deployments(text(&request["id"])) {
                assert_eq!(deployment.commit(), Some(commit), "{request:#}");
            }
            if request["outcome"]["code"] == "superseded" {
                assert!(gate.deployments(text(&request["id"])).is_empty(), "superseded, and deployed: {request:#}");
            }
        }
        for request in requests.iter().filter(|request| !request["rescues"].is_null()) {
            let run = text(&request["rescues"]["id"]);
            assert!(rescued.insert(run), "{run} was asked for twice: {request:#}");
            let cloud = gate.sim.cloud();
            let run = cloud.deployment(run).unwrap_or_else(|| panic!("there is no such run: {request:#}"));
            assert_eq!((run.created_by.as_str(), &request["requester"]["login"]), ("alice", &json!("alice")));
            assert_eq!(run.status, pulumi_sim::DeploymentStatus::Failed);
        }
        self.overtaken(gate, requests);
        let sent = self.told(requests, within).await;
        format!(
            "{} pushes, {} asked for; {} runs without asking, {} of them asked for; {sent} notices",
            self.pushed.len(),
            commits.len(),
            self.unasked,
            rescued.len()
        )
    }

    /// No older push was deployed after a newer update of the stack.
    fn overtaken(&self, gate: &Gate, requests: &[Value]) {
        let place: BTreeMap<&str, (usize, bool)> = requests
            .iter()
            .rev()
            .filter(|request| request["stack"] == PUSHED)
            .enumerate()
            .map(|(place, request)| (text(&request["id"]), (place, !request["push"].is_null())))
            .collect();
        let cloud = gate.sim.cloud();
        let mut last = 0;
        for record in cloud.history() {
            let Happened::DeploymentCreated { variables, .. } = &record.what else { continue };
            let Some((place, is_push)) = variables.get("SIGNOFF_REQUEST_ID").and_then(|id| place.get(id.as_str()))
            else {
                continue;
            };
            assert!(!is_push || *place >= last, "an older push was deployed after a newer update");
            last = last.max(*place);
        }
    }

    /// Everybody whose request is over was told so, each message under an id of its own; gives how many messages there were.
    async fn told(&self, requests: &[Value], within: Duration) -> usize {
        let over = |heard: &Value| matches!(text(&heard["type"]), "signoff.request.over" | "signoff.request.broken");
        let missing = || {
            let heard = self.ears.heard("/log");
            let told: BTreeSet<String> = heard
                .iter()
                .filter(|one| over(&one.json))
                .map(|one| text(&one.json["data"]["request"]["id"]).to_owned())
                .collect();
            requests.iter().filter(|request| !told.contains(text(&request["id"]))).count()
        };
        let all = until(within, async || (missing() == 0).then_some(())).await;
        assert!(all.is_some(), "of the ends of {} requests {} were not told", requests.len(), missing());
        let library = Webhook::new(KEY).unwrap_or_else(|error| panic!("{error}"));
        let mut ids: BTreeMap<String, (String, String)> = BTreeMap::new();
        let heard = self.ears.heard("/log");
        for one in &heard {
            match library.verify(&one.body, &one.headers) {
                // It came in time; it is looked at late.
                Ok(()) | Err(standardwebhooks::WebhookError::TimestampTooOldError) => {}
                Err(error) => panic!("a signature does not hold: {error}"),
            }
            let what = (text(&one.json["type"]).to_owned(), text(&one.json["data"]["request"]["id"]).to_owned());
            let first = ids.entry(one.header("webhook-id").to_owned()).or_insert_with(|| what.clone());
            assert_eq!(*first, what, "one id for two messages");
        }
        ids.len()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
