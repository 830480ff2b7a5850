//! Who may ask for a deployment, and how many open requests there may be.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::chain;
use crate::cloud::{Identity, Machine, Role};
use crate::event::{Actor, Entry, Event};
use crate::gate::{Asker, CommitRule, Gate};
use crate::host::Host;
use crate::ledger::{Idempotency, Line, NewRequest};
use crate::names::{Login, Operation};
use crate::request::{Ask, Terms};
use crate::transition::Illegal;

/// How many open requests one requester may have on a stack.
pub const MAX_OPEN_PER_REQUESTER: usize = 10;
/// How many open requests a stack may have in all.
pub const MAX_OPEN_PER_STACK: usize = 50;

/// What somebody may do with a stack at Pulumi Cloud, from less to more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Nothing, or there is no such stack.
    None,
    /// See it.
    Read,
    /// Update it.
    Write,
    /// Destroy it, and everything else.
    Admin,
}

impl Permission {
    /// The permission that an operation takes.
    pub fn for_operation(operation: Operation) -> Self {
        match operation {
            Operation::Update | Operation::Preview | Operation::Refresh => Self::Write,
            Operation::Destroy => Self::Admin,
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "no",
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// Whether somebody may ask, as far as it can be told without asking for their permission on the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// They may.
    May,
    /// They may if they have at least this permission on the stack.
    Needs(Permission),
    /// They may not; the sentence says why, and what to do.
    MayNot(String),
}

/// Whether this caller may ask for `operation` under `gate`. `role` is the caller's in the stack's organization.
pub fn standing(gate: &Gate, caller: &Identity, role: Option<Role>, operation: Operation) -> Standing {
    match role {
        Some(Role::Admin | Role::Member) => {}
        Some(Role::StackCollaborator) => {
            return Standing::MayNot(
                "A stack collaborator may not ask for deployments; have a member of the organization ask.".to_owned(),
            );
        }
        Some(Role::Other) | None => {
            return Standing::MayNot(
                "Only members and admins of the stack's organization may ask; use the access token of one.".to_owned(),
            );
        }
    }
    // A team's token may have the name of one of the organization's: only the latter can be named.
    let organization = gate.environment.organization.as_str();
    let is_the_organizations =
        |machine: &Machine| machine.team.is_empty() && machine.organization.eq_ignore_ascii_case(organization);
    let named = |asker: &Asker| match (asker, &caller.machine) {
        (Asker::Machine(name), Some(machine)) => *name == machine.name && is_the_organizations(machine),
        (Asker::Person(login), None) => *login == caller.login,
        _ => false,
    };
    match (&gate.requesters, &caller.machine) {
        (Some(requesters), _) if requesters.iter().any(named) => Standing::May,
        (_, Some(machine)) if !is_the_organizations(machine) => Standing::MayNot(format!(
            "The machine token {} is a team's or another organization's; use a token of the organization {organization} itself.",
            machine.name
        )),
        (_, Some(machine)) => Standing::MayNot(format!(
            "A machine token may ask only where the gate's requesters name it; have \"machine:{}\" added there. Requesters are everybody who may ask: name the people too.",
            machine.name
        )),
        (Some(_), None) => Standing::MayNot(format!(
            "The gate names who may ask, and {} is not among them; ask one of its requesters, or have the login added there.",
            caller.login
        )),
        (None, None) if role == Some(Role::Admin) => Standing::May,
        (None, None) => Standing::Needs(Permission::for_operation(operation)),
    }
}

/// There are too many open requests already; the sentence says of what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Full(pub String);

/// Whether one more request of this requester fits into a stack's line.
///
/// # Errors
/// [`Full`] if the requester has [`MAX_OPEN_PER_REQUESTER`] open requests in it, or it holds [`MAX_OPEN_PER_STACK`].
pub fn room(line: &Line, requester: &Login) -> Result<(), Full> {
    let own = line.waiting.iter().filter(|waiting| waiting.requester == *requester).count();
    if own >= MAX_OPEN_PER_REQUESTER {
        Err(Full(format!(
            "{requester} has {own} open requests on this stack, which is the most; cancel one, or ask again when one is over."
        )))
    } else if line.waiting.len() >= MAX_OPEN_PER_STACK {
        Err(Full(format!(
            "This stack has {} open requests, which is the most; ask again when one is over.",
            line.waiting.len()
        )))
    } else {
        Ok(())
    }
}

/// What of a gate an operation goes by, from the asking on.
pub fn terms(gate: &Gate, operation: Operation) -> Terms {
    Terms {
        environment: gate.environment.clone(),
        principal: gate.principal.clone(),
        self_approval: gate.self_approval,
        commit_required: gate.commit == CommitRule::Required,
        approvals: gate.approvals_for.get(&operation).copied(),
        wait: gate.wait.clone(),
    }
}

/// What has to be recorded so that `ask` is a request, and looked at within half a sweep: so that it is due when the next one comes, and not just
/// after it.
///
/// # Errors
/// If what is asked for can't be sealed.
pub fn new_request(
    ask: Ask,
    host: &impl Host,
    sweep: SignedDuration,
    idempotency: Option<Idempotency>,
) -> Result<NewRequest, Illegal> {
    let (actor, at) = (Actor::Login(ask.requester.login.clone()), ask.created_at);
    let entry = Entry { id: host.ulid(), at, actor, event: Event::Requested(Box::new(ask)) };
    let step = chain::seal(None, &entry)?;
    Ok(NewRequest { step, due: at.saturating_add(sweep / 2).unwrap_or(Timestamp::MAX), idempotency })
}

/// The SHA-256, in hexadecimal, of a JSON value's canonical form (RFC 8785): what tells whether two bodies say the same.
///
/// # Errors
/// If the value has no canonical form, as a number that no double can hold.
pub fn fingerprint(body: &Value) -> serde_json::Result<String> {
    Ok(hex::encode(Sha256::digest(serde_json_canonicalizer::to_vec(body)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Gates;
    use crate::ledger::InLine;
    use crate::names::RequestId;
    use serde_json::json;

    fn gate(extra: &str) -> Gate {
        let text = format!("[[gate]]\nstacks = [\"acme/*/prod\"]\nenvironment = \"acme/credentials/prod\"\n{extra}\n");
        Gates::from_toml(&text).unwrap().gates.remove(0)
    }

    fn caller(login: &str, machine: Option<&str>) -> Identity {
        Identity {
            login: login.parse().unwrap(),
            name: login.to_owned(),
            machine: machine.map(|name| machine_token(name, "acme", "")),
            organizations: Vec::new(),
        }
    }

    fn machine_token(name: &str, organization: &str, team: &str) -> Machine {
        Machine { name: name.to_owned(), organization: organization.to_owned(), team: team.to_owned() }
    }

    fn refused(standing: &Standing) -> bool {
        matches!(standing, Standing::MayNot(_))
    }

    #[test]
    fn members_need_the_permission_of_the_operation_and_admins_none() {
        let (gate, alice) = (gate(""), caller("alice", None));
        for (operation, permission) in [
            (Operation::Update, Permission::Write),
            (Operation::Preview, Permission::Write),
            (Operation::Refresh, Permission::Write),
            (Operation::Destroy, Permission::Admin),
        ] {
            assert_eq!(standing(&gate, &alice, Some(Role::Member), operation), Standing::Needs(permission));
            assert_eq!(standing(&gate, &alice, Some(Role::Admin), operation), Standing::May);
            for role in [Some(Role::StackCollaborator), Some(Role::Other), None] {
                assert!(refused(&standing(&gate, &alice, role, operation)), "{role:?}");
            }
        }
    }

    #[test]
    fn requesters_replace_the_rule_for_admins_too() {
        let gate = gate("requesters = [\"Alice\", \"machine:ci\"]");
        let ask = |login: &str, machine: Option<&str>, role| {
            standing(&gate, &caller(login, machine), role, Operation::Destroy)
        };
        assert_eq!(ask("aLICE", None, Some(Role::Member)), Standing::May);
        assert_eq!(ask("acme", Some("ci"), Some(Role::Member)), Standing::May);
        assert!(refused(&ask("bob", None, Some(Role::Admin))));
        for (organization, team) in [("acme", "platform"), ("other", ""), ("", "")] {
            let machine = Some(machine_token("ci", organization, team));
            let theirs = Identity { machine, ..caller("acme", None) };
            let standing = standing(&gate, &theirs, Some(Role::Member), Operation::Update);
            assert!(refused(&standing), "{organization:?} {team:?}");
        }
        assert!(refused(&ask("alice", Some("other"), Some(Role::Admin))), "a machine is not the person of its login");
        assert!(refused(&ask("ci", None, Some(Role::Member))), "a person is not a machine of that name");
        assert!(refused(&ask("alice", None, Some(Role::StackCollaborator))));
        assert!(refused(&ask("alice", None, None)));
    }

    #[test]
    fn a_machine_asks_nowhere_without_being_named() {
        assert!(refused(&standing(&gate(""), &caller("x", Some("ci")), Some(Role::Admin), Operation::Update)));
    }

    #[test]
    fn ten_of_one_requester_and_fifty_of_a_stack_are_the_most() {
        let login = |n: usize| format!("user-{n}").parse::<Login>().unwrap();
        let line = |logins: Vec<Login>| Line {
            next: 1,
            waiting: (1u64..)
                .zip(logins)
                .map(|(position, requester)| InLine {
                    position,
                    id: RequestId::new(ulid::Ulid::from_parts(position, 1)),
                    requester,
                    push: false,
                })
                .collect(),
            ..Line::default()
        };
        assert!(room(&line(vec![login(1); 9]), &login(1)).is_ok());
        assert!(room(&line(vec![login(1); 10]), &"USER-1".parse().unwrap()).is_err());
        assert!(room(&line(vec![login(1); 10]), &login(2)).is_ok());
        assert!(room(&line((0..49).map(login).collect()), &login(99)).is_ok());
        assert!(room(&line((0..50).map(login).collect()), &login(99)).is_err());
    }

    #[test]
    fn bodies_are_the_same_whatever_their_order_and_space() {
        let read = |text: &str| fingerprint(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(read(r#"{"a": 1, "b": [true]}"#), read(r#"{"b":[true],"a":1.0}"#));
        assert_ne!(fingerprint(&json!({"a": 1})).unwrap(), fingerprint(&json!({"a": "1"})).unwrap());
    }
}
