//! The verdict on a change request's approvals. Pulumi Cloud is the judge of who may approve; here conditions are only ever added.

use std::collections::BTreeSet;

use crate::blocker::{Blocker, BlockerKind};
use crate::cloud::{ChangeRequestNow, RulesetNow};
use crate::event::Seen;
use crate::names::Login;
use crate::request::{Approvals, Ask, ChangeRequest, ChangeRequestStatus};

/// How a change request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may be applied, or rightly was.
    pub enough: bool,
    /// What was seen, for the trail.
    pub seen: Seen,
    /// What it still waits for; `None` if it is enough.
    pub blocker: Option<Blocker>,
}

/// Judges a change request.
///
/// Enough means: its status is `ready` or `applied`, at least one ruleset asks for approval, and each of them has as many distinct people who
/// count as it asks for now, or asked for when it was submitted, whichever is more, and at least one. The principal never counts, nor, unless
/// the gate lets it, whoever asked. A kind of rule never seen before counts nobody; neither does a ruleset that was in force at the
/// submission and is not any more. Where the gate asks for more people for this operation, so many different ones have to count in the change request of
/// the gate's own environment.
pub fn judge(ask: &Ask, known: &ChangeRequest, principal: &Login, now: &ChangeRequestNow) -> Verdict {
    let asked = |id: &str| known.asked.iter().find(|asked| asked.id == id).map_or(0, |asked| asked.required);
    let mut approvals: Vec<Approvals> =
        now.rulesets.iter().map(|ruleset| count(ask, principal, ruleset, asked(&ruleset.id))).collect();
    let gone = known.asked.iter().filter(|asked| !now.rulesets.iter().any(|ruleset| ruleset.id == asked.id));
    approvals.extend(gone.map(|asked| Approvals {
        ruleset: asked.ruleset.clone(),
        required: asked.required.max(1),
        approvers: Vec::new(),
        counted: Vec::new(),
    }));
    let satisfied = match now.status {
        ChangeRequestStatus::Ready => now.satisfied,
        ChangeRequestStatus::Applied => true,
        _ => false,
    };
    let few = too_few(ask, known, &approvals);
    let enough = satisfied && !approvals.is_empty() && approvals.iter().all(has_enough) && few.is_none();
    let blocker = (!enough).then(|| blocker(known, now, &approvals, few));
    let rulesets = now.rulesets.iter().map(|ruleset| ruleset.id.clone()).collect();
    let (id, status, revision) = (now.id.clone(), now.status.clone(), now.revision);
    let seen = Seen { id, status, revision, approvals, rulesets, description_hash: None };
    Verdict { enough, seen, blocker }
}

/// What is lacking of the people that the gate itself asks for.
fn too_few(ask: &Ask, known: &ChangeRequest, approvals: &[Approvals]) -> Option<Blocker> {
    let least = ask.gate.approvals.filter(|_| known.environment == ask.gate.environment)?;
    let people = approvals.iter().flat_map(|approvals| &approvals.counted).collect::<BTreeSet<_>>().len();
    (u32::try_from(people).is_ok_and(|people| people < least)).then(|| {
        let place = known.environment.qualified();
        let detail = format!(
            "{place}: {people} of {least} people whose approval counts, whom this gate asks for to {}",
            ask.operation
        );
        Blocker::new(BlockerKind::Approvals, detail)
    })
}

fn has_enough(approvals: &Approvals) -> bool {
    i64::try_from(approvals.counted.len()).is_ok_and(|counted| counted >= approvals.required)
}

fn count(ask: &Ask, principal: &Login, ruleset: &RulesetNow, asked: i64) -> Approvals {
    let (required, approvers) = match &ruleset.approval {
        Some(approval) => (approval.required, distinct(&approval.approvers)),
        None => (1, Vec::new()),
    };
    let counts = |login: &&Login| *login != principal && (ask.gate.self_approval || !ask.is_asked_by(login));
    let counted = approvers.iter().filter(counts).cloned().collect();
    Approvals { ruleset: ruleset.name.clone(), required: required.max(asked).max(1), approvers, counted }
}

