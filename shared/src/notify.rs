//! Telling people: what sends the notices that are due. It decides nothing of a request, and none of its troubles holds one up.
//!
//! A notice becomes due in the transaction that records its event, so none is lost. It is claimed, sent to each who hears of it, and finished; what could not
//! be sent is due again, later and later, and given up in the end. Who dies between sending and finishing leaves it to be sent again, with the same id.

use std::future::Future;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::chain::Sealed;
use crate::event::Event;
use crate::gate::{Gate, Gates};
use crate::github::{CommitStatus, GitHubError, Mood, Repository};
use crate::host::Host;
use crate::ledger::{Ledger, LedgerError, Loaded, NoticeDue, NoticeWork};
use crate::measure;
use crate::names::Commit;
use crate::notice::{Change, Channel, Notice, hearers, next_reminder};
use crate::request::State;

/// The most notices that are taken up at once.
pub const MAX_NOTICES: usize = 200;
/// For how long a notice that is being sent is nobody else's.
pub const CLAIMED: SignedDuration = SignedDuration::from_mins(3);
/// How long those who hear of one notice may take in all; who is not told by then is told with the next try.
pub const BUDGET: Duration = Duration::from_secs(45);
/// How long a notice that could not be sent is left alone, in seconds, try after try: 16 hours in all. After that it is given up.
const PAUSES: [i64; 8] = [30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800];
/// The longest pause that a receiver may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3_600);
/// Who has the commit statuses, among those who were told. No channel is called so: its name has a space.
const GITHUB: &str = "commit status";

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Whoever was there wants no more: trying again mends nothing.
    #[error("{0}")]
    Gone(String),
    /// It could not be sent, or the answer was no success; not before this time has passed, where that was said.
    #[error("{why}")]
    Failed {
        /// Why, without anything of the answer's body or of an address.
        why: String,
        /// How long whoever is there wants to be left alone.
        retry_after: Option<Duration>,
    },
}

/// What came of it, later.
pub trait Sent<E>: Future<Output = Result<(), E>> + Send {}
impl<E, F: Future<Output = Result<(), E>> + Send> Sent<E> for F {}

/// Sends messages. Each is one HTTP call, bounded in time.
pub trait Messenger: Send + Sync {
    /// Sends a notice to a channel.
    fn send(&self, channel: &Channel, notice: &Notice<'_>) -> impl Sent<SendError>;

    /// Shows a status beside a commit.
    fn set_status(&self, repository: &Repository, commit: &Commit, status: &CommitStatus) -> impl Sent<GitHubError>;
}

/// What tells people.
#[derive(Debug)]
pub struct Notifier<L, M, H> {
    /// Where notices are, and what they are about.
    pub ledger: L,
    /// What sends.
    pub messenger: M,
    /// The clock.
    pub host: H,
    /// Where people find a request: its address without the id. `None`: nowhere.
    pub link: Option<String>,
}

impl<L: Ledger, M: Messenger, H: Host> Notifier<L, M, H> {
    /// The notices that are due, those of one request together and in the order of its events.
    ///
    /// # Errors
    /// If the ledger fails.
    pub async fn due(&self) -> Result<Vec<Vec<NoticeDue>>, LedgerError> {
        let mut due = self.ledger.notices_due(self.host.now(), MAX_NOTICES).await?;
        due.sort_by_key(|notice| (notice.id, notice.event));
        Ok(due.chunk_by(|one, next| one.id == next.id).map(<[NoticeDue]>::to_vec).collect())
    }

    /// Sends the notices of one request, one after the other. Gives how many messages were sent.
    ///
    /// # Errors
    /// If the ledger fails; what was not finished is due again.
    pub async fn tell(&self, of_one_request: &[NoticeDue]) -> Result<usize, LedgerError> {
        let began = self.host.uptime();
        let mut sent = 0;
        for (at, notice) in of_one_request.iter().enumerate() {
            if self.host.uptime().saturating_sub(began) >= BUDGET {
                break;
            }
            let until = later(self.host.now(), CLAIMED);
            let Some(work) = self.ledger.claim_notice(*notice, until).await? else { continue };
            let claimed = NoticeDue { due: until, ..*notice };
            let is_last = at + 1 == of_one_request.len();
            sent += self.tell_one(claimed, work, is_last).await?;
        }
        Ok(sent)
    }

