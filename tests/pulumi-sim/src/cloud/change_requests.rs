//! Change requests: from the draft that an open request makes to the grant that its apply gives.
//!
//! `draft` → `pending` on submit; between `pending` and `ready` by the rulesets in force; `applied` or `closed` at the
//! end. What is asked through the API and what people do in the console comes to the same functions.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::Refusal;
use super::change_request::{Approval, ChangeRequest, Revision, Status};
use super::environments::{Grant, durations};
use super::history::Happened;
use super::people::EnvironmentPermission;
use super::{Cloud, later};

impl Cloud {
    /// All change requests, in the order of their creation.
    pub fn change_requests(&self) -> &[ChangeRequest] {
        &self.change_requests
    }

    /// A change request by id.
    pub fn change_request(&self, id: &str) -> Option<&ChangeRequest> {
        self.change_requests.iter().find(|request| request.id == id)
    }

    /// Creates an open request: a draft for the environment (`organization/project/environment`) and each of its
    /// imports, as far as opens of them are gated. Gives the ids.
    pub fn request_open(
        &mut self,
        now: Timestamp,
        login: &str,
        environment: &str,
        body: &Value,
    ) -> Result<Vec<String>, Refusal> {
        let (grant_seconds, access_seconds) = durations(body)?;
        let gated = self.gated_closure(environment);
        if gated.is_empty() {
            return Err(Refusal::bad("unable to create open request, please check whether opens are gated"));
        }
        let mut ids = Vec::new();
        for environment in gated {
            let id = self.ids.uuid();
            self.change_requests.push(ChangeRequest {
                id: id.clone(),
                environment,
                created_by: login.to_owned(),
                created_at: now,
                description: String::new(),
                status: Status::Draft,
                strange_status: None,
                revisions: vec![Revision { grant_seconds, access_seconds }],
                approvals: Vec::new(),
                events: Vec::new(),
            });
            self.announce(now, login, &id, "created");
            ids.push(id);
        }
        let happened =
            Happened::OpenRequestCreated { environment: environment.to_owned(), change_requests: ids.clone() };
        self.record(now, Some(login), happened);
        Ok(ids)
    }

    /// Submits a draft, as its creator.
    pub fn submit(&mut self, now: Timestamp, login: &str, id: &str, description: Option<&str>) -> Result<(), Refusal> {
        let at = self.visible_request(login, id)?;
        if self.change_requests[at].status != Status::Draft {
            return Err(Refusal::bad("change request is not a draft"));
        }
        self.creator_or_admin(login, at)?;
        if let Some(text) = description {
            self.change_requests[at].description = text.to_owned();
        }
        let description = self.change_requests[at].description.clone();
        self.record(now, Some(login), Happened::ChangeRequestSubmitted { id: id.to_owned(), description });
        self.set_status(now, Some(login), at, Status::Pending, "submitted for approval");
        self.announce(now, login, id, "submitted");
        self.settle(now, Some(login), at);
        Ok(())
    }

    /// Approves the latest revision, as a person in the console does.
    pub fn approve(&mut self, now: Timestamp, login: &str, id: &str) -> Result<(), Refusal> {
        let revision = self.change_request(id).map_or(0, ChangeRequest::latest_revision);
        self.approve_revision(now, login, id, revision, None)
    }

    /// Approves a revision; only the latest can be.
    pub fn approve_revision(
        &mut self,
        now: Timestamp,
        login: &str,
        id: &str,
        revision: i64,
        comment: Option<&str>,
    ) -> Result<(), Refusal> {
        let at = self.visible_request(login, id)?;
        let request = &self.change_requests[at];
        let login = self.member(request.organization(), login)?;
        if !matches!(request.status, Status::Pending | Status::Ready) {
            return Err(Refusal::bad(format!("change request is {} and cannot be approved", request.status.word())));
        }
        if revision != request.latest_revision() {
            return Err(Refusal::bad("revisionNumber is not the latest revision"));
        }
        let verdicts = self.verdicts(request);
        if !verdicts.iter().any(|verdict| self.may_approve(&verdict.gate, request, &login)) {
            let own = request.created_by.eq_ignore_ascii_case(&login);
            return Err(Refusal::bad(if own {
                "self-approval is not allowed for this change request"
            } else {
                "user is not an eligible approver of this change request"
            }));
        }
        let request = &mut self.change_requests[at];
        request.approvals.retain(|approval| approval.login != login);
        request.approvals.push(Approval { login: login.clone(), revision });
        self.add_event(now, &login, at, "approved_by_user", comment, json!({}));
        self.record(now, Some(&login), Happened::ChangeRequestApproved { id: id.to_owned(), revision });
        self.settle(now, Some(&login), at);
        self.announce(now, &login, id, "approved");
        Ok(())
    }

