//! The webhook endpoints, the same for organizations, stacks and environments.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::call::{Refusal, Reply};
use super::people::{EnvironmentPermission, Permission};
use super::webhooks::{Delivered, Hook, HookScope, signature};
use super::{Cloud, Context};

impl Cloud {
    /// Everything under `…/hooks`; `rest` is what follows in the path.
    pub(crate) fn hooks_call(&mut self, cx: &Context<'_>, on: HookScope, rest: &[&str]) -> Result<Reply, Refusal> {
        self.may_manage(cx, &on)?;
        match (cx.call.method.as_str(), rest) {
            ("GET", []) => {
                let hooks = self.hooks.iter().filter(|hook| hook.on == on);
                Ok(Reply::json(200, &hooks.map(hook_answer).collect()))
            }
            ("POST", []) => self.create_hook(cx, on),
            ("GET", [name]) => Ok(Reply::json(200, &hook_answer(&self.hooks[self.hook_index(&on, name)?]))),
            ("PATCH", [name]) => {
                let index = self.hook_index(&on, name)?;
                read_hook(&cx.call.object()?, &mut self.hooks[index])?;
                Ok(Reply::json(200, &hook_answer(&self.hooks[index])))
            }
            ("DELETE", [name]) => {
                let index = self.hook_index(&on, name)?;
                self.hooks.remove(index);
                Ok(Reply::empty(204))
            }
            ("GET", [name, "deliveries"]) => {
                let deliveries = &self.hooks[self.hook_index(&on, name)?].deliveries;
                Ok(Reply::json(200, &deliveries.iter().map(delivery_answer).collect()))
            }
            ("POST", [name, "deliveries", event, "redeliver"]) => {
                let index = self.hook_index(&on, name)?;
                let known = self.hooks[index].deliveries.iter().any(|d| d.delivery.id == *event);
                known.then(|| self.redeliver(cx.now, event)).ok_or_else(|| Refusal::not_found("delivery"))?;
                Ok(Reply::json(200, &self.newest(index)))
            }
            ("POST", [name, "ping"]) => {
                let index = self.hook_index(&on, name)?;
                let body = json!({"message": "Just a friendly ping from Pulumi", "timestamp": cx.now.as_second()});
                self.deliver(cx.now, index, "ping", body.to_string().into_bytes());
                Ok(Reply::json(200, &self.newest(index)))
            }
            _ => Err(Refusal::new(404, "Not Found")),
        }
    }

    fn newest(&self, index: usize) -> Value {
        self.hooks[index].deliveries.front().map_or(Value::Null, delivery_answer)
    }

    fn may_manage(&self, cx: &Context<'_>, on: &HookScope) -> Result<(), Refusal> {
        match on {
            HookScope::Organization(name) => self.admin(name, &cx.login),
            HookScope::Stack(stack) => self.permitted(cx, stack, Permission::Write).map(|_| ()),
            HookScope::Environment(environment) => {
                self.visible_environment(cx, environment)?;
                if self.environment_permission(environment, &cx.login) < EnvironmentPermission::Write {
                    return Err(Refusal::forbidden("Forbidden: webhooks take write permission on the environment"));
                }
                Ok(())
            }
        }
    }

    fn hook_index(&self, on: &HookScope, name: &str) -> Result<usize, Refusal> {
        let found = self.hooks.iter().position(|hook| hook.on == *on && hook.name == name);
        found.ok_or_else(|| Refusal::not_found("webhook"))
    }

    fn create_hook(&mut self, cx: &Context<'_>, on: HookScope) -> Result<Reply, Refusal> {
        let body = cx.call.object()?;
        let name = match body["name"].as_str().filter(|name| !name.is_empty()) {
            Some(name) => name.to_owned(),
            None => self.ids.uuid()[..8].to_owned(),
        };
        if self.hook_index(&on, &name).is_ok() {
            return Err(Refusal::new(409, format!("Conflict: webhook '{name}' exists already")));
        }
        let mut hook = Hook {
            name,
            on,
            display_name: String::new(),
            active: true,
            url: String::new(),
            secret: String::new(),
            filters: Vec::new(),
            groups: Vec::new(),
            format: "raw".to_owned(),
            deliveries: VecDeque::new(),
        };
        read_hook(&body, &mut hook)?;
        let answer = hook_answer(&hook);
        self.hooks.push(hook);
        Ok(Reply::json(201, &answer))
    }
}

fn read_hook(body: &Value, hook: &mut Hook) -> Result<(), Refusal> {
    let text = |name: &str, before: &str| body[name].as_str().unwrap_or(before).to_owned();
    let words = |name: &str, before: &[String]| match body[name].as_array() {
        None => before.to_vec(),
        Some(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
    };
    let url = text("payloadUrl", &hook.url);
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Refusal::bad("payloadUrl is not an HTTP address"));
    }
    hook.url = url;
    hook.display_name = text("displayName", &hook.display_name);
    hook.secret = text("secret", &hook.secret);
    hook.format = text("format", &hook.format);
    hook.active = body["active"].as_bool().unwrap_or(hook.active);
    hook.filters = words("filters", &hook.filters);
    hook.groups = words("groups", &hook.groups);
    Ok(())
}

fn hook_answer(hook: &Hook) -> Value {
    let sealed = match hook.secret.as_str() {
        "" => String::new(),
        secret => signature(secret, b"sealed by the simulated cloud"),
    };
    let mut answer = json!({
        "name": hook.name, "displayName": hook.display_name, "active": hook.active, "payloadUrl": hook.url,
        "organizationName": hook.on.organization(), "format": hook.format, "filters": hook.filters,
        "groups": hook.groups, "hasSecret": !hook.secret.is_empty(), "secretCiphertext": sealed,
    });
    let parts: Vec<&str> = hook.on.key().split('/').collect();
    match (&hook.on, parts.as_slice()) {
        (HookScope::Stack(_), [_, project, name]) => {
            answer["projectName"] = json!(project);
            answer["stackName"] = json!(name);
        }
        (HookScope::Environment(_), [_, project, name]) => {
            answer["projectName"] = json!(project);
            answer["envName"] = json!(name);
        }
        _ => {}
    }
    answer
}

fn delivery_answer(delivered: &Delivered) -> Value {
    let delivery = &delivered.delivery;
    let headers: Vec<String> = delivery.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    json!({
        "id": delivery.id, "kind": delivery.kind, "payload": String::from_utf8_lossy(&delivery.body),
        "requestUrl": delivery.url, "requestHeaders": headers.join("\n"), "responseCode": delivered.status,
        "responseHeaders": "", "responseBody": delivered.answer, "duration": delivered.millis,
        "timestamp": delivered.at.as_second(),
    })
}
