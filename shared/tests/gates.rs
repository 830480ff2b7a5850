//! Good and bad gate configurations. The Pulumi program in `infra/` checks its own from the same file, so that both refuse the same with the same words.

use serde::Deserialize;
use signoff_core::gate::Gates;

const CASES: &str = include_str!("../../tests/gates/cases.json");

#[derive(Deserialize)]
struct Case {
    name: String,
    toml: String,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    path: String,
    message: String,
}

impl Refusal {
    /// The key as a line of TOML has it: the last of the path, without its place in a list; none where a whole gate is refused.
    fn key(&self) -> Option<&str> {
        let last = self.path.rsplit('.').next()?;
        let key = last.split('[').next()?;
        (!self.path.starts_with("gate[") || self.path.contains('.')).then_some(key)
    }
}

#[test]
fn good_ones_are_taken_and_bad_ones_refused_with_key_and_reason() {
    let cases: Vec<Case> = serde_json::from_str(CASES).unwrap();
    assert!(cases.len() > 50, "{} cases", cases.len());
    for Case { name, toml, error } in cases {
        match (Gates::from_toml(&toml), error) {
            (Ok(_), None) => {}
            (Ok(_), Some(refusal)) => panic!("{name}: taken, though {} is wrong: {}", refusal.path, refusal.message),
            (Err(bad), None) => panic!("{name}: refused: {bad}"),
            (Err(bad), Some(refusal)) => {
                assert_eq!(
                    (bad.reason.as_str(), bad.key.as_deref()),
                    (refusal.message.as_str(), refusal.key()),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn what_is_wrong_is_looked_up_in_the_gate_that_it_is_in() {
    let gate = |name: &str, more: &str| {
        format!("[[gate]]\nstacks = [\"acme/{name}/prod\"]\nenvironment = \"acme/credentials/prod\"\n{more}\n")
    };
    let bad = gate("api", "wait = \"100h\"\npending-timeout = \"1h\"");
    for (toml, line, what) in [
        (gate("web", "") + &bad, 8, "a key that doesn't go with another one"),
        (bad.clone() + &gate("web", ""), 4, "the same in the first gate"),
        (gate("web", "wait = \"2h\"") + &bad, 8, "the same key in a good gate before"),
        (gate("web", "") + "[[gate]]\nstacks = [\"acme/api/prod\"]\n", 5, "a key that is not there"),
        (gate("web", "") + &gate("api", "wait = \"soon\""), 8, "a value that is none"),
    ] {
        let refused = Gates::from_toml(&toml).unwrap_err();
        assert_eq!(refused.line, Some(line), "{what}: {refused}\n{toml}");
    }
}
