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
