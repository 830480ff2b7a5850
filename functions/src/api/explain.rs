//! What a gate says of a deployment that somebody might ask for: the rules, and what would hold it up.

use std::collections::BTreeSet;

use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use signoff_core::asking::{self, Permission, Standing};
use signoff_core::blocker::{Blocker, BlockerKind};
use signoff_core::decide::unreadable;
use signoff_core::gate::{Asker, CommitRule, Gate, Gates};
use signoff_core::host::Host;
use signoff_core::ledger::{Ledger, LedgerError};
use signoff_core::names::{BadName, Operation, StackName};
use signoff_core::push::NewerPush;
use signoff_core::request::{Request, State};

use super::Served;
use super::body::Moment;
use super::callers::{Caller, Callers};
use super::problem::Problem;
use super::query::{Parameters, Raw};
use super::view::{Explanation, GateView};

/// How far ahead a gate is explained: ten years.
const FARTHEST: SignedDuration = SignedDuration::from_hours(24 * 366 * 10);

impl<L: Ledger, C: Callers, H: Host> Served<L, C, H> {
    /// `GET /v1/gates/explain`
    pub(super) async fn explain(&self, headers: &HeaderMap, query: Raw) -> Result<Response, Problem> {
        let caller = self.caller(headers).await?;
        let parameters = Parameters::of(query, &["stack", "operation", "requester", "at"])?;
        let stack: StackName = parameters
            .parse("stack")?
            .ok_or_else(|| Problem::malformed("Give the stack, as stack=organization/project/stack."))?;
        let operation = parameters.parse::<Operation>("operation")?.unwrap_or(Operation::Update);
        let asker = parameters.text("requester").map(|text| Asker::try_from(text.to_owned())).transpose();
        let asker = asker.map_err(|BadName(why)| Problem::malformed(format!("requester: {why}.")))?;
        let now = self.api.host.now();
        let given = parameters.parse::<Moment>("at")?.map(|moment| moment.0);
        let at = given.unwrap_or(now);
        if at > now.saturating_add(FARTHEST).unwrap_or(Timestamp::MAX) {
            return Err(Problem::malformed("at: give a time within the next ten years."));
        }
        if !self.may_read(&caller, &stack).await? {
            return Err(Problem::forbidden(
                "Only who may read the stack's requests sees what its gate says; use the access token of a member of its organization.",
            ));
        }
        let gates = self.api.ledger.gates().await?;
        let number = gates.gates.iter().position(|gate| gate.stacks.iter().any(|pattern| pattern.matches(&stack)));
        let Some((number, gate)) = number.and_then(|number| Some((number, gates.gates.get(number)?))) else {
            let rules = vec![format!(
                "No gate covers {stack}: nobody can ask for it here, and nothing here keeps anybody from deploying it."
            )];
            let none = Explanation {
                stack,
                operation,
                at,
                number: None,
                gate: None,
                may_ask: Some(false),
                rules,
                blockers: Vec::new(),
                opens: None,
                expires: None,
            };
            return Ok(Json(none).into_response());
        };
        let (may_ask, who) = match &asker {
            Some(asker) => may(gate, asker, operation),
            None => self.caller_may(&caller, gate, &stack, operation).await?,
        };
        let calendar = gates.calendar(gate);
        let waited = gate.wait.as_ref().and_then(|wait| at.saturating_add(wait.duration()).ok()).unwrap_or(at);
        let closed = calendar.closed(waited, &BTreeSet::new());
        let opens = closed.as_ref().map_or(waited, |closed| closed.opens);
        let extension = gate.pending_extension.as_ref().filter(|_| closed.is_some());
        let time = [Some(&gate.pending_timeout), extension].into_iter().flatten();
        let expires = time.fold(at, |at, time| at.saturating_add(time.duration()).unwrap_or(Timestamp::MAX));
        let mut blockers = Vec::new();
        if gates.hold {
            blockers.push(Blocker::new(
                BlockerKind::Hold,
                "the operator holds all gates: nothing is applied or deployed until hold is switched off",
            ));
        }
        if let Some(wait) = &gate.wait {
            let detail =
                format!("it is applied {wait} after it was approved, not before {}", gate.time_zone.show(waited));
            blockers.push(Blocker::new(BlockerKind::Wait, detail));
        }
        blockers.extend(closed.map(|closed| Blocker::new(closed.kind, closed.detail)));
        // Who is in line at another time nobody knows.
        if given.is_none() {
            blockers.extend(self.in_line(&stack, gate, now).await?);
        }
        let mut rules = vec![who];
        rules.extend(conditions(&gates, gate, operation));
        rules.extend(unasked(gate, &stack, operation));
        let explanation = Explanation {
            stack,
            operation,
            at,
            number: u64::try_from(number + 1).ok(),
            gate: Some(GateView::of(gate)),
            may_ask,
            rules,
            blockers,
            opens: Some(opens),
            expires: Some(expires),
        };
        Ok(Json(explanation).into_response())
    }

