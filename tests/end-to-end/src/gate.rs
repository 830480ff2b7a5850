//! The gate under test, and how one speaks to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pulumi_sim::{HookScope, Sim};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::http::{self, Reply};
use crate::process::{self, Ended, Process};
use crate::referee::Referee;
use crate::setup::{WEBHOOK_SECRET, token};
use crate::wait::until;

/// The login of the principal.
pub const PRINCIPAL: &str = "signoff-deployer";
/// How long anything that is expected may take.
pub const LIMIT: Duration = Duration::from_secs(30);
/// Who may read everything.
const READER: &str = "dave";

/// A running gate with its cloud. [`Gate::finish`] has to be called at the end.
#[derive(Debug)]
pub struct Gate {
    /// The simulated cloud.
    pub sim: Sim,
    /// Where everything of this test lies.
    pub directory: PathBuf,
    /// The gates, as the next start reads them.
    pub config: String,
    /// The environment of the gate's process, as the next start gives it.
    pub environment: Vec<(String, String)>,
    /// What stands in Pulumi Cloud's place, from the next start on; none: the referee, or the simulated cloud itself.
    pub pulumi: Option<String>,
    pub(crate) groups: Option<Vec<String>>,
    pub(crate) reconcile_every: String,
    pub(crate) secrets: Vec<String>,
    pub(crate) client: Client,
    pub(crate) process: Option<Process>,
    pub(crate) referee: Option<Referee>,
    pub(crate) left_open: Vec<String>,
    pub(crate) is_finished: bool,
}

impl Gate {
    /// The gate's base URL.
    pub fn url(&self) -> &str {
        &self.process.as_ref().expect("the gate runs").url
    }

