//! Tampering with the trail behind signoff's back: what the chains show, what only checkpoints show, and what becomes of the checkpoints.

mod store;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use signoff_core::chain::{self, Sealed};
use signoff_tests::{Ended, Gate, LIMIT, Setup, command, run, until};

/// A gate that was stopped, what it exported, and where its checkpoints and their key are.
struct Evidence {
    gate: Gate,
    events: Vec<Value>,
    checkpoints: PathBuf,
    key: PathBuf,
}

impl Evidence {
    /// Two requests that were deployed and one that was taken back, in this order.
    async fn gather() -> (Self, [String; 3]) {
        let mut gate = Setup::new().start().await;
        let mut ids = Vec::new();
        for stack in ["acme/web/prod", "acme/api/prod"] {
            let id = gate.ask("alice", stack, "update").await;
            gate.approve("bob", &id).await;
            gate.expect_state(&id, "succeeded").await;
            ids.push(id);
        }
        let id = gate.ask("alice", "acme/web/prod", "update").await;
        gate.expect_state(&id, "pending_approval").await;
        assert_eq!(gate.cancel("alice", &id).await.status, 202);
        gate.expect_state(&id, "cancelled").await;
        ids.push(id);
        let events = export(&gate).await;
        assert_eq!(gate.stop().await, Some(0));
        let data = gate.directory.join("data");
        let (checkpoints, key) = (data.join("checkpoints.jsonl"), data.join("checkpoint-key.pub"));
        (Self { gate, events, checkpoints, key }, ids.try_into().expect("there are three"))
    }

    /// The check of a trail, without checkpoints and with them.
    async fn verify(&self, events: &[Value]) -> [Ended; 2] {
        [self.check(events, None, &[]).await, self.check(events, Some((&self.checkpoints, &self.key)), &[]).await]
    }

    async fn check(&self, events: &[Value], against: Option<(&Path, &Path)>, also: &[&str]) -> Ended {
        let file = self.gate.directory.join("trail.ndjson");
        fs::write(&file, lines(events)).expect("a file can be written");
        let mut verify = command(&self.gate.directory, &[]);
        verify.args(["audit", "verify"]).arg(&file).args(also);
        if let Some((checkpoints, key)) = against {
            verify.arg("--checkpoints").arg(checkpoints).arg("--key").arg(key);
        }
        run(verify, LIMIT).await
    }

    /// A trail that the chain by itself shows to be broken: with these words, and with checkpoints too.
    async fn is_broken(&self, id: &str, words: &str, events: &[Value]) {
        for ended in self.verify(events).await {
            assert_eq!(ended.code, Some(1), "{}", ended.out);
            assert!(ended.out.contains(&format!("BROKEN  {id}  {words}")), "{words} is not in:\n{}", ended.out);
        }
    }

    /// A trail that is well by itself, and that only checkpoints show to be another one.
    async fn is_shown_by_checkpoints(&self, id: &str, words: &str, events: &[Value]) {
        let [without, with] = self.verify(events).await;
        assert_eq!(without.code, Some(0), "{}", without.out);
        assert!(without.err.contains("does not show") && without.err.contains("--checkpoints"), "{}", without.err);
        assert_eq!(with.code, Some(1), "{}{}", with.out, with.err);
        let said = with.out.lines().find(|line| line.starts_with(&format!("BROKEN  {id}")));
        assert!(said.is_some_and(|said| said.contains(words)), "{words} is not said of {id}:\n{}", with.out);
    }

    /// Where an event of a request stands in the export.
    fn place(&self, id: &str, sequence: u64) -> usize {
        let wanted = format!("{sequence:010}");
        let is_it = |event: &Value| event["subject"] == id && event["sequence"] == wanted.as_str();
        self.events.iter().position(is_it).expect("there is such an event")
    }

    fn trail(&self, id: &str) -> Vec<Sealed> {
        let of = self.events.iter().filter(|event| event["subject"] == id);
        of.map(|event| serde_json::from_value(event.clone()).expect("it is an event")).collect()
    }

    fn changed(&self, change: impl FnOnce(&mut Vec<Value>)) -> Vec<Value> {
        let mut events = self.events.clone();
        change(&mut events);
        events
    }
}