    async fn caller_may(
        &self,
        caller: &Caller,
        gate: &Gate,
        stack: &StackName,
        operation: Operation,
    ) -> Result<(Option<bool>, String), Problem> {
        if !gate.operations.contains(&operation) {
            return Ok((Some(false), not_offered(gate, operation)));
        }
        Ok(match asking::standing(gate, &caller.identity, caller.role(&stack.organization), operation) {
            Standing::May => (Some(true), "You may ask for it.".to_owned()),
            Standing::MayNot(why) => (Some(false), why),
            Standing::Needs(least) => {
                let has = self.door.permission(&*self.api.callers, &*self.api.host, caller, stack).await?;
                let known = if has == Permission::None { "none that Pulumi Cloud shows" } else { has.as_str() };
                let says =
                    format!("To ask for {operation} takes {} permission on {stack}; you have {known}.", least.as_str());
                (Some(has >= least), says)
            }
        })
    }

    /// The requests of the stack that would go first.
    async fn in_line(&self, stack: &StackName, gate: &Gate, now: Timestamp) -> Result<Vec<Blocker>, Problem> {
        let mut first = Vec::new();
        let line = self.api.ledger.line(stack).await?;
        for waiting in &line.waiting {
            let other = match self.api.ledger.load(waiting.id).await {
                Ok(Some(other)) => other,
                Ok(None) => continue,
                Err(LedgerError::Broken(why)) => {
                    tracing::error!(request = %waiting.id, why, "an item makes no sense; it waits for a person");
                    first.push(Blocker::new(BlockerKind::EarlierRequest, unreadable(waiting.id, stack)));
                    continue;
                }
                Err(error) => return Err(Problem::of_request(&error, waiting.id)),
            };
            let Request { ask, status, .. } = &other.request;
            let overtaken = line.has_overtaken(ask) && gate.minds_newer(ask);
            let goes_first = match status.state {
                State::Approved => status.is_any_applied() || (status.held_until(now).is_none() && !overtaken),
                State::Granted | State::Deploying => true,
                _ => false,
            };
            // One that ends without having applied anything stands in nobody's way.
            let goes_first = goes_first && (status.ending.is_none() || status.is_any_applied());
            if goes_first {
                let detail = format!("{} goes first on {stack}: it is {}", waiting.id, status.state);
                first.push(Blocker::new(BlockerKind::EarlierRequest, detail));
            }
        }
        Ok(first)
    }
}

/// Whether somebody else may ask, as far as the gate says.
fn may(gate: &Gate, asker: &Asker, operation: Operation) -> (Option<bool>, String) {
    let name = String::from(asker.clone());
    if !gate.operations.contains(&operation) {
        return (Some(false), not_offered(gate, operation));
    }
    match (&gate.requesters, asker) {
        (Some(named), _) if named.contains(asker) => {
            (Some(true), format!("{name} may ask for it: the gate's requesters name them."))
        }
        (Some(_), _) => {
            (Some(false), format!("{name} may not ask for it: the gate names who may, and they are not among them."))
        }
        (None, Asker::Machine(_)) => (
            Some(false),
            format!("{name} may not ask for it: a machine token may only where the gate's requesters name it."),
        ),
        (None, Asker::Person(_)) => (
            None,
            format!(
                "{name} may ask for it with {} permission on the stack, or as an admin of the organization; Pulumi Cloud is asked when they do.",
                Permission::for_operation(operation).as_str()
            ),
        ),
    }
}

