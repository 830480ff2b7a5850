//! The change request endpoints.

use serde_json::{Value, json};

use super::call::{Refusal, Reply};
use super::chance::Chance;
use super::change_request::{ChangeRequest, Revision};
use super::environments::durations;
use super::{Cloud, Context};

/// How many change requests or events one page has, unless the caller asks for fewer.
const PAGE: usize = 50;

impl Cloud {
    pub(crate) fn post_open_request(&mut self, cx: &Context<'_>, environment: &str) -> Result<Reply, Refusal> {
        self.visible_environment(cx, environment)?;
        let ids = self.request_open(cx.now, &cx.login, environment, &cx.call.object()?)?;
        let created = ids.iter().filter_map(|id| self.change_request(id));
        let created: Vec<Value> = created
            .map(|request| {
                let (project, name) = request.qualified_name().split_once('/').unwrap_or_default();
                json!({
                    "projectName": project, "environmentName": name, "changeRequestId": request.id,
                    "latestRevisionNumber": request.latest_revision(), "etag": etag(request),
                })
            })
            .collect();
        Ok(Reply::json(200, &json!({"changeRequests": created})))
    }

    pub(crate) fn get_open_request(&self, cx: &Context<'_>, environment: &str, id: &str) -> Result<Reply, Refusal> {
        let request = self.seen(cx, id)?;
        if request.environment != environment {
            return Err(Refusal::not_found("open request"));
        }
        let number = cx.call.number("revision")?.unwrap_or(request.latest_revision());
        let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
        let revision = request.revisions.get(index).ok_or_else(|| Refusal::not_found("revision"))?;
        let answer = json!({
            "grantExpirationSeconds": revision.grant_seconds, "accessDurationSeconds": revision.access_seconds,
        });
        Ok(Reply::json(200, &answer))
    }

    pub(crate) fn put_open_request(&mut self, cx: &Context<'_>, environment: &str, id: &str) -> Result<Reply, Refusal> {
        if self.seen(cx, id)?.environment != environment {
            return Err(Refusal::not_found("open request"));
        }
        let (grant_seconds, access_seconds) = durations(&cx.call.object()?)?;
        let number = self.add_revision(cx.now, &cx.login, id, Revision { grant_seconds, access_seconds })?;
        Ok(Reply::json(200, &json!({"changeRequestId": id, "latestRevisionNumber": number})))
    }

    pub(crate) fn list_change_requests(&mut self, cx: &Context<'_>, organization: &str) -> Result<Reply, Refusal> {
        self.member(organization, &cx.login)?;
        let count = match cx.call.number("count")? {
            None => PAGE,
            Some(n) => {
                usize::try_from(n).ok().filter(|n| (1..=500).contains(n)).ok_or_else(|| Refusal::bad("count"))?
            }
        };
        let token = cx.call.query("continuationToken").filter(|token| !token.is_empty());
        let (order, from) = match token {
            None => (self.order.next(), 0),
            Some(token) => read_token(token).ok_or_else(|| Refusal::bad("invalid continuationToken"))?,
        };
        let (kind, entity) = (cx.call.query("entityType").unwrap_or("environment"), cx.call.query("entityId"));
        let mut found: Vec<&ChangeRequest> = self
            .change_requests
            .iter()
            .filter(|request| request.organization() == organization && kind == "environment")
            .filter(|request| entity.is_none_or(|name| name == request.qualified_name()))
            .filter(|request| self.sees(&cx.login, request))
            .collect();
        // The order is promised to nobody, so each listing has another; its pages fit together all the same.
        Chance::new(order).shuffle(&mut found);
        let page: Vec<Value> =
            found.iter().skip(from).take(count).map(|request| self.request_answer(request)).collect();
        let next = if from + count < found.len() { format!("{order:x}-{}", from + count) } else { String::new() };
        Ok(Reply::json(200, &json!({"changeRequests": page, "continuationToken": next})))
    }

    pub(crate) fn get_change_request(&self, cx: &Context<'_>, id: &str) -> Result<Reply, Refusal> {
        let request = self.seen(cx, id)?;
        let mut answer = self.request_answer(request);
        answer["gateEvaluation"] = self.evaluation(request);
        Ok(Reply::json(200, &answer))
    }