    /// Takes an approval back.
    pub fn unapprove(&mut self, now: Timestamp, login: &str, id: &str, comment: Option<&str>) -> Result<(), Refusal> {
        let at = self.visible_request(login, id)?;
        let request = &mut self.change_requests[at];
        if !request.status.is_open() {
            return Err(Refusal::bad(format!("change request is {} already", request.status.word())));
        }
        let before = request.approvals.len();
        request.approvals.retain(|approval| !approval.login.eq_ignore_ascii_case(login));
        if request.approvals.len() == before {
            return Err(Refusal::bad("user has not approved this change request"));
        }
        self.add_event(now, login, at, "unapproved_by_user", comment, json!({}));
        self.record(now, Some(login), Happened::ChangeRequestUnapproved { id: id.to_owned() });
        self.settle(now, Some(login), at);
        self.announce(now, login, id, "unapproved");
        Ok(())
    }

    /// Adds a comment.
    pub fn comment(&mut self, now: Timestamp, login: &str, id: &str, text: &str) -> Result<(), Refusal> {
        let at = self.visible_request(login, id)?;
        self.add_event(now, login, at, "commented", Some(text), json!({}));
        self.record(now, Some(login), Happened::ChangeRequestCommented { id: id.to_owned() });
        self.announce(now, login, id, "updated");
        Ok(())
    }

    /// Changes the description.
    pub fn edit_description(&mut self, now: Timestamp, login: &str, id: &str, text: &str) -> Result<(), Refusal> {
        let at = self.open_request_of(login, id)?;
        let previous = std::mem::replace(&mut self.change_requests[at].description, text.to_owned());
        let extra = json!({"previousDescription": previous, "newDescription": text});
        self.add_event(now, login, at, "description_updated", None, extra);
        let happened = Happened::DescriptionChanged { id: id.to_owned(), description: text.to_owned() };
        self.record(now, Some(login), happened);
        self.announce(now, login, id, "updated");
        Ok(())
    }

    /// Changes the durations: another revision, which may take new approvals. Gives its number.
    pub fn add_revision(&mut self, now: Timestamp, login: &str, id: &str, revision: Revision) -> Result<i64, Refusal> {
        let at = self.open_request_of(login, id)?;
        self.change_requests[at].revisions.push(revision);
        let number = self.change_requests[at].latest_revision();
        self.add_event(now, login, at, "revision_added", None, json!({}));
        self.record(now, Some(login), Happened::RevisionAdded { id: id.to_owned(), revision: number });
        self.settle(now, Some(login), at);
        self.announce(now, login, id, "updated");
        Ok(number)
    }

    /// Applies a change request that is ready: its creator has a grant from now on. 409 if it isn't ready.
    pub fn apply_as(&mut self, now: Timestamp, login: &str, id: &str) -> Result<(), Refusal> {
        let at = self.visible_request(login, id)?;
        self.has_access(login, at)?;
        self.settle(now, None, at);
        let request = self.change_requests[at].clone();
        if !self.environments.contains_key(&request.environment) {
            return Err(Refusal::not_found(&format!("environment '{}'", request.environment)));
        }
        if request.status != Status::Ready || request.strange_status.is_some() {
            let status = request.strange_status.as_deref().unwrap_or(request.status.word());
            return Err(Refusal::new(409, format!("Conflict: change request is {status} and cannot be applied")));
        }
        let revision = request.revisions[request.revisions.len() - 1];
        let grant = Grant {
            change_request: id.to_owned(),
            environment: request.environment.clone(),
            grantee: request.created_by.clone(),
            applied_at: now,
            expires_at: later(now, revision.grant_seconds.saturating_mul(1000)),
            access_seconds: revision.access_seconds,
            first_opened_at: None,
        };
        let mut approvers: Vec<String> = self.verdicts(&request).into_iter().flat_map(|v| v.approvers).collect();
        approvers.sort();
        approvers.dedup();
        let happened = Happened::ChangeRequestApplied {
            id: id.to_owned(),
            environment: grant.environment.clone(),
            grantee: grant.grantee.clone(),
            approvers,
            expires_at: grant.expires_at,
        };
        self.grants.push(grant);
        self.record(now, Some(login), happened);
        self.set_status(now, Some(login), at, Status::Applied, "applied");
        self.announce(now, login, id, "applied");
        Ok(())
    }

    /// Closes a change request that is neither applied nor closed.
    pub fn close_as(&mut self, now: Timestamp, login: &str, id: &str, comment: Option<&str>) -> Result<(), Refusal> {
        let at = self.visible_request(login, id)?;
        self.has_access(login, at)?;
        let from = self.change_requests[at].status;
        if !from.is_open() {
            return Err(Refusal::bad(format!("change request is {} already", from.word())));
        }
        self.record(now, Some(login), Happened::ChangeRequestClosed { id: id.to_owned(), from: from.word().into() });
        self.set_status(now, Some(login), at, Status::Closed, "closed");
        if let (Some(text), Some(event)) = (comment, self.change_requests[at].events.last_mut()) {
            event["comment"] = json!(text);
        }
        self.announce(now, login, id, "closed");
        Ok(())
    }

