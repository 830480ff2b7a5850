//! Deployment settings as JSON: how they are kept, merged and shown.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::call::Refusal;

/// The operations that a deployment can be.
pub(crate) const OPERATIONS: [&str; 6] = ["update", "preview", "destroy", "refresh", "detect-drift", "remediate-drift"];

/// Refuses what the cloud could not give back in the shape of its answers.
pub(crate) fn check(body: &Value) -> Result<(), Refusal> {
    let need = |what: &str| Err(Refusal::bad(format!("{what} is invalid")));
    let objects = ["operationContext", "sourceContext", "executorContext", "gitHub", "vcs", "cacheOptions"];
    if let Some(name) = objects.iter().find(|name| !body[**name].is_null() && !body[**name].is_object()) {
        return need(name);
    }
    let git = &body["sourceContext"]["git"];
    if git["commit"].is_string() && git["branch"].is_string() {
        return Err(Refusal::bad("sourceContext.git.branch and sourceContext.git.commit are mutually exclusive"));
    }
    let variables = &body["operationContext"]["environmentVariables"];
    let variable = |value: &Value| value.is_string() || value["secret"].is_string() || value["plaintext"].is_string();
    match variables.as_object() {
        Some(variables) if !variables.values().all(variable) => need("operationContext.environmentVariables"),
        None if !variables.is_null() => need("operationContext.environmentVariables"),
        _ => Ok(()),
    }
}

/// As it is kept: a plain variable is an object too, and unset fields are left out.
pub(crate) fn normal(body: &Value) -> Value {
    let mut kept = without_nulls(body);
    for foreign in ["operation", "inheritSettings"] {
        kept.as_object_mut().and_then(|object| object.remove(foreign));
    }
    let variables = kept.pointer_mut("/operationContext/environmentVariables").and_then(Value::as_object_mut);
    for value in variables.into_iter().flat_map(Map::values_mut) {
        if let Some(text) = value.as_str() {
            *value = json!({"secret": "", "plaintext": text});
        } else if value["secret"].is_null() {
            value["secret"] = json!("");
        }
    }
    if let Some(role) = kept.pointer_mut("/operationContext/role").filter(|role| role["id"].is_null()) {
        role["id"] = role["name"].clone();
    }
    kept
}

/// `over` laid over `under`: objects field by field, anything else (variables, lists) as a whole. A commit takes the
/// place of a branch, and a branch that of a commit.
pub(crate) fn merge(under: &Value, over: &Value) -> Value {
    let (Value::Object(under), Value::Object(over)) = (under, over) else { return over.clone() };
    let mut merged = under.clone();
    if over.get("commit").is_some_and(Value::is_string) {
        merged.remove("branch");
    } else if over.get("branch").is_some_and(Value::is_string) {
        merged.remove("commit");
    }
    for (key, value) in over {
        let secret = value.get("secret").is_some();
        let value = match under.get(key) {
            Some(before) if !secret => merge(before, value),
            _ => value.clone(),
        };
        merged.insert(key.clone(), value);
    }
    Value::Object(merged)
}

/// As it is shown: secrets as something that changes with them and does not tell them.
pub(crate) fn masked(kept: &Value) -> Value {
    match kept {
        Value::Object(fields) => {
            let secret = fields.get("secret").and_then(Value::as_str).filter(|text| !text.is_empty());
            if let Some(text) = secret {
                let sealed = hex::encode(Sha256::digest(format!("sealed by the simulated cloud: {text}")));
                return json!({"secret": "", "ciphertext": [sealed]});
            }
            fields.iter().map(|(key, value)| (key.clone(), masked(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(masked).collect(),
        other => other.clone(),
    }
}

/// The environment variables: those that are plain with their value, secret ones with theirs in the second place.
pub(crate) fn variables(kept: &Value) -> BTreeMap<String, Variable> {
    let variables = kept.pointer("/operationContext/environmentVariables").and_then(Value::as_object);
    let read = |value: &Value| match value["plaintext"].as_str() {
        Some(text) => Variable { value: text.to_owned(), secret: false },
        None => Variable { value: value["secret"].as_str().unwrap_or_default().to_owned(), secret: true },
    };
    variables.into_iter().flatten().map(|(name, value)| (name.clone(), read(value))).collect()
}

/// The value of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// What it says.
    pub value: String,
    /// Whether answers keep it back.
    pub secret: bool,
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}
