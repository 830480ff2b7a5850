//! The real binary, run and spoken to.

use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use pulumi_sim::signature;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::Result;

pub(crate) const SECRET: &str = "the secret of the bench's webhook";
pub(crate) const GATES: &str = r#"
[[gate]]
stacks = ["acme/platform/*"]
environment = "acme/credentials/platform"

[[gate]]
stacks = ["acme/*/prod"]
environment = "acme/credentials/prod"
"#;

/// A directory that goes when this does.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("signoff-bench-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        std::fs::write(path.join("signoff.toml"), GATES)?;
        Ok(Self(path))
    }

    /// Where the logs of the processes in it are.
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// A running `signoff local`; killed when this is dropped.
pub(crate) struct Gate {
    child: Child,
    pub(crate) url: String,
    client: reqwest::Client,
}

/// A port that is free now, for a gate whose address has to be known before it starts.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Gate {
    /// Starts it and waits until it is ready; also gives how long that took.
    pub(crate) async fn start(
        directory: &Directory,
        port: u16,
        cloud: &str,
        every: &str,
        log: &str,
    ) -> Result<(Self, Duration)> {
        let binary = beside()?;
        let log_file = File::options().create(true).append(true).open(directory.log())?;
        let mut command = Command::new(&binary);
        command
            .args(["local", "--listen", &format!("127.0.0.1:{port}"), "--data-dir", "data", "--config", "signoff.toml"])
            .args(["--pulumi-url", cloud, "--reconcile-every", every])
            .current_dir(&directory.0)
            .env("SIGNOFF_DEPLOYER_TOKEN", "pul-signoff-deployer")
            .env("SIGNOFF_WEBHOOK_SECRET", SECRET)
            .env("SIGNOFF_LOG", log)
            .stdout(Stdio::piped())
            .stderr(log_file)
            .kill_on_drop(true);
        let began = Instant::now();
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", binary.display()))?;
        let out = child.stdout.take().ok_or("it has no standard output")?;
        let mut said = BufReader::new(out).lines();
        loop {
            let line = said.next_line().await?.ok_or("signoff did not start; see its log")?;
            if line.starts_with("signoff is ready on") {
                break;
            }
        }
        let took = began.elapsed();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
        Ok((Self { child, url: format!("http://127.0.0.1:{port}"), client }, took))
    }

    /// Stops it as a service manager does.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let id = self.child.id().ok_or("it is gone")?.to_string();
        Command::new("kill").args(["-TERM", &id]).status().await?;
        self.child.wait().await?;
        Ok(())
    }

    /// Asks for an update as alice; gives the request's id. A 503 is what a hundred at once get whose caller is not known yet: they come again.
    pub(crate) async fn ask(&self, stack: &str) -> Result<String> {
        let body = json!({"stack": stack, "operation": "update", "reason": "Ship 2.4: the new checkout"});
        loop {
            let sent = self.client.post(format!("{}/v1/requests", self.url)).header("authorization", "token pul-alice");
            let answer = sent.json(&body).send().await?;
            let (status, answer): (_, Value) = (answer.status(), answer.json().await?);
            if status == 503 {
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
            let id = answer["id"].as_str().ok_or_else(|| format!("{stack}: {status} {answer}"))?;
            return Ok(id.to_owned());
        }
    }

    /// The state of a request.
    pub(crate) async fn state(&self, id: &str) -> Result<String> {
        let url = format!("{}/v1/requests/{id}", self.url);
        let answer = self.client.get(url).header("authorization", "token pul-alice").send().await?;
        let answer: Value = answer.json().await?;
        Ok(answer["state"].as_str().ok_or_else(|| format!("{id}: {answer}"))?.to_owned())
    }

    /// Delivers a webhook, properly signed.
    pub(crate) async fn ring(&self, id: &str, kind: &str, payload: &Value) -> Result<()> {
        let body = payload.to_string();
        let sent = self
            .client
            .post(format!("{}/webhooks/pulumi", self.url))
            .header("content-type", "application/json")
            .header("pulumi-webhook-id", id)
            .header("pulumi-webhook-kind", kind)
            .header("pulumi-webhook-signature", signature(SECRET, body.as_bytes()));
        let answer = sent.body(body).send().await?;
        let status = answer.status();
        answer.bytes().await?;
        if status == 202 { Ok(()) } else { Err(format!("a webhook was answered {status}").into()) }
    }

    /// A figure of `/proc/<pid>/status`, in KiB, such as `VmRSS`.
    pub(crate) fn memory(&self, what: &str) -> Result<u64> {
        memory(self.child.id().ok_or("it is gone")?, what)
    }
}

/// A figure of `/proc/<pid>/status`, in KiB, such as `VmRSS`.
pub(crate) fn memory(process: u32, what: &str) -> Result<u64> {
    let text = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()).ok_or("no such figure")?;
    Ok(number.parse()?)
}

/// The release binary, where cargo put it: beside this one.
fn beside() -> Result<PathBuf> {
    let mut path = std::env::current_exe()?;
    path.set_file_name("signoff");
    if !path.exists() {
        return Err(format!("{} is not there: `make bench` builds it", path.display()).into());
    }
    Ok(path)
}

/// Says how far it is, on standard error.
pub(crate) fn progress(what: &str) {
    let _unseen = writeln!(std::io::stderr(), "bench: {what}");
}
