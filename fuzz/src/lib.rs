//! Hostile input. Each way by which bytes of others come in is a function of bytes here: it fails by panicking, where the real code panics or answers
//! something that it must not. `tests/replay.rs` runs them over the saved corpus and thousands of changed inputs, with a fixed seed; `coverage/` lets
//! libFuzzer look for more (`make fuzz`).

#![expect(clippy::expect_used, reason = "a target that can't go on fails, and says why")]

mod answers;
mod doors;
mod gates;
mod github;
mod mutate;
mod nobody;

pub use mutate::Mutator;

/// A way by which bytes of others come in.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, which is that of its directory in `corpus/`.
    pub name: &'static str,
    /// Takes the bytes.
    pub run: fn(&[u8]),
    /// The most bytes that it is given.
    pub most: usize,
    /// How often it reads them; for what is recorded, more.
    pub times: u32,
}

/// All of them.
pub const TARGETS: [Target; 7] = [
    Target { name: "webhook", run: doors::webhook, most: LARGE, times: 3 },
    Target { name: "push", run: github::push, most: LARGE, times: 3 },
    Target { name: "body", run: doors::body, most: LARGE, times: 4 },
    Target { name: "query", run: doors::query, most: 8_192, times: 4 },
    Target { name: "gates", run: gates::gates, most: 65_536, times: 2 },
    Target { name: "answers", run: answers::answers, most: 262_144, times: 18 },
    Target { name: "github", run: github::answers, most: 262_144, times: 4 },
];

/// A little more than the largest body that is taken.
const LARGE: usize = (1 << 20) + 64;

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

/// Runs something asynchronous to its end, on this thread.
fn wait<T>(work: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    }
    RUNTIME.with(|runtime| runtime.block_on(work))
}