fn not_offered(gate: &Gate, operation: Operation) -> String {
    let some: Vec<_> = gate.operations.iter().map(|operation| operation.as_str()).collect();
    format!("Nobody may ask for {operation}: the gate lets only {} be asked for.", some.join(", "))
}

/// The rules after the asking, each a sentence.
fn conditions(gates: &Gates, gate: &Gate, operation: Operation) -> Vec<String> {
    let mut rules = Vec::new();
    if gate.commit == CommitRule::Required {
        rules.push("The commit has to be pinned.".to_owned());
    }
    let own = if gate.self_approval {
        "the requester's own approval counts"
    } else {
        "the requester's own approval does not count"
    };
    rules.push(format!(
        "Every Open ruleset of {} and of its gated imports has to be satisfied; {own}.",
        gate.environment
    ));
    if let Some(people) = gate.approvals_for.get(&operation) {
        let people_are = if *people == 1 { "person" } else { "different people" };
        rules.push(format!(
            "For {operation} it takes {people} {people_are} whose approval counts, whatever the rulesets ask for."
        ));
    }
    rules.push(format!("It has to be approved and applied within {} at most.", gate.pending_timeout));
    if let Some(wait) = &gate.wait {
        rules.push(format!("It is applied {wait} after the last approval that was needed, at the earliest."));
    }
    if !gate.windows.is_empty() {
        let windows: Vec<_> = gate.windows.iter().map(ToString::to_string).collect();
        rules.push(format!("It is applied within {} ({}).", windows.join(", "), gate.time_zone.name()));
    }
    for freeze in gate.freezes.iter().chain(&gates.freezes) {
        let zone = freeze.time_zone.as_ref().unwrap_or(&gate.time_zone);
        rules.push(format!(
            "Nothing is applied from {} to {} ({}): {}",
            freeze.from,
            freeze.to,
            zone.name(),
            freeze.reason.as_str()
        ));
    }
    if let Some(extension) = &gate.pending_extension {
        rules.push(format!(
            "While only a window or a freeze holds it up, its time is pushed on, by {extension} in all at most."
        ));
    }
    if !gate.break_glass.is_empty() {
        let people: Vec<_> = gate.break_glass.iter().map(ToString::to_string).collect();
        rules.push(format!(
            "A window, a freeze, the wait or the line may be lifted from one request by {}.",
            people.join(", ")
        ));
    }
    rules.push(format!(
        "It is deployed as the principal {}, one request of the stack at a time, in the order of asking.",
        gate.principal
    ));
    rules
}

/// What is asked for without a person who asks, and what becomes of it when something newer comes.
fn unasked(gate: &Gate, stack: &StackName, operation: Operation) -> Vec<String> {
    let mut rules = Vec::new();
    let push = gate.pushes.iter().find(|push| push.stack == *stack && push.operation == operation);
    if let Some(push) = push {
        let paths: Vec<_> = push.paths.iter().map(|path| String::from(path.clone())).collect();
        let paths = if paths.is_empty() { String::new() } else { format!(" that changes {}", paths.join(" or ")) };
        rules.push(format!(
            "A push to {} of {}{paths} asks for it by itself, at the commit that is on the branch then.",
            push.branch, push.repository
        ));
        if gate.newer_push == NewerPush::Supersede {
            let approved = if gate.supersede_approved { ", or to be applied" } else { "" };
            rules.push(format!(
                "When a newer push asks for it, an older push that still waits to be approved{approved} is cancelled."
            ));
        }
    }
    let takes_back = matches!(operation, Operation::Update | Operation::Destroy);
    let older = match gate.allow_older {
        Some(false) if takes_back => Some("It"),
        None if takes_back && push.is_some() => Some("What a push asked for"),
        _ => None,
    };
    rules.extend(older.map(|what| format!("{what} is not deployed once an update that was asked for later has been.")));
    if gate.rescue {
        rules.push(
            "If somebody starts it at Pulumi Cloud without asking, and it is refused for want of an approval, it is asked for in their name.".to_owned(),
        );
    }
    rules
}
