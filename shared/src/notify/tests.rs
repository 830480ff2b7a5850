use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::*;
use crate::event::Actor;
use crate::gate::Gates;
use crate::ledger::Cause;
use crate::names::RequestId;
use crate::push::Pushed;
use crate::request::{ChangeRequestStatus, Worker};
use crate::testing::ask;
use crate::testing::book::Book;
use crate::testing::clock::Clock;
use crate::testing::world::{GATES, World, block_on};

/// Whoever listens: what reached whom, and who does not answer.
#[derive(Clone, Default)]
struct Ears(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    /// Channel, id of the message, what it said.
    messages: Vec<(String, String, String)>,
    statuses: Vec<(Mood, String)>,
    deaf: BTreeSet<String>,
    gone: BTreeSet<String>,
    github: Option<GitHubError>,
    wait: Option<Duration>,
}

impl Messenger for Ears {
    async fn send(&self, channel: &Channel, notice: &Notice<'_>) -> Result<(), SendError> {
        let mut heard = self.0.lock().unwrap();
        if heard.gone.contains(channel.name.as_str()) {
            return Err(SendError::Gone("gone".to_owned()));
        }
        if heard.deaf.contains(channel.name.as_str()) {
            return Err(SendError::Failed { why: "status 503".to_owned(), retry_after: heard.wait });
        }
        let said = [vec![notice.headline()], notice.details()].concat().join(" | ");
        heard.messages.push((channel.name.to_string(), notice.id(), said));
        Ok(())
    }

    async fn set_status(&self, _: &Repository, _: &Commit, status: &CommitStatus) -> Result<(), GitHubError> {
        let mut heard = self.0.lock().unwrap();
        if let Some(error) = heard.github.clone() {
            return Err(error);
        }
        heard.statuses.push((status.mood, status.description.clone()));
        Ok(())
    }
}

const CHANNELS: &str = r#"
[[channel]]
name = "team"
kind = "slack"
[[channel]]
name = "log"
kind = "webhook"
url = "https://hooks.example.com/x"
"#;

struct Told {
    world: World,
    ears: Ears,
    notifier: Notifier<Book, Ears, Clock>,
}

impl Told {
    /// A gate with these notices, and a request that was just asked for.
    fn new(notices: &str) -> Self {
        let world = World::new();
        let text = format!("{CHANNELS}{GATES}break-glass = [\"dave\"]\nnotices = [{notices}]\n");
        world.book.inside().gates = Gates::from_toml(&text).unwrap();
        let ears = Ears::default();
        let notifier = Notifier {
            ledger: world.book.clone(),
            messenger: ears.clone(),
            host: world.clock.clone(),
            link: Some("https://signoff.example/v1/requests/".to_owned()),
        };
        Self { world, ears, notifier }
    }

    /// One tick; a ledger that fails leaves the rest to the next.
    fn tick(&self) {
        for of_one in block_on(self.notifier.due()).unwrap_or_default() {
            let _ = block_on(self.notifier.tell(&of_one));
        }
    }

    fn pass(&self, minutes: i64) {
        for _ in 0..minutes {
            self.world.pass(1);
            self.tick();
        }
    }

    /// The same in longer steps.
    fn pass_hours(&self, hours: i64) {
        for _ in 0..hours * 4 {
            self.world.clock.pass(SignedDuration::from_mins(14));
            self.pass(1);
        }
    }

    fn heard(&self, channel: &str) -> Vec<String> {
        let heard = self.ears.0.lock().unwrap();
        heard.messages.iter().filter(|one| one.0 == channel).map(|one| one.2.clone()).collect()
    }

    /// All that were not sent yet.
    fn open(&self) -> usize {
        self.world.book.inside().notices.values().flatten().count()
    }
}

const BOTH: &str = r#"{ channel = "team" }, { channel = "log", on = ["broken", "over"] }"#;

