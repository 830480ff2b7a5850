//! What has to hold whenever a request is taken up, applied or deployed. Whatever does not, ends it: the gate fails closed.

use super::{Known, Next, fail};
use crate::blocker::{Blocker, BlockerKind};
use crate::cloud::ChangeRequestNow;
use crate::facts::Look;
use crate::gate::{Gate, RunsAs};
use crate::mark;
use crate::names::Login;
use crate::request::{ChangeRequest, Outcome};

/// The variable that makes a deployment run as somebody other than its creator.
const TOKEN_VARIABLE: &str = "PULUMI_ACCESS_TOKEN";

/// The gate that covers the request now, if it is still the one that it was asked under.
pub(super) fn gate<'a>(known: &Known<'a>) -> Result<&'a Gate, Outcome> {
    let ask = &known.request.ask;
    let Some(gate) = known.facts.gates.gate_of(&ask.stack) else {
        return Err(Outcome::new(
            "gate-gone",
            format!("No gate covers {} any more. Add one to the configuration and ask again.", ask.stack),
        ));
    };
    let changed = |what: &str| {
        let message = format!("The gate that covers {} now {what}. Ask again to go by the gate as it is.", ask.stack);
        Err(Outcome::new("gate-changed", message))
    };
    if gate.environment != ask.gate.environment {
        changed(&format!("has the environment {} instead of {}", gate.environment, ask.gate.environment))
    } else if gate.principal != ask.gate.principal {
        changed(&format!("has the principal {} instead of {}", gate.principal, ask.gate.principal))
    } else if !gate.operations.contains(&ask.operation) {
        changed(&format!("does not let {} be asked for", ask.operation))
    } else {
        Ok(gate)
    }
}

/// What has to be looked at, or is wrong, before anything is asked for, applied or deployed: the principal's identity, the settings that the
/// deployment inherits, and an Open ruleset in force. `None`: all is well.
pub(super) fn unmet(known: &Known<'_>, gate: &Gate) -> Option<Next> {
    identity(known).or_else(|| settings(known, gate)).or_else(|| ruleset(known))
}

/// The stack's deployments can't be found, though its settings can: nobody knows whether one runs, or carries the mark.
pub(super) fn unseen(known: &Known<'_>) -> Option<Next> {
    let detail = format!(
        "the deployments of {} can't be found, though its settings can; nothing is applied or deployed until they can: see whether the principal may still read the stack",
        known.request.ask.stack
    );
    let unseen = known.facts.activity.as_ref().is_some_and(|activity| activity.unseen);
    unseen.then(|| Next::wait(Blocker::new(BlockerKind::PulumiCloud, detail)))
}

fn identity(known: &Known<'_>) -> Option<Next> {
    let Some(login) = &known.facts.identity else { return Some(Next::Look(Look::Identity)) };
    let status = &known.request.status;
    let before = status.principal.as_ref()?;
    (before != login || status.machine != known.facts.machine).then(|| {
        let named = |login: &Login, machine: &Option<String>| match machine {
            Some(machine) => format!("{login} (machine token {machine})"),
            None => login.to_string(),
        };
        let message = format!(
            "The token of the principal {} now belongs to {}; the open request was made by {}. Give the principal its own token back, or ask again.",
            known.request.ask.gate.principal,
            named(login, &known.facts.machine),
            named(before, &status.machine)
        );
        fail(known, Outcome::new("principal-changed", message))
    })
}