    async fn tell_one(&self, claimed: NoticeDue, mut work: NoticeWork, is_last: bool) -> Result<usize, LedgerError> {
        let found = match (self.ledger.load(claimed.id).await, self.ledger.events(claimed.id).await) {
            (Ok(loaded), Ok(events)) => loaded.zip(nth(events, claimed.event)),
            (Err(LedgerError::Broken(why)), _) | (_, Err(LedgerError::Broken(why))) => {
                tracing::error!(request = %claimed.id, why, "an item makes no sense: nobody is told of it");
                None
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let Some((loaded, (sealed, event))) = found else {
            self.ledger.finish_notice(claimed, None).await?;
            return Ok(0);
        };
        let gates = self.ledger.gates().await?;
        let gate = gates.gate_of(&loaded.request.ask.stack);
        let change = match work.reminder {
            0 => Change::of(&event),
            number => Some(Change::StillWaits(number)),
        };
        let (mut sent, mut failed) = (0, None);
        if let Some(change) = change {
            let deliveries = Deliveries { gates: &gates, gate, loaded: &loaded, change, sealed: &sealed, is_last };
            (sent, failed) = self.deliver(&deliveries, &mut work).await;
        }
        let now = self.host.now();
        let left = match failed {
            Some(pause) => {
                work.tries += 1;
                Some((later(now, pause), work))
            }
            None => self.reminder(&loaded, gate, &event, now),
        };
        self.ledger.finish_notice(claimed, left).await?;
        Ok(sent)
    }

    /// Tells everybody who has not been told. Gives how many were, and how long to wait with those who could not be, if they are to be told again.
    async fn deliver(&self, what: &Deliveries<'_>, work: &mut NoticeWork) -> (usize, Option<SignedDuration>) {
        let began = self.host.uptime();
        let Deliveries { gates, gate, loaded, change, sealed, is_last } = *what;
        let ask = &loaded.request.ask;
        let waits_for = loaded.waits_for();
        let notice = Notice {
            event: sealed.id,
            change,
            actor: &sealed.data.actor,
            at: sealed.time,
            loaded,
            waits_for: &waits_for,
            link: self.link.as_ref().map(|link| format!("{link}{}", ask.id)),
            now: self.host.now(),
        };
        let holds = change.still_holds(loaded.request.status.state);
        let channels = gate.filter(|_| holds).into_iter().flat_map(|gate| hearers(gate, change));
        let channels: Vec<&Channel> = channels.filter_map(|name| gates.channel(name)).collect();
        let (mut sent, mut pause) = (0, None::<Duration>);
        let mut failed = false;
        for channel in channels {
            if work.told.contains(channel.name.as_str()) {
                continue;
            }
            let in_time = self.host.uptime().saturating_sub(began) < BUDGET;
            let result = if in_time {
                self.messenger.send(channel, &notice).await
            } else {
                Err(SendError::Failed { why: "those before it took too long".to_owned(), retry_after: None })
            };
            match result {
                Ok(()) => {
                    measure::noticed("sent");
                    sent += 1;
                }
                Err(SendError::Gone(why)) => {
                    measure::noticed("failed");
                    measure::notice_given_up();
                    tracing::error!(request = %ask.id, channel = %channel.name, why, "a notice is given up");
                }
                Err(SendError::Failed { why, retry_after }) => {
                    measure::noticed("failed");
                    tracing::warn!(request = %ask.id, channel = %channel.name, why, tries = work.tries, "a notice could not be sent");
                    (failed, pause) = (true, pause.max(retry_after));
                    continue;
                }
            }
            work.told.insert(channel.name.to_string());
        }
        // A status tells how things stand now: that of the last notice will do.
        if is_last && !work.told.contains(GITHUB) {
            match self.show(&notice).await {
                Ok(shown) => sent += usize::from(shown),
                Err(retry_after) => (failed, pause) = (true, pause.max(retry_after)),
            }
        }
        if !failed {
            return (sent, None);
        }
        let place = usize::try_from(work.tries).unwrap_or(usize::MAX);
        let Some(seconds) = PAUSES.get(place) else {
            measure::notice_given_up();
            tracing::error!(request = %ask.id, tries = work.tries + 1, "a notice is given up: it could not be sent");
            return (sent, None);
        };
        let wanted = pause.map_or(SignedDuration::ZERO, |pause| seconds_of(pause.min(MAX_RETRY_AFTER)));
        (sent, Some(SignedDuration::from_secs(*seconds).max(wanted)))
    }

    /// Shows beside the commit that was pushed how the request stands. An error: it is to be tried again.
    async fn show(&self, notice: &Notice<'_>) -> Result<bool, Option<Duration>> {
        let ask = &notice.loaded.request.ask;
        let (Some(push), Some(commit)) = (&ask.push, &ask.commit) else { return Ok(false) };
        let repository = &push.repository;
        match self.messenger.set_status(repository, commit, &commit_status(notice)).await {
            Ok(()) => Ok(true),
            // The token may not, which is no trouble of the gate's.
            Err(error @ (GitHubError::Refused { .. } | GitHubError::NotFound(_))) => {
                tracing::warn!(request = %ask.id, %repository, %error, "a commit's status is not shown");
                Ok(false)
            }
            Err(error) => {
                tracing::warn!(request = %ask.id, %repository, %error, "a commit's status could not be shown");
                Err(if let GitHubError::Later { retry_after } = error { retry_after } else { None })
            }
        }
    }

    /// When those who want to be reminded are, and with what.
    fn reminder(
        &self,
        loaded: &Loaded,
        gate: Option<&Gate>,
        event: &Event,
        now: Timestamp,
    ) -> Option<(Timestamp, NoticeWork)> {
        let wanted = gate.is_some_and(|gate| gate.notices.iter().any(|rule| rule.reminders));
        let status = &loaded.request.status;
        let may_wait = matches!(status.state, State::PendingApproval | State::Approved) && status.ending.is_none();
        if !wanted || !may_wait || !matches!(event, Event::Submitted { .. }) {
            return None;
        }
        let (reminder, at) = next_reminder(&loaded.request.ask, now)?;
        Some((at, NoticeWork { reminder, ..NoticeWork::default() }))
    }
}

/// Who is told of what.
#[derive(Clone, Copy)]
struct Deliveries<'a> {
    gates: &'a Gates,
    gate: Option<&'a Gate>,
    loaded: &'a Loaded,
    change: Change,
    sealed: &'a Sealed,
    is_last: bool,
}

/// The event of this number, as it was sealed and as it is meant.
fn nth(events: Vec<Sealed>, number: u64) -> Option<(Sealed, Event)> {
    let sealed = events.into_iter().find(|event| event.sequence.parse() == Ok(number))?;
    let event = Event::parse(&sealed.kind, sealed.data.evidence.clone()).ok()?;
    Some((sealed, event))
}

/// How a request stands, as GitHub shows it.
fn commit_status(notice: &Notice<'_>) -> CommitStatus {
    let (ask, status) = (&notice.loaded.request.ask, &notice.loaded.request.status);
    let mood = match status.state {
        State::Succeeded => Mood::Success,
        State::Failed | State::Rejected | State::Expired | State::Cancelled => Mood::Failure,
        State::Error => Mood::Error,
        _ => Mood::Pending,
    };
    let waits = || notice.waits_for.first().map(|blocker| blocker.detail.clone());
    let description = match (&status.outcome, status.state) {
        (Some(outcome), _) => outcome.message.clone(),
        (None, State::Deploying) => "Deploying".to_owned(),
        (None, state) => waits().unwrap_or_else(|| state.as_str().replace('_', " ")),
    };
    let link = status.deployment.as_ref().map(|deployment| deployment.url.clone()).or_else(|| notice.link.clone());
    CommitStatus { mood, description, link, context: format!("signoff/{}", ask.stack) }
}

fn later(from: Timestamp, by: SignedDuration) -> Timestamp {
    from.saturating_add(by).unwrap_or(Timestamp::MAX)
}

fn seconds_of(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests;