#[test]
fn each_change_is_told_once_to_whom_it_concerns() {
    let told = Told::new(BOTH);
    told.world.work();
    told.tick();
    told.tick();
    told.world.book.inside().gates.hold = true;
    told.world.cloud.approve("bob");
    told.pass(1);
    told.world.book.inside().gates.hold = false;
    told.pass(2);
    let last = told.world.cloud.inside().deployments.len() - 1;
    told.world.cloud.run(last, crate::cloud::DeploymentStatus::Succeeded);
    told.pass(3);
    assert_eq!(
        told.heard("team"),
        [
            "alice's update of acme/web/prod waits for approval | approvals: credentials/prod: 0 of 1 approvals that count | To approve: signoff approve req_01M7Q5CQG00000000000000007".to_owned(),
            "alice's update of acme/web/prod is approved by bob | hold: the operator holds all gates: nothing is applied or deployed until hold is switched off".to_owned(),
            "alice's update of acme/web/prod runs: deployment 1".to_owned(),
            "alice's update of acme/web/prod: succeeded | Deployment 1 of acme/web/prod succeeded.".to_owned(),
        ]
    );
    assert_eq!(told.heard("log"), told.heard("team")[3..]);
    assert_eq!(told.open(), 0);
}

#[test]
fn whoever_does_not_answer_is_told_later_and_nobody_else_twice() {
    let told = Told::new(r#"{ channel = "team" }, { channel = "log" }"#);
    told.ears.0.lock().unwrap().deaf.insert("team".to_owned());
    told.world.work();
    told.pass(5);
    assert_eq!((told.heard("team").len(), told.heard("log").len(), told.open()), (0, 1, 1));
    told.ears.0.lock().unwrap().deaf.clear();
    told.pass(15);
    assert_eq!((told.heard("team").len(), told.heard("log").len(), told.open()), (1, 1, 0));
}

#[test]
fn what_can_never_be_sent_is_given_up_in_the_end() {
    let told = Told::new(BOTH);
    told.ears.0.lock().unwrap().deaf.insert("team".to_owned());
    told.world.work();
    let tries = |told: &Told| told.world.book.inside().notices.values().flatten().map(|(_, work)| work.tries).max();
    told.pass_hours(15);
    assert_eq!(tries(&told), Some(8));
    told.pass_hours(9);
    assert_eq!(tries(&told), None);
    // Somebody who is gone is not asked again.
    let told = Told::new(BOTH);
    told.ears.0.lock().unwrap().gone.insert("team".to_owned());
    told.world.work();
    told.tick();
    assert_eq!(told.open(), 0);
}

#[test]
fn a_receiver_may_ask_to_be_left_alone() {
    let told = Told::new(BOTH);
    told.world.work();
    told.ears.0.lock().unwrap().deaf.insert("team".to_owned());
    told.ears.0.lock().unwrap().wait = Some(Duration::from_secs(100_000));
    told.tick();
    told.ears.0.lock().unwrap().deaf.clear();
    told.pass(59);
    assert_eq!(told.heard("team").len(), 0);
    told.pass(2);
    assert_eq!(told.heard("team").len(), 1, "an hour is the most that is believed");
}

#[test]
fn reminders_come_at_a_quarter_half_and_three_quarters() {
    let told = Told::new(r#"{ channel = "team", on = ["broken"], reminders = true }"#);
    told.world.work();
    told.tick();
    assert_eq!(told.heard("team").len(), 0, "it did not want to hear of that");
    told.pass_hours(17);
    assert_eq!(told.heard("team").len(), 0);
    told.pass_hours(54);
    let said = told.heard("team");
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(
        said[0].starts_with(
            "alice's update of acme/web/prod still waits for approval; it expires in 2 d 6 h | approvals: "
        ),
        "{}",
        said[0]
    );
    assert!(said[1].contains("it expires in 1 d 12 h") && said[2].contains("it expires in 18 h"), "{said:?}");
    let ids: BTreeSet<_> = told.ears.0.lock().unwrap().messages.iter().map(|one| one.1.clone()).collect();
    assert_eq!(ids.len(), 3, "each is a message of its own");
    // What does not wait any more is not reminded of.
    let told = Told::new(r#"{ channel = "team", on = ["broken"], reminders = true }"#);
    told.world.work();
    told.tick();
    told.world.cloud.approve("bob");
    told.pass_hours(40);
    assert!(told.heard("team").iter().all(|said| !said.contains("waits")), "{:?}", told.heard("team"));
}

#[test]
fn nobody_is_asked_to_approve_what_does_not_wait_any_more() {
    let told = Told::new(BOTH);
    told.world.work();
    told.world.cloud.approve("bob");
    told.world.pass(2);
    told.tick();
    let said = told.heard("team");
    assert!(said.iter().all(|said| !said.contains("waits for approval")), "{said:?}");
    assert_eq!(said.len(), 2, "approved, running: {said:?}");
}

#[test]
fn breaking_the_glass_is_heard_everywhere() {
    let told = Told::new(r#"{ channel = "team", on = ["over"] }, { channel = "log", on = ["broken"] }"#);
    told.world.work();
    let request = told.world.request();
    let event = Event::GlassBroken {
        lifted: BTreeSet::from([crate::conditions::Lift::Freeze]),
        reason: "outage".parse().unwrap(),
    };
    let entry = crate::event::Entry {
        id: told.world.clock.ulid(),
        at: told.world.clock.now(),
        actor: Actor::Login("dave".parse().unwrap()),
        event,
    };
    let mut step = crate::chain::seal(Some(&request), &entry).unwrap();
    step.is_told =
        crate::notice::is_told(told.world.book.inside().gates.gate_of(&request.ask.stack), &request.ask, &entry.event);
    block_on(told.world.book.record(&step, None, crate::ledger::LineChange::Keep)).unwrap();
    told.tick();
    for channel in ["team", "log"] {
        let said = told.heard(channel);
        assert!(
            said[0].starts_with("Break-glass by dave: freeze lifted from alice's update of acme/web/prod"),
            "{said:?}"
        );
    }
}

#[test]
fn two_that_send_at_once_send_once() {
    let told = Told::new(BOTH);
    told.world.work();
    let seen = block_on(told.notifier.due()).unwrap();
    told.tick();
    assert_eq!(block_on(told.notifier.tell(&seen[0])).unwrap(), 0);
    assert_eq!(told.heard("team").len(), 1);
}

/// Wherever the sender dies: everybody is told, and whoever is told twice gets the same message.
#[test]
fn nothing_is_lost_wherever_it_dies() {
    for at in 0..12 {
        for takes_effect in [false, true] {
            let told = Told::new(BOTH);
            told.world.work();
            let calls = told.world.book.inside().calls;
            told.world.book.inside().fault_at = Some((calls + at, takes_effect));
            told.tick();
            told.world.book.inside().fault_at = None;
            for _ in 0..5 {
                told.world.clock.pass(SignedDuration::from_mins(1));
                told.tick();
            }
            let heard = told.ears.0.lock().unwrap();
            let ids: BTreeSet<_> = heard.messages.iter().map(|one| (one.0.clone(), one.1.clone())).collect();
            assert_eq!(ids.len(), 1, "died at {at}: {:?}", heard.messages);
            drop(heard);
            assert_eq!(told.open(), 0, "died at {at}");
        }
    }
}

#[test]
fn a_pushed_commit_shows_how_its_request_stands() {
    let told = Told::new("");
    let mut pushed = ask();
    pushed.id = RequestId::new(ulid::Ulid::from_parts(1_795_000_000_009, 9));
    pushed.position = 2;
    pushed.commit = Some("0123456789abcdef0123456789abcdef01234567".parse().unwrap());
    pushed.push = Some(Pushed {
        repository: "acme/web".parse().unwrap(),
        branch: "main".parse().unwrap(),
        pusher: None,
        author: None,
    });
    told.world.cancel().unwrap();
    told.world.ask(pushed.clone());
    told.pass(2);
    let statuses = |told: &Told| told.ears.0.lock().unwrap().statuses.clone();
    assert_eq!(statuses(&told), [(Mood::Pending, "credentials/prod: 0 of 1 approvals that count".to_owned())]);
    told.ears.0.lock().unwrap().github = Some(GitHubError::Unclear("status 502".to_owned()));
    for one in &mut told.world.cloud.inside().change_requests {
        if one.status != ChangeRequestStatus::Closed {
            one.status = ChangeRequestStatus::Closed;
        }
    }
    told.pass(2);
    told.ears.0.lock().unwrap().github = None;
    told.pass(10);
    let last = statuses(&told).pop().unwrap();
    assert_eq!(last.0, Mood::Failure);
    assert!(last.1.contains("closed"), "{}", last.1);
    // A token that may not is no trouble of anybody's.
    let refused = GitHubError::Refused { status: 403, message: "no".to_owned() };
    told.ears.0.lock().unwrap().github = Some(refused);
    let _ = block_on(told.world.keeper.look(Worker::Apply, pushed.id, Cause::Due));
    assert_eq!(told.open(), 0);
}