    /// For tests of robustness: makes answers name a status that nobody knows; `None` names the true one again.
    pub fn set_strange_status(&mut self, id: &str, status: Option<&str>) -> bool {
        let found = self.change_requests.iter_mut().find(|request| request.id == id);
        found.map(|request| request.strange_status = status.map(str::to_owned)).is_some()
    }

    pub(crate) fn close_all(&mut self, now: Timestamp, environment: &str) {
        for at in 0..self.change_requests.len() {
            let request = &self.change_requests[at];
            if request.environment == environment && request.status.is_open() {
                let (id, by) = (request.id.clone(), request.created_by.clone());
                self.set_status(now, None, at, Status::Closed, "the environment was deleted");
                self.announce(now, &by, &id, "closed");
            }
        }
    }

    pub(crate) fn settle_environment(&mut self, now: Timestamp, by: Option<&str>, environment: &str) {
        for at in 0..self.change_requests.len() {
            if self.change_requests[at].environment == environment {
                self.settle(now, by, at);
            }
        }
    }

    /// Moves between pending and ready by the rulesets in force.
    fn settle(&mut self, now: Timestamp, by: Option<&str>, at: usize) {
        let request = &self.change_requests[at];
        let satisfied = self.verdicts(request).iter().all(|verdict| verdict.satisfied);
        match (request.status, satisfied) {
            (Status::Pending, true) => self.set_status(now, by, at, Status::Ready, "all gates are satisfied"),
            (Status::Ready, false) => self.set_status(now, by, at, Status::Pending, "gates are no longer satisfied"),
            _ => {}
        }
    }

    fn set_status(&mut self, now: Timestamp, by: Option<&str>, at: usize, status: Status, reason: &str) {
        let request = &mut self.change_requests[at];
        let (before, id) = (std::mem::replace(&mut request.status, status), request.id.clone());
        let who = by.map_or_else(|| request.created_by.clone(), str::to_owned);
        let extra = json!({"previousStatus": before.word(), "newStatus": status.word(), "reason": reason});
        self.add_event(now, &who, at, "status_changed", None, extra);
        let happened = Happened::ChangeRequestMoved { id, from: before.word().into(), to: status.word().into() };
        self.record(now, by, happened);
    }

    fn add_event(&mut self, now: Timestamp, by: &str, at: usize, kind: &str, comment: Option<&str>, extra: Value) {
        let mut event = extra;
        let request = &self.change_requests[at];
        event["id"] = json!(self.ids.uuid());
        event["eventType"] = json!(kind);
        event["changeRequestId"] = json!(request.id);
        event["createdAt"] = json!(now.to_string());
        event["createdBy"] = self.user_info(by);
        event["revisionNumber"] = json!(request.latest_revision());
        if let Some(text) = comment.filter(|text| !text.is_empty()) {
            event["comment"] = json!(text);
        }
        self.change_requests[at].events.push(event);
    }

    /// Where a change request is, if the caller may see it: a draft only its creator and administrators may.
    pub(crate) fn visible_request(&self, login: &str, id: &str) -> Result<usize, Refusal> {
        let found = self.change_requests.iter().position(|request| request.id == id);
        found
            .filter(|at| self.sees(login, &self.change_requests[*at]))
            .ok_or_else(|| Refusal::not_found("change request"))
    }

    pub(crate) fn sees(&self, login: &str, request: &ChangeRequest) -> bool {
        let own = request.created_by.eq_ignore_ascii_case(login);
        let permission = self.environment_permission(&request.environment, login);
        match request.status {
            Status::Draft => own || permission == EnvironmentPermission::Admin,
            _ => own || permission >= EnvironmentPermission::Read,
        }
    }

    fn creator_or_admin(&self, login: &str, at: usize) -> Result<(), Refusal> {
        let request = &self.change_requests[at];
        let admin = self.environment_permission(&request.environment, login) == EnvironmentPermission::Admin;
        if request.created_by.eq_ignore_ascii_case(login) || admin {
            return Ok(());
        }
        Err(Refusal::forbidden("Forbidden: only the creator may change a change request"))
    }

    fn open_request_of(&self, login: &str, id: &str) -> Result<usize, Refusal> {
        let at = self.visible_request(login, id)?;
        self.creator_or_admin(login, at)?;
        match self.change_requests[at].status {
            status if status.is_open() => Ok(at),
            status => Err(Refusal::bad(format!("change request is {} already", status.word()))),
        }
    }

    /// Apply and close: the creator, who may write the environment, and who may approve.
    pub(crate) fn has_access(&self, login: &str, at: usize) -> Result<(), Refusal> {
        let request = &self.change_requests[at];
        let writes = self.environment_permission(&request.environment, login) >= EnvironmentPermission::Write;
        let approves = || self.verdicts(request).iter().any(|v| self.may_approve(&v.gate, request, login));
        if request.created_by.eq_ignore_ascii_case(login) || writes || approves() {
            return Ok(());
        }
        Err(Refusal::forbidden("Forbidden: the change request may not be applied or closed by this user"))
    }
}
