//! The saved corpus, what grows out of it with a fixed seed, and the largest inputs: nothing panics, and nothing is slow.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use signoff_fuzz::{Mutator, TARGETS, Target};
use tokio::time::Instant;

/// Where the changes begin.
const SEED: u64 = 20_261_123;
/// How many changed inputs each target is given.
const CHANGED: usize = 2_000;
/// The longest that an input of a few kilobytes may take, and one of a mebibyte, each time that it is read. Those of a debug build on a busy machine: a
/// release takes a tenth.
const SHORT: Duration = Duration::from_millis(40);
const LONG: Duration = Duration::from_millis(1_000);
/// How often one that was slow is tried again: somebody else may have had the machine.
const TRIES: usize = 5;

fn corpus(target: Target) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let mut paths: Vec<_> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", directory.display());
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Runs an input; fails where it takes longer than this, several times in a row.
fn within(target: Target, bytes: &[u8], each: Duration) {
    let limit = each * target.times;
    let mut fastest = Duration::MAX;
    for _ in 0..TRIES {
        let began = Instant::now();
        (target.run)(bytes);
        fastest = fastest.min(began.elapsed());
        if fastest <= limit {
            return;
        }
    }
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
    panic!("{} takes {fastest:?} for {} bytes: {shown:?}", target.name, bytes.len());
}

/// Says which input it was when a target panics.
struct Shown<'a>(Target, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let path = std::env::temp_dir().join(format!("signoff-fuzz-{}", self.0.name));
            // Where it can't be written, what it shows is what there is.
            let _ = fs::write(&path, self.1);
            let text = String::from_utf8_lossy(&self.1[..self.1.len().min(300)]).into_owned();
            say(&format!("{} fails with {}: {text:?}", self.0.name, path.display()));
        }
    }
}

#[expect(clippy::print_stderr, reason = "whoever looks into a failure needs the input")]
fn say(what: &str) {
    eprintln!("{what}");
}

fn replay(name: &str) {
    let target = signoff_fuzz::target(name).unwrap();
    let mut inputs = corpus(target);
    // What is set up once is no input's.
    (target.run)(&inputs[0]);
    for bytes in &inputs {
        let _shown = Shown(target, bytes);
        within(target, bytes, SHORT);
    }
    let mut mutator = Mutator::new(SEED);
    for _ in 0..CHANGED {
        let bytes = mutator.change(&inputs, target.most.min(16_384));
        let shown = Shown(target, &bytes);
        within(target, &bytes, SHORT);
        drop(shown);
        if mutator.below(10) == 0 {
            inputs.push(bytes);
        }
    }
}

/// Every input of the corpus, grown to the most by repeating a part of it, and what is made to be slow.
#[test]
fn the_largest_inputs_cost_milliseconds() {
    for target in TARGETS {
        let mut mutator = Mutator::new(SEED);
        let mut large = hard(target.most);
        for bytes in corpus(target) {
            let (at, length) = (mutator.below(bytes.len()), 1 + mutator.below(60));
            let part = bytes[at..(at + length).min(bytes.len())].to_vec();
            let mut grown = bytes[..at].to_vec();
            while grown.len() < target.most {
                grown.extend_from_slice(if part.is_empty() { b"a" } else { &part });
            }
            grown.truncate(target.most - (bytes.len() - at).min(target.most));
            grown.extend_from_slice(&bytes[at..]);
            grown.truncate(target.most);
            large.push(grown);
        }
        (target.run)(b"");
        for bytes in large {
            let _shown = Shown(target, &bytes);
            within(target, &bytes, LONG);
        }
    }
}

/// Deep, wide, and full of what has to be looked at.
fn hard(most: usize) -> Vec<Vec<u8>> {
    let fill = |head: &str, part: &dyn Fn(usize) -> String, tail: &str| {
        let mut text = head.to_owned();
        for n in 0.. {
            let part = part(n);
            if text.len() + part.len() + tail.len() > most {
                break;
            }
            text.push_str(&part);
        }
        (text + tail).into_bytes()
    };
    vec![
        fill("", &|_| "[".to_owned(), ""),
        fill("a", &|_| "{\"a\":".to_owned(), ""),
        fill("{", &|n| format!("\"k{n}\":1,"), "\"z\":1}"),
        fill("a{", &|n| format!("\"k{n}\":1,"), "\"z\":1}"),
        fill("[", &|n| format!("{{\"changeRequestId\":\"cr-{n}\"}},"), "0]"),
        fill(
            "{\"organization\":\"acme\",\"all\":[",
            &|n| format!("{{\"projectName\":\"p{n}\",\"stackName\":\"s\"}},"),
            "0]}",
        ),
        fill("a{\"stack\":\"acme/web/prod\",\"operation\":\"update\",\"reason\":\"", &|_| "\\u202e".to_owned(), "\"}"),
        fill("a\n{\"message\":\"", &|_| "pul-0123456789abcdef0123456789abcdef".to_owned(), "\"}"),
        fill("\x07\n{\"message\":\"", &|_| "pul-0123456789abcdef0123456789abcde".to_owned(), "\"}"),
        fill("requests?", &|n| format!("a{n}=b&"), ""),
        fill("requests?cursor=", &|_| "0".to_owned(), ""),
        fill("[[gate]]\nstacks = [", &|_| "\"acme/*****************/prod\", ".to_owned(), "]\n"),
        fill("", &|_| "[[gate]]\nstacks=[\"a/b/c\"]\nenvironment=\"a/b/c\"\n".to_owned(), ""),
        fill("x = ", &|_| "[".to_owned(), ""),
        fill("", &|n| format!("k{n} = 1\n"), ""),
    ]
}

macro_rules! replays {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            replay(stringify!($name));
        }
    )*};
}

replays! { webhook push body query gates answers github }
