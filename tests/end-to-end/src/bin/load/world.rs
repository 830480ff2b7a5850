//! A gate on a store that was filled, before a simulated Pulumi Cloud with many stacks.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pulumi_sim::{Permission, Role, Sim, SimConfig, StackSetup, Status, Timing, seed};
use reqwest::Method;
use serde_json::Value;
use signoff_tests::{Process, Reply, client, command, send};
use tokio::time::Instant;

use crate::fill::fill;
use crate::{Figure, Figures, Holds, Result, progress};

/// The webhook's shared secret.
pub(crate) const SECRET: &str = "the secret of the load's webhook";
/// The most requests of one person that may be open on a stack; each stack has that many.
pub(crate) const PER_STACK: usize = 10;
/// How long anything may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(1200);
const GATES: &str = "[[gate]]\nstacks = [\"acme/*/prod\"]\nenvironment = \"acme/credentials/prod\"\n";

/// How many requests a store holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) finished: usize,
    pub(crate) open: usize,
}

/// All of it, running.
pub(crate) struct World {
    pub(crate) size: Size,
    pub(crate) sim: Sim,
    /// A request that is over, and one that is open.
    pub(crate) samples: [String; 2],
    pub(crate) client: reqwest::Client,
    pub(crate) url: String,
    process: Process,
    directory: PathBuf,
}

impl World {
    /// Fills a store, starts a gate on it, and waits until it has taken up all that is open.
    pub(crate) async fn start(size: Size) -> Result<(Self, Figures)> {
        let mut cloud = seed::acme(1);
        cloud.timing = Timing { accept_ms: 0, run_ms: 0 };
        for n in 0..=size.open / PER_STACK {
            let setup = StackSetup::git("https://github.com/acme/svc.git", "refs/heads/main").opens("credentials/prod");
            cloud.stack(&stack(n), setup);
            for login in ["alice", "signoff-deployer"] {
                cloud.allow(login, &stack(n), Permission::Write);
            }
        }
        // Whoever may read: more of them than one, as in life.
        for n in 0..20 {
            cloud.person("acme", &format!("reader-{n}"), "", Role::Member).token(&token(n), &format!("reader-{n}"));
        }
        let sim = Sim::start(SimConfig::new(cloud)).await?;
        let directory = std::env::temp_dir().join(format!("signoff-load-{}-{}", std::process::id(), size.finished));
        // What a process of the same id left behind long ago.
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(directory.join("data"))?;
        std::fs::write(directory.join("signoff.toml"), GATES)?;
        let began = Instant::now();
        let samples = fill(&directory.join("data"), size).await?;
        progress(&format!("filled in {:.0} s", began.elapsed().as_secs_f64()));

        let began = Instant::now();
        let process = Process::start(local(&directory, &sim.url()), &directory.join("log"))
            .await
            .map_err(|code| format!("signoff ended with {code:?}; see {}", directory.join("log").display()))?;
        let ready = began.elapsed().as_secs_f64() * 1000.0;
        let url = process.url.clone();
        let world = Self { size, sim, samples, client: client(), url, process, directory };
        let submitted =
            || world.sim.cloud().change_requests().iter().filter(|one| one.status == Status::Pending).count();
        while submitted() < size.open {
            if began.elapsed() > PATIENCE {
                return Err(format!("{} of {} open requests were submitted", submitted(), size.open).into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let taken = began.elapsed().as_secs_f64();
        let figures = vec![
            Figure::new("start to ready", format!("{ready:.0} ms"), Holds::Anything),
            Figure::new(
                "all open requests submitted",
                format!("{taken:.1} s"),
                Holds::Flat { value: taken, slack: 5.0 },
            ),
        ];
        world.quiet().await;
        Ok((world, figures))
    }

    /// Calls the API with a token.
    pub(crate) async fn call(&self, token: &str, path: &str) -> Result<Reply> {
        let authorization = format!("token {token}");
        let url = format!("{}{path}", self.url);
        Ok(send(&self.client, Method::GET, &url, &[("authorization", &authorization)], None).await?)
    }

    /// Sends this to the API as alice, who has to be told that it is accepted.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Reply> {
        let headers = [("authorization", "token pul-alice"), ("content-type", "application/json")];
        let url = format!("{}{path}", self.url);
        let reply = send(&self.client, Method::POST, &url, &headers, Some(body.to_string())).await?;
        if reply.status == 202 { Ok(reply) } else { Err(format!("{path} was answered {}", reply.text).into()) }
    }

    /// How many calls there were at the simulated cloud, all in all.
    pub(crate) fn calls(&self) -> u64 {
        self.sim.cloud().calls().values().sum()
    }

    /// How many calls there were of those whose path ends like this.
    pub(crate) fn calls_of(&self, end: &str) -> u64 {
        let cloud = self.sim.cloud();
        cloud.calls().iter().filter(|((_, path), _)| path.ends_with(end)).map(|(_, count)| count).sum()
    }

    /// Waits until nobody has called for half a second, but not for longer than between some sweeps: with many open requests somebody always calls.
    pub(crate) async fn quiet(&self) {
        let (until, mut before) = (Instant::now() + Duration::from_secs(20), self.calls());
        while Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = self.calls();
            if now == before {
                return;
            }
            before = now;
        }
    }

    /// A figure of `/proc/<pid>/status`, such as `VmRSS`, in MiB.
    pub(crate) fn mebibytes(&self, field: &str) -> Result<f64> {
        let id = self.process.id().ok_or("it is gone")?;
        let text = std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib: f64 = line.and_then(|line| line.split_whitespace().next()).ok_or("no such figure")?.parse()?;
        Ok(kib / 1024.0)
    }

    /// The same as a figure to be printed. Memory may not grow with history.
    pub(crate) fn memory(&self, field: &str, what: &str) -> Result<Figure> {
        let value = self.mebibytes(field)?;
        Ok(Figure::new(what, format!("{value:.0} MiB"), Holds::Same { value, slack: 24.0 }))
    }

    /// Stops it as a service manager does.
    pub(crate) async fn stop(self) -> Result<()> {
        let (code, _) = self.process.stop().await;
        let log = std::fs::read_to_string(self.directory.join("log"))?;
        if code != Some(0) || log.contains("panicked") {
            return Err(format!("signoff ended with {code:?}; see {}", self.directory.join("log").display()).into());
        }
        std::fs::remove_dir_all(&self.directory)?;
        Ok(())
    }
}

/// The command that starts the gate in a directory.
fn local(directory: &Path, pulumi: &str) -> tokio::process::Command {
    let variables = [
        ("SIGNOFF_DEPLOYER_TOKEN".to_owned(), "pul-signoff-deployer".to_owned()),
        ("SIGNOFF_WEBHOOK_SECRET".to_owned(), SECRET.to_owned()),
        ("SIGNOFF_LOG".to_owned(), "warn,dynoxide=error".to_owned()),
    ];
    let mut command = command(directory, &variables);
    command.args(["local", "--listen", "127.0.0.1:0", "--data-dir", "data", "--config", "signoff.toml"]);
    command.args(["--pulumi-url", pulumi]);
    command
}

/// The name of a stack by its number.
pub(crate) fn stack(n: usize) -> String {
    format!("acme/svc-{n:03}/prod")
}

/// The token of a reader by their number.
pub(crate) fn token(n: usize) -> String {
    format!("pul-reader-{}", n % 20)
}