    /// The gate's process id.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref()?.id()
    }

    /// Pulumi Cloud as the gate and the command line see it.
    pub fn pulumi_url(&self) -> String {
        if let Some(url) = &self.pulumi {
            return url.clone();
        }
        self.referee.as_ref().map_or_else(|| self.sim.url(), |referee| referee.url().to_owned())
    }

    /// What the gate logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Kills the gate, as `kill -9` does.
    pub async fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Stops the gate with SIGTERM; its exit code.
    pub async fn stop(&mut self) -> Option<i32> {
        self.process.take().expect("the gate runs").stop().await.0
    }

    /// Starts the gate on its directory, killing the one that runs, and points the webhook to where it listens.
    pub async fn restart(&mut self) {
        self.kill().await;
        if let Err(code) = self.try_start().await {
            panic!("the gate ended with {code:?} instead of starting:\n{}", self.tail());
        }
    }

    /// Starts the gate; if it ends instead of getting ready, its exit code.
    pub async fn try_start(&mut self) -> Result<(), Option<i32>> {
        let command = self.local(&self.data_dir());
        let process = Process::start(command, &self.log_file()).await?;
        if let Some(groups) = &self.groups {
            let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
            let (scope, url) = (HookScope::Organization("acme".to_owned()), format!("{}/webhooks/pulumi", process.url));
            self.sim.cloud().webhook(scope, "signoff", &url, WEBHOOK_SECRET, &groups);
        }
        self.process = Some(process);
        Ok(())
    }

    /// The command that starts a gate like this one on a data directory.
    pub fn local(&self, data_dir: &Path) -> tokio::process::Command {
        let config = self.directory.join("signoff.toml");
        std::fs::write(&config, &self.config).expect("the configuration can be written");
        let mut command = process::command(&self.directory, &self.environment);
        command.args(["local", "--listen", "127.0.0.1:0", "--pulumi-url", &self.pulumi_url()]);
        command.args(["--reconcile-every", &self.reconcile_every]);
        command.arg("--data-dir").arg(data_dir).arg("--config").arg(config);
        command
    }

    /// Runs the command line as somebody.
    pub async fn cli(&self, login: &str, arguments: &[&str]) -> Ended {
        process::run(self.cli_command(login, arguments), LIMIT).await
    }

    /// The command line as somebody, to be run.
    pub fn cli_command(&self, login: &str, arguments: &[&str]) -> tokio::process::Command {
        let variables = [
            ("SIGNOFF_URL".to_owned(), self.url().to_owned()),
            ("SIGNOFF_PULUMI_URL".to_owned(), self.pulumi_url()),
            ("PULUMI_ACCESS_TOKEN".to_owned(), token(login)),
        ];
        let mut command = process::command(&self.directory, &variables);
        command.args(arguments);
        command
    }

    /// Calls the API as somebody; the error if no answer came.
    pub async fn try_call(
        &self,
        login: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Reply, reqwest::Error> {
        let authorization = format!("token {}", token(login));
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.url()) };
        let reply = http::send(&self.client, method, &url, &headers, body.map(|body| body.to_string())).await?;
        self.look_for_secrets(&reply.text, &format!("the answer to {path}"));
        Ok(reply)
    }

    /// Calls the API as somebody.
    pub async fn call(&self, login: &str, method: Method, path: &str, body: Option<Value>) -> Reply {
        self.try_call(login, method, path, body).await.unwrap_or_else(|error| panic!("no answer to {path}: {error}"))
    }

    /// Asks for a deployment and gives the request's id.
    pub async fn ask(&self, login: &str, stack: &str, operation: &str) -> String {
        self.ask_with(login, json!({"stack": stack, "operation": operation, "reason": "Ship 2.4"})).await
    }

    /// Asks with this body and gives the request's id.
    pub async fn ask_with(&self, login: &str, body: Value) -> String {
        let reply = self.call(login, Method::POST, "/v1/requests", Some(body)).await;
        assert_eq!(reply.status, 202, "{login} may not ask: {}", reply.text);
        reply.body["id"].as_str().expect("a request has an id").to_owned()
    }

    /// Takes a request back.
    pub async fn cancel(&self, login: &str, id: &str) -> Reply {
        self.call(login, Method::POST, &format!("/v1/requests/{id}/cancel"), Some(json!({"reason": "not needed"})))
            .await
    }

    /// A request as it is now.
    pub async fn request(&self, id: &str) -> Value {
        let reply = self.call(READER, Method::GET, &format!("/v1/requests/{id}"), None).await;
        assert_eq!(reply.status, 200, "{id} can't be read: {}", reply.text);
        reply.body
    }

    /// All requests, newest first.
    pub async fn requests(&self) -> Vec<Value> {
        let mut all = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let more = cursor.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let path = format!("/v1/requests?limit=100{more}");
            let reply = self.call(READER, Method::GET, &path, None).await;
            assert_eq!(reply.status, 200, "requests can't be listed: {}", reply.text);
            all.extend(reply.body["requests"].as_array().cloned().unwrap_or_default());
            cursor = reply.body["cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return all;
            }
        }
    }

    /// The audit trail of a request.
    pub async fn events(&self, id: &str) -> Vec<Value> {
        let reply = self.call(READER, Method::GET, &format!("/v1/requests/{id}/events"), None).await;
        assert_eq!(reply.status, 200, "the trail of {id} can't be read: {}", reply.text);
        reply.body["events"].as_array().cloned().unwrap_or_default()
    }

    /// The types of the events of a request, without their common prefix.
    pub async fn event_words(&self, id: &str) -> Vec<String> {
        let word = |event: &Value| {
            event["type"].as_str().unwrap_or_default().trim_start_matches("signoff.request.").to_owned()
        };
        self.events(id).await.iter().map(word).collect()
    }

    /// Waits until a request is as wanted, and gives it.
    pub async fn expect(&self, id: &str, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let seen = until(LIMIT, async || {
            // While Pulumi Cloud is away nobody can be asked who is calling: that passes.
            let reply = self.call(READER, Method::GET, &format!("/v1/requests/{id}"), None).await;
            assert!(matches!(reply.status, 200 | 503), "{id} can't be read: {}", reply.text);
            last = reply.body;
            (reply.status == 200 && wanted(&last)).then(|| last.clone())
        })
        .await;
        seen.unwrap_or_else(|| panic!("{id} is not {what} after {LIMIT:?}, but:\n{last:#}\n{}", self.tail()))
    }

    /// Waits until a request is in a state, and gives it.
    pub async fn expect_state(&self, id: &str, state: &str) -> Value {
        const OVER: [&str; 6] = ["succeeded", "failed", "rejected", "expired", "cancelled", "error"];
        let seen = self
            .expect(id, state, |request| {
                let now = request["state"].as_str().unwrap_or_default();
                now == state || OVER.contains(&now)
            })
            .await;
        assert_eq!(seen["state"], state, "{id} is over in another way:\n{seen:#}\n{}", self.tail());
        seen
    }

    /// Waits until a request ends in a state with an outcome of this code; gives the outcome's message.
    pub async fn expect_end(&self, id: &str, state: &str, code: &str) -> String {
        let request = self.expect_state(id, state).await;
        assert_eq!(request["outcome"]["code"], code, "{request:#}");
        request["outcome"]["message"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a request shows a blocker of this kind; gives its detail.
    pub async fn expect_blocker(&self, id: &str, kind: &str) -> String {
        self.expect_blocker_saying(id, kind, "").await
    }

    /// Waits until a request shows a blocker of this kind whose detail has these words; gives the detail.
    pub async fn expect_blocker_saying(&self, id: &str, kind: &str, words: &str) -> String {
        let find = |request: &Value| -> Option<String> {
            let all = request["blockers"].as_array()?.iter().filter(|one| one["kind"] == kind);
            all.filter_map(|one| one["detail"].as_str()).find(|detail| detail.contains(words)).map(str::to_owned)
        };
        let what = format!("blocked by {kind}: {words}");
        let request = self.expect(id, &what, |request| find(request).is_some()).await;
        find(&request).unwrap_or_default()
    }

    /// Fails if one of the secrets is in a text.
    pub(crate) fn look_for_secrets(&self, text: &str, place: &str) {
        for secret in &self.secrets {
            assert!(!text.contains(secret.as_str()), "a secret is in {place}");
        }
    }

    /// The last lines of the log.
    pub fn tail(&self) -> String {
        let log = self.log();
        // What the harness itself asked for would hide the rest.
        let lines: Vec<&str> = log.lines().filter(|line| !line.contains(" answered ")).collect();
        format!("--- the end of {}\n{}", self.log_file().display(), lines[lines.len().saturating_sub(40)..].join("\n"))
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.directory.join("signoff.log")
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        assert!(self.is_finished || std::thread::panicking(), "a test that does not call `finish` has shown nothing");
    }
}
