//! People who do what they like.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pulumi_sim::{ChangeRequest, Revision};
use reqwest::{Client, Method};
use serde_json::json;
use signoff_tests::{Gate, client, send};
use tokio::task::JoinHandle;

/// Who approves; alice is one of them, though most requests are hers.
const REVIEWERS: [&str; 4] = ["alice", "bob", "carol", "carol"];
/// Who asks: dave may since he is an admin.
const REQUESTERS: [&str; 4] = ["alice", "alice", "alice", "dave"];
/// Rulesets that somebody may switch off and on again, the first most often: nearly every request is behind the second.
const RULESETS: [(&str, &str); 3] = [
    ("acme/credentials/platform", "platform-signoff"),
    ("acme/network/prod", "network-signoff"),
    ("acme/credentials/prod", "prod-signoff"),
];
/// In which share of the time all is asked for.
const ASKING: f64 = 0.8;
/// How long whoever got no answer waits before trying again.
const PAUSE: Duration = Duration::from_millis(250);

/// A small seeded generator (SplitMix64).
#[derive(Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below this one.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let at = self.below(all.len() as u64);
        all.get(usize::try_from(at).unwrap_or_default())
    }
}

/// All of them, and what they still want.
#[derive(Debug)]
pub(super) struct Crowd {
    client: Client,
    /// Where the gate is; it moves with each start.
    url: Arc<Mutex<String>>,
    stacks: Vec<String>,
    all: usize,
    to_ask: usize,
    /// The ruleset that is switched off just now.
    off: Option<(&'static str, &'static str)>,
    asking: Vec<JoinHandle<String>>,
    cancelling: Vec<JoinHandle<()>>,
    known: Arc<Mutex<Vec<(String, String)>>>,
}

impl Crowd {
    pub(super) fn new(gate: &Gate, to_ask: usize, stacks: Vec<String>) -> Self {
        Self {
            client: client(),
            url: Arc::new(Mutex::new(gate.url().to_owned())),
            stacks,
            all: to_ask,
            to_ask,
            off: None,
            asking: Vec::new(),
            cancelling: Vec::new(),
            known: Arc::default(),
        }
    }

    /// The gate is somewhere else now.
    pub(super) fn moved(&mut self, url: &str) {
        *self.url.lock().unwrap_or_else(PoisonError::into_inner) = url.to_owned();
    }

    /// Somebody does one thing, when this share of the time is over. What takes an answer of the gate goes on by itself.
    pub(super) fn does_something(&mut self, gate: &Gate, chance: &mut Chance, time: f64) {
        let wanted = (self.all as f64 * (time / ASKING)).ceil() as usize;
        if self.all - self.to_ask < wanted.min(self.all) {
            return self.asks(chance);
        }
        let open = gate.open_change_requests();
        let cr = chance.of(&open);
        let login = chance.of(&REVIEWERS).copied().unwrap_or_default();
        match chance.below(1000) {
            0..=9 => self.cancels(chance),
            10..=94 => self.clicks(gate, cr, |cloud, now, id| cloud.unapprove(now, login, id, Some("wait"))),
            95..=104 => self.clicks(gate, cr, |cloud, now, id| cloud.close_as(now, "dave", id, Some("no"))),
            105..=119 => self.clicks(gate, cr, |cloud, now, id| cloud.apply_as(now, "dave", id)),
            120..=124 => self.clicks(gate, cr, |cloud, now, id| cloud.edit_description(now, "dave", id, "Looks good")),
            125..=129 => self.clicks(gate, cr, |cloud, now, id| {
                cloud.add_revision(now, "dave", id, Revision { grant_seconds: 60, access_seconds: 86_400 }).map(drop)
            }),
            130..=132 => self.changes_settings(gate, chance),
            133..=140 => self.switches(gate, chance),
            _ => self.clicks(gate, cr, |cloud, now, id| cloud.approve(now, login, id)),
        }
        if chance.below(10) == 0 {
            self.settles(gate);
        }
    }

    /// Switches a ruleset off, until [`Self::settles`].
    fn switches(&mut self, gate: &Gate, chance: &mut Chance) {
        if self.off.is_none() {
            let rare = usize::from(chance.below(8) == 0) + usize::from(chance.below(2) == 0);
            self.off = Some(RULESETS[rare]);
            self.switch(gate, RULESETS[rare], false);
        }
    }

