//! The gates' configuration.

use signoff_core::gate::Gates;

/// A document in TOML, or in JSON where it begins with a brace. What is taken means the same when it is written and read again.
pub(crate) fn gates(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let read = if text.starts_with('{') { Gates::from_json(text) } else { Gates::from_toml(text) };
    match read {
        Ok(gates) => {
            let written = serde_json::to_string(&gates).expect("gates can be written");
            let again = Gates::from_json(&written);
            assert_eq!(again.as_ref(), Ok(&gates), "{written} is not what was read");
            for stack in ["acme/web/prod", "acme/x/y", "a/b/c"] {
                let stack = stack.parse().expect("this is a stack");
                let gate = gates.gate_of(&stack);
                assert!(gate.is_none_or(|gate| gate.stacks.iter().any(|pattern| pattern.matches(&stack))));
            }
        }
        Err(error) => assert!(!error.to_string().is_empty(), "a refusal has a reason"),
    }
}