fn distinct(logins: &[Login]) -> Vec<Login> {
    logins.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

fn blocker(known: &ChangeRequest, now: &ChangeRequestNow, approvals: &[Approvals], few: Option<Blocker>) -> Blocker {
    let place = known.environment.qualified();
    if let ChangeRequestStatus::Unknown(word) = &now.status {
        let detail = format!(
            "{place}: its change request has the status {word}, which this version of signoff does not know; it waits until it knows the status"
        );
        return Blocker::new(BlockerKind::Approvals, detail);
    }
    lacking(&place, approvals).or(few).unwrap_or_else(|| {
        let detail = format!(
            "{place}: there are enough approvals that count, but Pulumi Cloud does not call the change request ready yet"
        );
        Blocker::new(BlockerKind::Approvals, detail)
    })
}

/// What approvals are lacking, in the words that people see: of the first ruleset that has too few that count, or of all if no ruleset asks for
/// any; `None` if each has enough. `place` is the environment, as project/environment.
pub fn lacking(place: &str, approvals: &[Approvals]) -> Option<Blocker> {
    if approvals.is_empty() {
        let detail =
            format!("{place}: no ruleset asks for an approval of its change request; switch one on that gates opens");
        return Some(Blocker::new(BlockerKind::Approvals, detail));
    }
    let short = approvals.iter().find(|approvals| !has_enough(approvals))?;
    let of = format!("{place}: {} of {} approvals that count", short.counted.len(), short.required);
    let others: Vec<_> =
        short.approvers.iter().filter(|login| !short.counted.contains(login)).map(Login::as_str).collect();
    let with_others = i64::try_from(short.approvers.len()).unwrap_or(i64::MAX) >= short.required;
    Some(match others.as_slice() {
        [] => Blocker::new(BlockerKind::Approvals, of),
        names if with_others => Blocker::new(
            BlockerKind::SelfApproval,
            format!(
                "{of}: {} approved, but whoever asks for a deployment or carries it out does not count; somebody else has to approve",
                names.join(", ")
            ),
        ),
        names => {
            Blocker::new(BlockerKind::Approvals, format!("{of} ({} approved, but does not count)", names.join(", ")))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::ApprovalNow;
    use crate::request::Asked;
    use crate::testing;

    fn ruleset(id: &str, required: i64, approvers: &[&str]) -> RulesetNow {
        let approvers = approvers.iter().map(|login| login.parse().unwrap()).collect();
        RulesetNow { id: id.to_owned(), name: id.to_owned(), approval: Some(ApprovalNow { required, approvers }) }
    }

    fn said(self_approval: bool, asked: &[(&str, i64)], status: &str, rulesets: Vec<RulesetNow>) -> (bool, String) {
        let mut ask = testing::ask();
        ask.gate.self_approval = self_approval;
        let mut known = testing::change_request("cr-1");
        known.asked = asked
            .iter()
            .map(|(id, required)| Asked { id: (*id).to_owned(), ruleset: (*id).to_owned(), required: *required })
            .collect();
        let mut now = testing::change_request_now(&ask, "cr-1");
        (now.status, now.satisfied, now.rulesets) = (status.to_owned().into(), status == "ready", rulesets);
        let verdict = judge(&ask, &known, &"signoff-deployer".parse().unwrap(), &now);
        (verdict.enough, verdict.blocker.map(|b| format!("{} {}", b.kind.as_str(), b.detail)).unwrap_or_default())
    }

    #[test]
    fn verdict_and_sentence() {
        let own = "approved, but whoever asks for a deployment or carries it out does not count; somebody else has to approve";
        for (given, asked, status, rulesets, want) in [
            (false, &[][..], "ready", vec![ruleset("r", 1, &["bob"])], (true, String::new())),
            (false, &[], "applied", vec![ruleset("r", 1, &["bob"])], (true, String::new())),
            (false, &[], "pending", vec![ruleset("r", 2, &["bob"])], (false, "approvals credentials/prod: 1 of 2 approvals that count".into())),
            (false, &[], "ready", vec![ruleset("r", 1, &["ALICE"])], (false, format!("self-approval credentials/prod: 0 of 1 approvals that count: ALICE {own}"))),
            (true, &[], "ready", vec![ruleset("r", 1, &["alice"])], (true, String::new())),
            (true, &[], "ready", vec![ruleset("r", 1, &["Signoff-Deployer"])], (false, format!("self-approval credentials/prod: 0 of 1 approvals that count: Signoff-Deployer {own}"))),
            (false, &[], "ready", vec![ruleset("r", 2, &["bob", "BOB"])], (false, "approvals credentials/prod: 1 of 2 approvals that count".into())),
            (false, &[], "ready", vec![ruleset("r", 0, &[])], (false, "approvals credentials/prod: 0 of 1 approvals that count".into())),
            (false, &[("r", 2)], "ready", vec![ruleset("r", 1, &["bob"])], (false, "approvals credentials/prod: 1 of 2 approvals that count".into())),
            (false, &[("s", 1)], "ready", vec![ruleset("r", 1, &["bob"])], (false, "approvals credentials/prod: 0 of 1 approvals that count".into())),
            (false, &[], "ready", vec![ruleset("r", 1, &["bob"]), ruleset("s", 1, &["alice"])], (false, format!("self-approval credentials/prod: 0 of 1 approvals that count: alice {own}"))),
            (false, &[], "ready", vec![], (false, "approvals credentials/prod: no ruleset asks for an approval of its change request; switch one on that gates opens".into())),
            (false, &[], "merged", vec![ruleset("r", 1, &["bob"])], (false, "approvals credentials/prod: its change request has the status merged, which this version of signoff does not know; it waits until it knows the status".into())),
            (false, &[], "pending", vec![ruleset("r", 1, &["bob"])], (false, "approvals credentials/prod: there are enough approvals that count, but Pulumi Cloud does not call the change request ready yet".into())),
        ] {
            assert_eq!(said(given, asked, status, rulesets), want);
        }
        let strange = RulesetNow { id: "r".into(), name: "r".into(), approval: None };
        assert!(
            !said(false, &[], "ready", vec![strange, ruleset("s", 1, &["bob"])]).0,
            "a kind of rule never seen before counts nobody"
        );
    }
}
