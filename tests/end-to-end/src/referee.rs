//! The referee: passes calls on to the simulated cloud, and checks each of them and each answer against the official specification.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

/// The variable that says where the referee's program is; `none`: there is to be no referee.
const VARIABLE: &str = "SIGNOFF_SPEC_PROXY";

/// A running referee.
#[derive(Debug)]
pub struct Referee {
    child: Child,
    out: BufReader<ChildStdout>,
    errors: PathBuf,
    url: String,
}

/// What it saw.
#[derive(Debug, Clone)]
pub struct Score {
    /// How many calls it passed on.
    pub calls: u64,
    /// The violations, each as a line of JSON.
    pub violations: Vec<String>,
}

impl Referee {
    /// Starts it in front of `upstream`, if its program is there; where it is not, says so on standard error.
    pub async fn start(upstream: &str, directory: &Path) -> Option<Self> {
        let program = program()?;
        let errors = directory.join("referee.log");
        let log = std::fs::File::create(&errors).expect("a file can be made in the test's directory");
        let mut child = Command::new("python3")
            .arg(&program)
            .args(["--upstream", upstream, "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("python3 runs");
        let mut out = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        out.read_line(&mut line).await.expect("its output can be read");
        let url = line.trim().rsplit_once(' ').map(|(_, url)| url.to_owned());
        let url = url.filter(|url| url.starts_with("http://"));
        let url = url.unwrap_or_else(|| panic!("the referee does not start: {line:?}, see {}", errors.display()));
        Some(Self { child, out, errors, url })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops it and gives what it saw.
    pub async fn stop(mut self) -> Score {
        crate::process::terminate(&self.child).await;
        let mut said = String::new();
        self.out.read_to_string(&mut said).await.expect("its output can be read");
        self.child.wait().await.expect("it ends");
        let calls = said.split(' ').next().and_then(|number| number.parse().ok());
        let log = std::fs::read_to_string(&self.errors).unwrap_or_default();
        let violations: Vec<String> = log.lines().filter(|line| line.starts_with('{')).map(str::to_owned).collect();
        assert!(
            said.contains(&format!(" {} violations", violations.len())),
            "the referee said {said:?}, but reported {} violations:\n{log}",
            violations.len()
        );
        Score { calls: calls.unwrap_or_default(), violations }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one thing that the tests take from the environment")]
fn program() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("/"));
    let named = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    if named.as_deref() == Some(Path::new("none")) {
        return None;
    }
    let path = named.clone().unwrap_or_else(|| workspace.join("../shared/tools/spec_proxy.py"));
    if path.exists() {
        return Some(path);
    }
    // One that was named and is not there is a mistake; to go on without would hide it.
    assert!(named.is_none(), "{VARIABLE} names {}, which is not there", path.display());
    say_without(&path);
    None
}

#[expect(clippy::print_stderr, reason = "who runs the tests has to know that a check is missing")]
fn say_without(path: &Path) {
    eprintln!("no referee at {}: calls are not checked against the specification", path.display());
}