fn lines(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

async fn export(gate: &Gate) -> Vec<Value> {
    let exported = gate.cli("dave", &["audit", "export"]).await;
    assert_eq!(exported.code, Some(0), "{}", exported.err);
    exported.out.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// Hashes a trail anew from the event with this index on, as somebody would who can write the ledger.
fn rehash(trail: &mut [Sealed], from: usize) {
    for index in from..trail.len() {
        trail[index].prevhash = index.checked_sub(1).map_or(chain::GENESIS.to_owned(), |at| trail[at].hash.clone());
        trail[index].hash = chain::hash(&trail[index]).expect("it can be hashed");
    }
}

#[tokio::test]
async fn what_was_done_to_the_trail_is_named() {
    let (evidence, [first, second, _]) = Evidence::gather().await;
    for ended in evidence.verify(&evidence.events).await {
        assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
        assert!(ended.out.ends_with("3 requests ok, 0 broken\n"), "{}", ended.out);
    }

    // What the chains show by themselves.
    let at = |sequence| evidence.place(&second, sequence);
    let edited = evidence.changed(|all| all[at(5)]["data"]["actor"] = json!({"login": "eve"}));
    evidence.is_broken(&second, "event 5 was edited", &edited).await;
    let dropped = evidence.changed(|all| drop(all.remove(at(4))));
    evidence.is_broken(&second, "event 0000000005 stands where event 4 belongs", &dropped).await;
    let inserted = evidence.changed(|all| all.insert(at(4), all[at(3)].clone()));
    evidence.is_broken(&second, "event 0000000003 stands where event 4 belongs", &inserted).await;
    let reordered = evidence.changed(|all| {
        let (one, other) = (all[at(3)]["sequence"].take(), all[at(4)]["sequence"].take());
        (all[at(3)]["sequence"], all[at(4)]["sequence"]) = (other, one);
    });
    evidence.is_broken(&second, "event 3 was edited", &reordered).await;

    // What they don't.
    let count = evidence.trail(&second).len() as u64;
    let cut = evidence.changed(|all| drop(all.remove(at(count))));
    evidence.is_shown_by_checkpoints(&second, &format!("event {count} of "), &cut).await;
    let removed = evidence.changed(|all| all.retain(|event| event["subject"] != first.as_str()));
    evidence.is_shown_by_checkpoints(&first, "the whole request is missing", &removed).await;
    let mut forged = evidence.trail(&second);
    let approved = forged.iter().position(|event| event.kind.ends_with(".approved")).expect("it was approved");
    forged[approved].data.actor = serde_json::from_value(json!({"login": "carol"})).expect("it is an actor");
    rehash(&mut forged, approved);
    let rewritten = evidence.changed(|all| {
        all.retain(|event| event["subject"] != second.as_str());
        all.extend(forged.iter().map(|event| json!(event)));
    });
    let words = format!("event {} is not the one that checkpoint", approved + 1);
    evidence.is_shown_by_checkpoints(&second, &words, &rewritten).await;
    // A request that never was, of a time for which there are checkpoints.
    let other = "req_01KAT5Y2Z8M4Q6W3V7N9B1C2D3";
    let mut invented = evidence.trail(&second);
    for event in &mut invented {
        event.subject = other.parse().expect("it is an id");
        event.time = event.time.checked_sub(jiff::SignedDuration::from_hours(1)).expect("it is a time");
        if event.kind.ends_with(".requested") {
            event.data.evidence["id"] = other.into();
            event.data.evidence["createdAt"] = event.time.to_string().into();
        }
    }
    rehash(&mut invented, 0);
    invented.truncate(1);
    let more = evidence.changed(|all| all.extend(invented.iter().map(|event| json!(event))));
    evidence.is_shown_by_checkpoints(other, "no checkpoint saw it", &more).await;
    evidence.gate.finish().await;
}

#[tokio::test]
async fn a_part_of_the_trail_is_well_when_it_is_said_to_be_one() {
    let (evidence, [first, second, _]) = Evidence::gather().await;
    let time = |index: usize| evidence.events[index]["time"].as_str().expect("it has a time").to_owned();
    let (since, until) = (time(evidence.place(&first, 3)), time(evidence.place(&second, 4)));
    // Not as texts: a time of a whole hundredth of a second is written with fewer digits.
    let moment = |text: &str| text.parse::<jiff::Timestamp>().expect("it is a time");
    let is_in =
        |event: &&Value| (moment(&since)..moment(&until)).contains(&moment(event["time"].as_str().unwrap_or("")));
    let part: Vec<Value> = evidence.events.iter().filter(is_in).cloned().collect();
    let against = Some((evidence.checkpoints.as_path(), evidence.key.as_path()));
    let bounds = ["--since", since.as_str(), "--until", until.as_str()];
    let ended = evidence.check(&part, against, &bounds).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    let ended = evidence.check(&part, against, &[]).await;
    assert!(ended.code == Some(1) && ended.err.contains("--since and --until"), "{}{}", ended.out, ended.err);
    // Within the bounds, what is missing shows.
    let ended = evidence.check(&part[..part.len() - 1], against, &bounds).await;
    assert!(ended.code == Some(1) && ended.out.contains("missing"), "{}{}", ended.out, ended.err);
    evidence.gate.finish().await;
}

#[tokio::test]
async fn what_was_done_to_the_checkpoints_is_named() {
    let (evidence, _) = Evidence::gather().await;
    let good = fs::read_to_string(&evidence.checkpoints).expect("there are checkpoints");
    let lines: Vec<&str> = good.lines().collect();
    assert!(lines.len() > 3, "{good}");
    let changed = evidence.gate.directory.join("changed.jsonl");
    let verify = async |text: &str, key: &Path| {
        fs::write(&changed, text).expect("a file can be written");
        evidence.check(&evidence.events, Some((&changed, key)), &[]).await
    };
    let ended = verify(&good.replacen("acme", "acne", 1), &evidence.key).await;
    assert!(ended.code == Some(1) && ended.out.contains("was edited"), "{}", ended.out);
    let without = [&lines[..1], &lines[2..]].concat().join("\n");
    let ended = verify(&without, &evidence.key).await;
    assert!(ended.out.contains("line 2  checkpoint 3 stands where checkpoint 2 belongs"), "{}", ended.out);
    assert_eq!(ended.code, Some(1));
    // The beginning of a line, as a write leaves it that was cut short.
    let ended = verify(&format!("{good}{}", &lines[1][..40]), &evidence.key).await;
    assert!(ended.code == Some(0) && ended.err.contains("cut short"), "{}{}", ended.out, ended.err);

    // The private key does as well as its public half, and another one does not.
    let data = evidence.gate.directory.join("data");
    assert_eq!(verify(&good, &data.join("checkpoint-key")).await.code, Some(0));
    let other = evidence.gate.directory.join("other");
    let process =
        signoff_tests::Process::start(evidence.gate.local(&other), &evidence.gate.directory.join("other.log")).await;
    assert_eq!(process.expect("it starts").stop().await.0, Some(0));
    let ended = verify(&good, &other.join("checkpoint-key.pub")).await;
    assert!(ended.code == Some(1) && ended.out.contains("signed by another key"), "{}", ended.out);
    let mode = fs::metadata(data.join("checkpoint-key")).expect("there is a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // signoff itself does not go on from what it did not sign, or without its key.
    fs::copy(other.join("checkpoints.jsonl"), &changed).expect("a file can be copied");
    let refused = async |name: &str, value: &Path| {
        let mut command = evidence.gate.local(&data);
        command.env(name, value);
        let ended = run(command, LIMIT).await;
        assert_eq!(ended.code, Some(1), "{}", ended.out);
        ended.err
    };
    let said = refused("SIGNOFF_CHECKPOINTS", &changed).await;
    assert!(said.contains("signed by another key"), "{said}");
    fs::rename(data.join("checkpoint-key"), data.join("away")).expect("a file can be moved");
    let said = refused("SIGNOFF_CHECKPOINTS", &evidence.checkpoints).await;
    assert!(said.contains("the key that signed them"), "{said}");
    fs::rename(data.join("away"), data.join("checkpoint-key")).expect("a file can be moved");
    evidence.gate.finish().await;
}

#[tokio::test]
async fn killed_while_it_writes_checkpoints_nothing_is_lost() {
    let elsewhere = std::env::temp_dir().join(format!("signoff-checkpoints-{}.jsonl", std::process::id()));
    let name = elsewhere.to_str().expect("it has a name");
    let mut gate = Setup::new().reconcile_every("20ms").variable("SIGNOFF_CHECKPOINTS", name).start().await;
    let size = || fs::metadata(&elsewhere).map_or(0, |file| file.len());
    for round in 0..4 {
        let before = size();
        let id = gate.ask("alice", "acme/web/prod", "update").await;
        if round % 2 == 0 {
            gate.approve("bob", &id).await;
        } else {
            gate.cancel("alice", &id).await;
        }
        until(LIMIT, async || (size() > before).then_some(())).await.expect("a checkpoint is written");
        gate.kill().await;
        if round == 2 {
            // What a write leaves that power or a kill cut short.
            let text = fs::read_to_string(&elsewhere).expect("there are checkpoints");
            fs::write(&elsewhere, &text[..text.len() - 30]).expect("a file can be written");
        }
        gate.restart().await;
    }
    assert!(gate.log().contains("it is cut off and made up for"), "{}", gate.tail());
    for request in gate.requests().await {
        let id = request["id"].as_str().expect("a request has an id").to_owned();
        gate.expect(&id, "over", |request| request["outcome"].is_object()).await;
    }
    let events = export(&gate).await;
    let key = gate.directory.join("data").join("checkpoint-key.pub");
    // Against the server, while it goes on.
    let whole = ["audit", "verify", "--checkpoints", name, "--key", key.to_str().expect("it has a name")];
    let ended = gate.cli("dave", &whole).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    assert_eq!(gate.stop().await, Some(0));
    let evidence = Evidence { gate, events, checkpoints: elsewhere.clone(), key };
    let against = Some((elsewhere.as_path(), evidence.key.as_path()));
    let ended = evidence.check(&evidence.events, against, &["--json"]).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    let said: Value = serde_json::from_str(&ended.out).expect("it is JSON");
    assert_eq!(said["checkpoints"]["vouched"], evidence.events.len(), "{said}");
    assert_eq!((&said["checkpoints"]["newer"], &said["checkpoints"]["cutShort"]), (&json!(0), &json!([])), "{said}");
    evidence.gate.finish().await;
    // What can't be removed is left to the system.
    let _ = fs::remove_file(elsewhere);
}
