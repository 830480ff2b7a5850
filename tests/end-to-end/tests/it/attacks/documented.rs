//! SECURITY.md makes no claim without a test, and names none that is not there.

use std::path::{Path, PathBuf};

/// Where most of the tests are, as the document shortens it.
const SHORT: (&str, &str) = ("it/", "tests/end-to-end/tests/it/");
/// What the names of the infrastructure's tests end with.
const TYPESCRIPT: &str = ".test.ts";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace is two above").to_owned()
}

/// What stands between backticks and names a test: `file.rs::name`, or `file.test.ts::title`.
fn named(text: &str) -> Vec<(String, String)> {
    let spans = text.split('`').skip(1).step_by(2);
    spans
        .filter_map(|span| span.split_once("::"))
        .filter(|(file, _)| file.ends_with(".rs") || file.ends_with(TYPESCRIPT))
        .map(|(file, test)| (file.to_owned(), test.to_owned()))
        .collect()
}

/// Whether a source has a test of this name: a function, after an attribute that makes it one; or, of the infrastructure, one with this title.
fn has_test(path: &str, source: &str, name: &str) -> bool {
    if path.ends_with(TYPESCRIPT) {
        return source.lines().any(|line| line.starts_with(&format!("test(\"{name}\", ")));
    }
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let declares = |line: &str| {
        let rest = line.trim_start_matches("pub ").trim_start_matches("async ");
        rest.strip_prefix("fn ").is_some_and(|rest| rest.split('(').next() == Some(name))
    };
    lines.iter().enumerate().any(|(at, line)| {
        let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        declares(line)
            && attributes.into_iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

#[test]
fn every_test_that_is_named_exists() {
    let text = std::fs::read_to_string(root().join("SECURITY.md")).expect("SECURITY.md is there");
    let all = named(&text);
    assert!(all.len() >= 40, "only {} tests are named", all.len());
    let untitled = text.split('`').skip(1).step_by(2).find(|span| span.ends_with(TYPESCRIPT));
    assert_eq!(untitled, None, "the file is named, and not the test in it");
    for (file, test) in all {
        let path = file.strip_prefix(SHORT.0).map_or_else(|| file.clone(), |rest| format!("{}{rest}", SHORT.1));
        let source = std::fs::read_to_string(root().join(&path));
        let source = source.unwrap_or_else(|error| panic!("SECURITY.md names {path}: {error}"));
        assert!(has_test(&path, &source, &test), "SECURITY.md names {test}, which is no test in {path}");
    }
}

#[test]
fn every_row_of_a_table_names_a_test() {
    let text = std::fs::read_to_string(root().join("SECURITY.md")).expect("SECURITY.md is there");
    let mut rows = 0;
    let is_rule = |line: &str| line.starts_with("|-") || line.starts_with("| -");
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with('|')) {
        let is_head = lines.get(at + 1).is_some_and(|next| is_rule(next));
        if !is_head && !is_rule(line) {
            rows += 1;
            assert!(!named(line).is_empty(), "this row shows nothing: {line}");
        }
    }
    assert!(rows >= 25, "only {rows} rows");
}

#[test]
fn a_name_that_is_no_test_would_be_noticed() {
    let source = "#[test]\nfn one() {}\n\nfn two() {}\n\n#[tokio::test(flavor = \"multi_thread\")]\n#[expect(x)]\nasync fn three() {}\n";
    let has = |name| has_test("a.rs", source, name);
    assert!(has("one") && has("three"));
    assert!(!has("two") && !has("on") && !has("four"));
    let source = "test(\"one and two\", () => {\n// three\n";
    let has = |name| has_test("a.test.ts", source, name);
    assert!(has("one and two") && !has("one") && !has("three"));
    let pairs = [("a/b.rs", "c"), ("e.rs", "f"), ("g.test.ts", "h i")];
    assert_eq!(
        named("so `a/b.rs::c` and `d`, `e.rs::f`, `g.test.ts::h i`, `j::k`."),
        pairs.map(|(file, test)| (file.to_owned(), test.to_owned()))
    );
}
