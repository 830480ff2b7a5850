//! The real program, as a process.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::binary::binary;

/// How long a start and a stop may take at most.
const LIMIT: Duration = Duration::from_secs(40);
/// What stands before the address in the line that says that it is ready.
const READY: &str = "signoff is ready on ";

/// A `signoff local` that takes connections.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it printed before it was ready.
    pub greeting: String,
    /// Its base URL.
    pub url: String,
}

/// A program that ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// A command for the program with nothing in its environment but a home and these variables.
pub fn command(home: &Path, variables: &[(String, String)]) -> Command {
    let mut command = Command::new(binary());
    command
        .env_clear()
        .env("HOME", home)
        .env("PULUMI_HOME", home.join(".pulumi"))
        .current_dir(home)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs a command to its end, which has to come within `limit`.
pub async fn run(mut command: Command, limit: Duration) -> Ended {
    let output = tokio::time::timeout(limit, command.stdout(Stdio::piped()).stderr(Stdio::piped()).output()).await;
    let output = output.unwrap_or_else(|_| panic!("{command:?} did not end within {limit:?}")).expect("it runs");
    Ended {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Process {
    /// Starts a `signoff local`, whose standard error is added to the file `log`; if it ends instead of getting ready, its exit code.
    pub async fn start(mut command: Command, log: &Path) -> Result<Self, Option<i32>> {
        let errors: File = OpenOptions::new().create(true).append(true).open(log).expect("the log can be written");
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().expect("the program runs");
        let mut lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let mut greeting = String::new();
        let ready = tokio::time::timeout(LIMIT, async {
            while let Some(line) = lines.next_line().await.expect("its output can be read") {
                if let Some(url) = line.strip_prefix(READY) {
                    return Some(url.to_owned());
                }
                greeting.push_str(&line);
                greeting.push('\n');
            }
            None
        });
        match ready.await.unwrap_or_else(|_| panic!("it is not ready after {LIMIT:?}")) {
            Some(url) => Ok(Self { child, lines, greeting, url }),
            None => Err(child.wait().await.expect("it ends").code()),
        }
    }

    /// Its process id.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it can be asked")
    }

    /// Kills it, as `kill -9` does, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Stops it with SIGTERM; its exit code, and what it printed since it was ready.
    pub async fn stop(mut self) -> (Option<i32>, String) {
        terminate(&self.child).await;
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("it did not stop within {LIMIT:?} of SIGTERM")).expect("it ends");
        let mut out = String::new();
        while let Some(line) = self.lines.next_line().await.expect("its output can be read") {
            out.push_str(&line);
            out.push('\n');
        }
        (status.code(), out)
    }
}

/// Sends SIGTERM to a process.
pub(crate) async fn terminate(child: &Child) {
    if let Some(id) = child.id() {
        let sent = Command::new("kill").args(["-TERM", &id.to_string()]).status().await.expect("kill runs");
        assert!(sent.success(), "process {id} can't be signalled");
    }
}