    /// Whatever was switched off is switched on again.
    pub(super) fn settles(&mut self, gate: &Gate) {
        if let Some(ruleset) = self.off.take() {
            self.switch(gate, ruleset, true);
        }
    }

    fn switch(&self, gate: &Gate, (environment, name): (&str, &str), on: bool) {
        let now = gate.sim.now();
        assert!(gate.sim.cloud().set_ruleset_enabled(now, environment, name, on), "there is no ruleset {name}");
    }

    /// Somebody changes the deployment settings of a stack.
    fn changes_settings(&self, gate: &Gate, chance: &mut Chance) {
        let Some(stack) = chance.of(&self.stacks) else { return };
        let branch = format!("refs/heads/release-{}", chance.below(1000));
        let (now, change) = (gate.sim.now(), json!({"sourceContext": {"git": {"branch": branch}}}));
        assert!(gate.sim.cloud().patch_settings(now, Some("dave"), stack, &change), "there is no stack {stack}");
    }

    fn clicks(
        &self,
        gate: &Gate,
        cr: Option<&ChangeRequest>,
        click: impl FnOnce(&mut pulumi_sim::Cloud, jiff::Timestamp, &str) -> Result<(), pulumi_sim::Refusal>,
    ) {
        if let Some(cr) = cr {
            // Who may not, or is late, is refused.
            let _ = gate.click(|cloud, now| click(cloud, now, &cr.id));
        }
    }

    /// Somebody asks until there is an answer, always under the same key.
    fn asks(&mut self, chance: &mut Chance) {
        if self.to_ask == 0 {
            return;
        }
        self.to_ask -= 1;
        let login = chance.of(&REQUESTERS).copied().unwrap_or_default();
        let stack = chance.of(&self.stacks).cloned().unwrap_or_default();
        let mut body = json!({"stack": stack, "operation": "update", "reason": format!("Ship {}", self.to_ask)});
        if chance.below(6) == 0 {
            body["pendingTimeout"] = json!("15s");
        }
        let (client, url, known) = (self.client.clone(), Arc::clone(&self.url), Arc::clone(&self.known));
        let key = format!("ask-{}", self.to_ask);
        self.asking.push(tokio::spawn(async move {
            let authorization = format!("token pul-{login}");
            let headers = [
                ("authorization", authorization.as_str()),
                ("content-type", "application/json"),
                ("idempotency-key", key.as_str()),
            ];
            loop {
                let target = format!("{}/v1/requests", here(&url));
                let reply = send(&client, Method::POST, &target, &headers, Some(body.to_string())).await;
                if let Ok(reply) = reply {
                    if let (200 | 202, Some(id)) = (reply.status, reply.body["id"].as_str()) {
                        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                        known.push((login.to_owned(), id.to_owned()));
                        return id.to_owned();
                    }
                    // Too many of theirs may be open on this stack just now.
                    assert!(matches!(reply.status, 429 | 503), "{login} may ask for {stack}: {}", reply.text);
                }
                tokio::time::sleep(PAUSE).await;
            }
        }));
    }

    /// Somebody takes a request of theirs back, once: if no answer comes, so be it.
    fn cancels(&mut self, chance: &mut Chance) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((login, id)) = chance.of(&known).cloned() else { return };
        let (client, url) = (self.client.clone(), here(&self.url));
        self.cancelling.push(tokio::spawn(async move {
            let authorization = format!("token pul-{login}");
            let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
            let target = format!("{url}/v1/requests/{id}/cancel");
            let body = json!({"reason": "not needed"}).to_string();
            if let Ok(reply) = send(&client, Method::POST, &target, &headers, Some(body)).await {
                assert!(matches!(reply.status, 202 | 409 | 503), "{login} may cancel {id}: {}", reply.text);
            }
        }));
    }

    /// Asks for what was still to be asked for, and waits until all answers are there; gives the ids.
    pub(super) async fn asked(mut self) -> Vec<String> {
        let mut chance = Chance::new(self.to_ask as u64);
        while self.to_ask > 0 {
            self.asks(&mut chance);
        }
        let mut ids = Vec::new();
        for one in self.asking {
            ids.push(one.await.unwrap_or_else(|error| panic!("whoever asks gets an answer: {error}")));
        }
        for one in self.cancelling {
            one.await.unwrap_or_else(|error| panic!("whoever cancels gets a sensible answer: {error}"));
        }
        ids
    }
}

fn here(url: &Mutex<String>) -> String {
    url.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
