//! The patches that break the gate on purpose (`make mutants`) are about the code as it is: a rule that was rewritten takes its mutation along.

use std::fs;
use std::path::Path;

/// A hunk of a patch: what has to stand in the file, and what it becomes.
fn hunks(patch: &str) -> Vec<(String, String)> {
    let mut hunks = Vec::new();
    for line in patch.lines() {
        if line.starts_with("@@") {
            hunks.push((String::new(), String::new()));
        }
        let Some((before, after)) = hunks.last_mut() else { continue };
        let (sign, text) = line.split_at_checked(1).unwrap_or((" ", ""));
        match sign {
            " " => [before, after].into_iter().for_each(|side| *side += &format!("{text}\n")),
            "-" => *before += &format!("{text}\n"),
            "+" => *after += &format!("{text}\n"),
            _ => {}
        }
    }
    hunks
}

#[test]
fn each_mutation_breaks_the_code_as_it_is() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut patches: Vec<_> =
        fs::read_dir(here.join("mutations")).unwrap().map(|entry| entry.unwrap().path()).collect();
    patches.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    assert!(patches.len() >= 10, "{patches:?}");
    for path in patches {
        let (patch, name) = (fs::read_to_string(&path).unwrap(), path.display());
        let files: Vec<&str> = patch.lines().filter_map(|line| line.strip_prefix("+++ b/")).collect();
        let [file] = files[..] else { panic!("{name} is about {files:?}: one file each") };
        let source = fs::read_to_string(here.join("../..").join(file.trim())).unwrap();
        let hunks = hunks(&patch);
        assert!(!hunks.is_empty(), "{name} has no hunk");
        for (before, after) in hunks {
            assert!(source.contains(&before), "{name} does not apply to {file} any more:\n{before}");
            assert_ne!(before, after, "{name} changes nothing");
        }
    }
}
