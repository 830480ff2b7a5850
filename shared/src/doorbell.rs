//! Webhooks: doorbells, not letters. What one says moves nothing; it only tells where to look.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::github::{Branch, Repository};
use crate::names::{EnvironmentName, Organization, StackName};

/// How many pointers of each kind are kept of a delivery; one that has more is looked at as if it had none.
pub const MAX_POINTERS: usize = 8;
/// How deep into a payload pointers are looked for.
const MAX_DEPTH: usize = 8;
/// The longest change request id that is taken for one, in characters.
const MAX_ID: usize = 64;

/// A webhook delivery as it is recorded: never its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The delivery's id (`Pulumi-Webhook-ID`).
    pub id: String,
    /// Its kind (`Pulumi-Webhook-Kind`).
    pub kind: String,
    /// The SHA-256 of its body, in hexadecimal.
    pub body: String,
    /// Where it points.
    pub pointers: Pointers,
    /// When it came.
    pub at: Timestamp,
}

/// What in a payload points to requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pointers {
    /// The organization that it speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<Organization>,
    /// Change request ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub change_requests: Vec<String>,
    /// Stacks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stacks: Vec<StackName>,
    /// Environments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<EnvironmentName>,
    /// Branches at GitHub.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<BranchPointer>,
    /// Whether what looks like an environment may be something else: only stacks and environments in the published shapes are surely what they seem.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unsure: bool,
}

/// A branch at GitHub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchPointer {
    /// The repository.
    pub repository: Repository,
    /// The branch.
    pub branch: Branch,
}

impl Pointers {
    /// Whether it surely names all that it is about, so that if that is none of our business, nothing is.
    pub fn names_all(&self) -> bool {
        self.change_requests.is_empty() && !self.unsure && !(self.stacks.is_empty() && self.environments.is_empty())
    }

    /// Finds the pointers in a payload of whatever shape: the payloads of approval events are published nowhere, so that nothing may depend
    /// on one. Names that no stack or environment can have are passed over.
    pub fn find(body: &Value) -> Self {
        let mut found = Self { organization: organization(body), ..Self::default() };
        found.walk(body, 0);
        if found.change_requests.len() > MAX_POINTERS
            || found.stacks.len() > MAX_POINTERS
            || found.environments.len() > MAX_POINTERS
        {
            return Self { organization: found.organization, ..Self::default() };
        }
        found
    }

    fn walk(&mut self, value: &Value, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item, depth + 1)),
            Value::Object(fields) => {
                let text = |name: &str| fields.get(name).and_then(Value::as_str);
                for name in ["changeRequestId", "changeRequestID"] {
                    self.point_to_change_request(text(name));
                }
                if let Some(Value::Object(inner)) = fields.get("changeRequest") {
                    self.point_to_change_request(inner.get("id").and_then(Value::as_str));
                }
                if let (Some(organization), Some(project)) =
                    (self.organization.clone(), text("projectName").or_else(|| text("project")))
                {
                    let name = |last: &str| format!("{organization}/{project}/{last}");
                    if let Some(stack) = text("stackName").and_then(|stack| name(stack).parse().ok()) {
                        push(&mut self.stacks, stack);
                    }
                    let published = text("projectName").and(text("environmentName"));
                    let environment = published
                        .or_else(|| text("environmentName"))
                        .or_else(|| text("envName"))
                        .or_else(|| text("name"));
                    if let Some(environment) = environment.and_then(|environment| name(environment).parse().ok()) {
                        self.unsure |= published.is_none();
                        push(&mut self.environments, environment);
                    }
                }
                fields.values().for_each(|field| self.walk(field, depth + 1));
            }
            _ => {}
        }
    }

    fn point_to_change_request(&mut self, id: Option<&str>) {
        let plain =
            |id: &&str| (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if let Some(id) = id.filter(plain) {
            push(&mut self.change_requests, id.to_owned());
        }
    }
}

/// Keeps one more than may be kept, so that too many shows.
fn push<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if list.len() <= MAX_POINTERS && !list.contains(&item) {
        list.push(item);
    }
}

fn organization(body: &Value) -> Option<Organization> {
    let field = body.get("organization")?;
    let login = field.as_str().or_else(|| field.get("githubLogin").and_then(Value::as_str))?;
    login.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pointers_are_found_in_documented_and_in_unknown_shapes() {
        let deployment = json!({"organization": {"githubLogin": "acme"}, "projectName": "web", "stackName": "prod", "status": "succeeded"});
        assert_eq!(Pointers::find(&deployment).stacks, ["acme/web/prod".parse().unwrap()]);
        let approval = json!({"organization": {"githubLogin": "acme"}, "data": [{"changeRequest": {"id": "cr-1", "entity": {"project": "credentials", "name": "prod"}}}]});
        let found = Pointers::find(&approval);
        assert_eq!(found.change_requests, ["cr-1"]);
        assert_eq!(found.environments, ["acme/credentials/prod".parse().unwrap()]);
    }

    #[test]
    fn rubbish_points_nowhere_and_costs_nothing() {
        for body in [
            json!(null),
            json!([1, "x"]),
            json!({"changeRequestId": 7, "organization": ["acme"]}),
            json!({"changeRequestId": "../../x y"}),
        ] {
            assert_eq!(Pointers::find(&body), Pointers::default(), "{body}");
        }
        let many: Vec<_> = (0..100).map(|n| json!({"changeRequestId": format!("cr-{n}")})).collect();
        assert_eq!(Pointers::find(&json!(many)), Pointers::default(), "too many to follow one by one");
    }
}