/// The settings that the deployment inherits have to be there, to leave signoff its marks and its identity, and to be those of the beginning.
pub(super) fn settings(known: &Known<'_>, gate: &Gate) -> Option<Next> {
    let stack = &known.request.ask.stack;
    let wrong = |code: &str, message: String| Some(fail(known, Outcome::new(code, message)));
    let settings = match &known.facts.settings {
        None => return Some(Next::Look(Look::Settings)),
        Some(Ok(settings)) => settings,
        Some(Err(why)) => {
            return wrong(
                "no-settings",
                format!(
                    "{stack} has no deployment settings that the principal can see ({why}). Configure Pulumi Deployments for it, give the principal access, and ask again."
                ),
            );
        }
    };
    let sets = |name: &str| settings.variables.iter().any(|variable| variable == name);
    if sets(mark::VARIABLE) {
        return wrong(
            "mark-in-settings",
            format!(
                "The deployment settings of {stack} set {}, which marks signoff's own deployments. Remove it there and ask again.",
                mark::VARIABLE
            ),
        );
    }
    if gate.runs_as == RunsAs::Caller && (sets(TOKEN_VARIABLE) || settings.has_role) {
        let what = if settings.has_role { "a role" } else { TOKEN_VARIABLE };
        return wrong(
            "runs-as-somebody-else",
            format!(
                "The deployment settings of {stack} carry {what}, so the run would not be the principal's and the grant would not be for it. Remove that there, or say runs-as = \"stack\" at the gate if it is this very principal; then ask again."
            ),
        );
    }
    match &known.request.status.settings {
        Some(before) if *before != settings.fingerprint => wrong(
            "settings-changed",
            format!(
                "The deployment settings of {stack} were changed after the deployment was asked for ({before} then, {} now), so that what was approved is not what would run. Ask again.",
                settings.fingerprint
            ),
        ),
        _ => None,
    }
}

pub(super) fn ruleset(known: &Known<'_>) -> Option<Next> {
    let environment = &known.request.ask.gate.environment;
    let why = match &known.facts.rulesets {
        None => return Some(Next::Look(Look::Rulesets)),
        Some(Ok(rulesets))
            if rulesets.iter().any(|ruleset| ruleset.enabled && ruleset.gates_open && ruleset.asks_for_approval) =>
        {
            return None;
        }
        Some(Ok(_)) => "none that asks for approvals is switched on".to_owned(),
        Some(Err(why)) => why.clone(),
    };
    Some(fail(
        known,
        Outcome::new(
            "no-ruleset",
            format!(
                "No Open ruleset is in force on {environment} ({why}), so that nobody would have to approve. Switch one on that gates opens, and ask again."
            ),
        ),
    ))
}

/// How a change request differs from what signoff submitted; `None` if it does not. Whoever approves goes by what its description says, so all of it counts.
pub(super) fn edited(known: &Known<'_>, submitted: &ChangeRequest, now: &ChangeRequestNow) -> Option<String> {
    let is_said = |hash: &String| *hash == mark::fingerprint(&now.description);
    let what = if !mark::carries(&now.description, known.installation, known.request.ask.id) {
        "the first line of its description".to_owned()
    } else if !submitted.description_hash.as_ref().is_none_or(is_said) {
        "its description".to_owned()
    } else if now.revision != submitted.revision {
        format!("its revision ({} was submitted, {} is the latest)", submitted.revision, now.revision)
    } else {
        foreign(known, submitted, now)?
    };
    Some(what)
}

/// How a change request is not the one that signoff created, description and revision apart.
pub(super) fn foreign(known: &Known<'_>, created: &ChangeRequest, now: &ChangeRequestNow) -> Option<String> {
    if !now.is_open {
        Some("what it does (it asks for no open)".to_owned())
    } else if now.environment.as_ref() != Some(&created.environment) {
        Some("the environment that it is about".to_owned())
    } else if known.request.status.principal.as_ref().is_some_and(|principal| *principal != now.created_by) {
        Some(format!("who created it ({})", now.created_by))
    } else {
        None
    }
}

/// The end of a request whose change request was edited.
pub(super) fn fail_as_edited(known: &Known<'_>, change_request: &ChangeRequest, what: &str) -> Next {
    // One that is applied can't be closed any more.
    let then = if change_request.applied_at.is_some() { "Ask again." } else { "It is closed; ask again." };
    let message = format!(
        "The change request {} of {} is not what signoff submitted any more: {what} differs. {then}",
        change_request.id,
        change_request.environment.qualified()
    );
    fail(known, Outcome::new("change-request-edited", message))
}