    pub(crate) fn patch_change_request(&mut self, cx: &Context<'_>, id: &str) -> Result<Reply, Refusal> {
        let body = cx.call.object()?;
        let text = body["description"].as_str().ok_or_else(|| Refusal::bad("description is required"))?;
        self.edit_description(cx.now, &cx.login, id, text)?;
        Ok(Reply::empty(204))
    }

    pub(crate) fn post_submit(&mut self, cx: &Context<'_>, id: &str) -> Result<Reply, Refusal> {
        let body = cx.call.object()?;
        self.submit(cx.now, &cx.login, id, body["description"].as_str())?;
        Ok(Reply::empty(204))
    }

    pub(crate) fn post_approve(&mut self, cx: &Context<'_>, id: &str) -> Result<Reply, Refusal> {
        let body = cx.call.object()?;
        let revision = body["revisionNumber"].as_i64().ok_or_else(|| Refusal::bad("revisionNumber is required"))?;
        self.approve_revision(cx.now, &cx.login, id, revision, body["comment"].as_str())?;
        Ok(Reply::empty(204))
    }

    pub(crate) fn delete_approve(&mut self, cx: &Context<'_>, id: &str) -> Result<Reply, Refusal> {
        self.unapprove(cx.now, &cx.login, id, cx.call.object()?["comment"].as_str())?;
        Ok(Reply::empty(204))
    }

    pub(crate) fn post_comment(&mut self, cx: &Context<'_>, id: &str) -> Result<Reply, Refusal> {
        let body = cx.call.object()?;
        let text = body["comment"].as_str().filter(|text| !text.is_empty());
        self.comment(cx.now, &cx.login, id, text.ok_or_else(|| Refusal::bad("comment is required"))?)?;
        Ok(Reply::empty(204))
    }

    pub(crate) fn post_apply(&mut self, cx: &Context<'_>, id: &str) -> Result<Reply, Refusal> {
        self.apply_as(cx.now, &cx.login, id)?;
        let environment = self.change_request(id).map(|request| request.environment.clone()).unwrap_or_default();
        Ok(Reply::json(200, &json!({"entityUrl": format!("/api/esc/environments/{environment}")})))
    }

    pub(crate) fn post_close(&mut self, cx: &Context<'_>, id: &str) -> Result<Reply, Refusal> {
        self.close_as(cx.now, &cx.login, id, cx.call.object()?["comment"].as_str())?;
        Ok(Reply::empty(204))
    }

    pub(crate) fn list_request_events(&self, cx: &Context<'_>, id: &str) -> Result<Reply, Refusal> {
        let events = &self.seen(cx, id)?.events;
        let from = match cx.call.query("continuationToken").filter(|token| !token.is_empty()) {
            None => 0,
            Some(token) => token.parse().map_err(|_| Refusal::bad("invalid continuationToken"))?,
        };
        let page: Vec<&Value> = events.iter().skip(from).take(PAGE).collect();
        let next = if from + PAGE < events.len() { (from + PAGE).to_string() } else { String::new() };
        Ok(Reply::json(200, &json!({"events": page, "continuationToken": next})))
    }

    fn seen(&self, cx: &Context<'_>, id: &str) -> Result<&ChangeRequest, Refusal> {
        Ok(&self.change_requests[self.visible_request(&cx.login, id)?])
    }

    fn request_answer(&self, request: &ChangeRequest) -> Value {
        let (project, name) = request.qualified_name().split_once('/').unwrap_or_default();
        json!({
            "id": request.id, "orgID": format!("org-{}", request.organization()), "action": "open",
            "status": request.strange_status.as_deref().unwrap_or(request.status.word()),
            "description": request.description, "createdAt": request.created_at.to_string(),
            "createdBy": self.user_info(&request.created_by),
            "latestRevisionNumber": request.latest_revision(),
            "entity": {"entityType": "environment", "project": project, "name": name},
        })
    }
}

fn etag(request: &ChangeRequest) -> String {
    format!("{}-{}", &request.id[..8], request.latest_revision())
}

fn read_token(token: &str) -> Option<(u64, usize)> {
    let (order, from) = token.split_once('-')?;
    Some((u64::from_str_radix(order, 16).ok()?, from.parse().ok()?))
}
