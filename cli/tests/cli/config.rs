//! Checking a configuration.

use crate::stub::{Stub, bare, finish};

const GOOD: &str = "[[gate]]\nstacks = [\"acme/*/prod\"]\nenvironment = \"acme/credentials/prod\"\n";

#[test]
fn a_good_file_is_ok_and_shows_its_gates_with_their_defaults() {
    let stub = Stub::start();
    std::fs::write(stub.home.join("signoff.toml"), GOOD).unwrap();
    let run = finish(bare(&stub.home, &["config", "check"]), "").ends(0);
    assert!(run.out.starts_with("signoff.toml: OK, 1 gate\nGATE  STACKS"), "{run:?}");
    assert!(run.out.contains("1     acme/*/prod  acme/credentials/prod  default    72h"), "{run:?}");
    assert!(run.out.ends_with("\nGate 1: update, preview, refresh, destroy.\n"), "{run:?}");
    let json = finish(bare(&stub.home, &["config", "check", "--json"]), "").ends(0).json();
    assert_eq!((&json["ok"], &json["gate"][0]["pending-timeout"]), (&true.into(), &"72h".into()));
}

#[test]
fn what_is_never_reached_is_warned_of() {
    let stub = Stub::start();
    let shadowed = "[[gate]]\nstacks = [\"acme/web/prod\"]\nenvironment = \"acme/credentials/web\"\n";
    std::fs::write(stub.home.join("signoff.toml"), format!("{GOOD}{shadowed}")).unwrap();
    let warning = "gate 2 is never reached for acme/web/prod: gate 1 covers it, and the first goes";
    let run = finish(bare(&stub.home, &["config", "check"]), "").ends(0);
    assert_eq!(run.err, format!("signoff.toml: warning: {warning}\n"));
    let json = finish(bare(&stub.home, &["config", "check", "--json"]), "").ends(0).json();
    assert_eq!(json["warnings"], serde_json::json!([warning]));
}

#[test]
fn a_bad_file_is_refused_with_file_line_key_and_reason() {
    let stub = Stub::start();
    std::fs::write(stub.home.join("x.toml"), format!("{GOOD}access-duration = \"1w\"\n")).unwrap();
    let run = finish(bare(&stub.home, &["config", "check", "x.toml"]), "").ends(1);
    assert!(run.err.starts_with("x.toml: line 4: access-duration: a duration is"), "{run:?}");
    let json = finish(bare(&stub.home, &["config", "check", "x.toml", "--json"]), "").ends(1).json();
    assert_eq!(
        (&json["ok"], &json["error"]["line"], &json["error"]["key"]),
        (&false.into(), &4.into(), &"access-duration".into())
    );
    std::fs::write(stub.home.join("x.toml"), b"hold = true\n# \xff\n").unwrap();
    let run = finish(bare(&stub.home, &["config", "check", "x.toml"]), "").ends(1);
    assert_eq!(run.err, "x.toml: line 2: is not UTF-8\n");
    assert!(finish(bare(&stub.home, &["config", "check", "missing.toml"]), "").ends(1).err.contains("missing.toml"));
}
