//! Which call is which.

use super::call::{Refusal, Reply};
use super::webhooks::HookScope;
use super::{Cloud, Context};

impl Cloud {
    pub(crate) fn route(&mut self, cx: &Context<'_>, path: &[&str]) -> Result<Reply, Refusal> {
        let method = cx.call.method.as_str();
        match path {
            ["api", "user"] if method == "GET" => self.get_user(cx),
            ["api", "console", "orgs", org, "members", login, "stacks", project, stack] if method == "GET" => {
                self.get_member_permissions(cx, org, login, &format!("{org}/{project}/{stack}"))
            }
            ["api", "change-gates", org, rest @ ..] => self.route_gates(cx, org, rest),
            ["api", "change-requests", org, rest @ ..] => self.route_change_requests(cx, org, rest),
            ["api", "orgs", org, "hooks", rest @ ..] => {
                self.hooks_call(cx, HookScope::Organization((*org).to_owned()), rest)
            }
            ["api", "orgs", org, "deployments"] if method == "GET" => self.list_organization_deployments(cx, org),
            ["api", "esc", "environments", org, project, name, rest @ ..] => {
                self.route_environments(cx, &format!("{org}/{project}/{name}"), rest)
            }
            ["api", "stacks", org, project, name, rest @ ..] => {
                self.route_stacks(cx, &format!("{org}/{project}/{name}"), rest)
            }
            _ => Err(Refusal::new(404, "Not Found")),
        }
    }

    fn route_gates(&mut self, cx: &Context<'_>, org: &str, rest: &[&str]) -> Result<Reply, Refusal> {
        match (cx.call.method.as_str(), rest) {
            ("GET", []) => self.list_gates(cx, org),
            ("POST", []) => self.create_gate(cx, org),
            ("GET", [id]) => self.get_gate(cx, org, id),
            ("PUT", [id]) => self.update_gate(cx, org, id),
            ("DELETE", [id]) => self.delete_gate(cx, org, id),
            _ => Err(Refusal::new(404, "Not Found")),
        }
    }

    fn route_change_requests(&mut self, cx: &Context<'_>, org: &str, rest: &[&str]) -> Result<Reply, Refusal> {
        if let [id, ..] = rest
            && self.change_request(id).is_none_or(|request| request.organization() != org)
        {
            return Err(Refusal::not_found("change request"));
        }
        match (cx.call.method.as_str(), rest) {
            ("GET", []) => self.list_change_requests(cx, org),
            ("GET", [id]) => self.get_change_request(cx, id),
            ("PATCH", [id]) => self.patch_change_request(cx, id),
            ("POST", [id, "submit"]) => self.post_submit(cx, id),
            ("POST", [id, "approve"]) => self.post_approve(cx, id),
            ("DELETE", [id, "approve"]) => self.delete_approve(cx, id),
            ("POST", [id, "comments"]) => self.post_comment(cx, id),
            ("POST", [id, "apply"]) => self.post_apply(cx, id),
            ("POST", [id, "close"]) => self.post_close(cx, id),
            ("GET", [id, "events"]) => self.list_request_events(cx, id),
            _ => Err(Refusal::new(404, "Not Found")),
        }
    }

    fn route_environments(&mut self, cx: &Context<'_>, environment: &str, rest: &[&str]) -> Result<Reply, Refusal> {
        match (cx.call.method.as_str(), rest) {
            ("POST", ["open"]) => self.post_open(cx, environment),
            ("POST", ["open", "request"]) => self.post_open_request(cx, environment),
            ("GET", ["open", "request", id]) => self.get_open_request(cx, environment, id),
            ("PUT", ["open", "request", id]) => self.put_open_request(cx, environment, id),
            ("GET", ["open", session]) => self.get_session(cx, environment, session),
            (_, ["hooks", rest @ ..]) => self.hooks_call(cx, HookScope::Environment(environment.to_owned()), rest),
            _ => Err(Refusal::new(404, "Not Found")),
        }
    }

    fn route_stacks(&mut self, cx: &Context<'_>, stack: &str, rest: &[&str]) -> Result<Reply, Refusal> {
        match (cx.call.method.as_str(), rest) {
            ("GET", []) => self.get_stack(cx, stack),
            ("DELETE", []) => self.delete_stack_call(cx, stack),
            ("GET", ["deployments"]) => self.list_deployments(cx, stack),
            ("POST", ["deployments"]) => self.post_deployment(cx, stack),
            ("GET", ["deployments", "settings"]) => self.get_settings(cx, stack),
            ("PUT", ["deployments", "settings"]) => self.write_settings(cx, stack, false),
            ("POST", ["deployments", "settings"]) => self.write_settings(cx, stack, true),
            ("DELETE", ["deployments", "settings"]) => self.delete_settings(cx, stack),
            ("GET", ["deployments", "version", number]) => self.get_deployment_version(cx, stack, number),
            ("GET", ["deployments", id]) => self.get_deployment(cx, stack, id),
            ("POST", ["deployments", id, "cancel"]) => self.cancel_deployment(cx, stack, id),
            ("GET", ["deployments", id, "logs"]) => self.get_logs(cx, stack, id),
            ("GET", ["deployments", id, "updates"]) => self.get_updates(cx, stack, id),
            (_, ["hooks", rest @ ..]) => self.hooks_call(cx, HookScope::Stack(stack.to_owned()), rest),
            _ => Err(Refusal::new(404, "Not Found")),
        }
    }
}

/// The path of a call with `*` for its variable parts, to count by.
pub(crate) fn shape(path: &[&str]) -> String {
    const WORDS: [&str; 25] = [
        "api",
        "user",
        "console",
        "orgs",
        "members",
        "stacks",
        "change-gates",
        "change-requests",
        "hooks",
        "deployments",
        "esc",
        "environments",
        "open",
        "request",
        "settings",
        "version",
        "cancel",
        "logs",
        "updates",
        "submit",
        "approve",
        "comments",
        "apply",
        "close",
        "events",
    ];
    let variable_from = match path {
        ["api", "console", ..] => [3, 5, 7, 8].as_slice(),
        ["api", "stacks", ..] => &[2, 3, 4],
        ["api", "esc", ..] => &[3, 4, 5],
        ["api", _, _, ..] => &[2],
        _ => &[],
    };
    let parts = path.iter().enumerate().map(|(index, part)| {
        let known = WORDS.contains(part) || ["deliveries", "redeliver", "ping"].contains(part);
        if variable_from.contains(&index) || !known { "*" } else { part }
    });
    parts.fold(String::new(), |shape, part| shape + "/" + part)
}
