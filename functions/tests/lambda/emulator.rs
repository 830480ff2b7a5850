//! The emulator of `cargo lambda`, and functions that run under it.
//!
//! It serves Lambda's two sides, the runtime API that functions ask for work and the address that they are invoked at. It does not start the functions
//! (`--only-lambda-apis`): it would do so with `cargo run`, which would build them once more with other features. They are started here, with nothing in
//! their environment but what Lambda gives them and what the Pulumi program sets.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::{iam, runtime};

/// All functions.
pub(crate) const FUNCTIONS: [&str; 6] = ["api", "receive", "apply", "deploy", "reconcile", "notify"];
/// How long anything that is waited for may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// How long to leave a condition alone between two looks at it.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// A running emulator with its functions; all of it ends with this.
pub(crate) struct Emulator {
    pub(crate) url: String,
    folder: PathBuf,
    client: reqwest::Client,
    functions: Vec<(String, Child)>,
    /// Where each function asks for work.
    runtimes: BTreeMap<String, String>,
    _emulator: Child,
}

/// A folder of a test's own.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lambda-{}-{name}", std::process::id()));
    // What a process of the same id left behind long ago.
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A port that is free now.
pub(crate) async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// Waits until something listens there.
pub(crate) async fn listens(port: u16, child: &mut Child, log: &Path) {
    let looking = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("it ended ({status}):\n{}", std::fs::read_to_string(log).unwrap_or_default());
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    };
    tokio::time::timeout(LIMIT, looking).await.unwrap();
}

/// Looks until there is something to give, and gives it.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    };
    tokio::time::timeout(LIMIT, looking).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

impl Emulator {
    /// Starts one, from the programs in `tools`, which logs into `folder`.
    pub(crate) async fn start(tools: &Path, folder: &Path) -> Self {
        // It wants to see a package with these programs before it does anything; this one has no dependencies to be found out about.
        let stub = folder.join("stub");
        std::fs::create_dir_all(stub.join("src/bin")).unwrap();
        for name in FUNCTIONS {
            std::fs::write(stub.join(format!("src/bin/{name}.rs")), "fn main() {}").unwrap();
        }
        std::fs::write(stub.join("Cargo.toml"), "[package]\nname = \"stub\"\nedition = \"2024\"\n[workspace]\n")
            .unwrap();
        let (port, log) = (free_port().await, folder.join("emulator.log"));
        let mut emulator = Command::new(tools.join("cargo-lambda"))
            .args(["lambda", "watch", "--only-lambda-apis", "--disable-cors"])
            .args(["--invoke-address", "127.0.0.1", "--invoke-port", &port.to_string()])
            .current_dir(stub)
            .stdin(Stdio::null())
            .stdout(File::create(&log).unwrap())
            .stderr(File::options().append(true).open(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        listens(port, &mut emulator, &log).await;
        let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).build().unwrap();
        let url = format!("http://127.0.0.1:{port}");
        Self {
            url,
            folder: folder.to_owned(),
            client,
            functions: Vec::new(),
            runtimes: BTreeMap::new(),
            _emulator: emulator,
        }
    }

    /// Starts a function with these variables, whose invocations may take this long.
    pub(crate) fn run(&mut self, name: &str, variables: &[(&str, String)], time: Duration) {
        let log = File::create(self.folder.join(format!("{name}.log"))).unwrap();
        let mut command = Command::new(program(name));
        let runtime = format!(
            "{}/.rt/{name}",
            self.runtimes.entry(name.to_owned()).or_insert_with(|| runtime::before(&self.url, time))
        );
        command.env_clear().envs(as_on_lambda(name)).env("AWS_LAMBDA_RUNTIME_API", runtime);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.functions.push((name.to_owned(), command.kill_on_drop(true).spawn().unwrap()));
    }

    /// Ends a function, as Lambda does with one that it has no use for.
    pub(crate) async fn end(&mut self, name: &str) {
        for (_, child) in self.functions.extract_if(.., |(known, _)| known == name) {
            let mut child = child;
            child.kill().await.unwrap();
        }
    }

    /// Invokes a function with an event; the status, and what it gave back.
    pub(crate) async fn invoke(&self, name: &str, event: &Value) -> (u16, Value) {
        let url = format!("{}/2015-03-31/functions/{name}/invocations", self.url);
        let answer = self.client.post(url).body(event.to_string()).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{name} did not answer: {error}\n{}", self.log(name)));
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
    }

    /// What a function logged.
    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(format!("{name}.log"))).unwrap_or_default()
    }
}

/// The program of a function.
pub(crate) fn program(name: &str) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "who runs the tests says which programs they are of")]
    if let Some(packaged) = std::env::var_os("SIGNOFF_LAMBDA_PROGRAMS") {
        return Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(packaged).join(name).join("bootstrap");
    }
    PathBuf::from(match name {
        "api" => env!("CARGO_BIN_EXE_api"),
        "receive" => env!("CARGO_BIN_EXE_receive"),
        "apply" => env!("CARGO_BIN_EXE_apply"),
        "deploy" => env!("CARGO_BIN_EXE_deploy"),
        "reconcile" => env!("CARGO_BIN_EXE_reconcile"),
        "notify" => env!("CARGO_BIN_EXE_notify"),
        _ => panic!("there is no function {name}"),
    })
}

/// What Lambda itself puts into a function's environment.
fn as_on_lambda(name: &str) -> Vec<(&'static str, String)> {
    let fixed = [
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_SESSION_TOKEN", "local-session"),
        ("_HANDLER", "bootstrap"),
        ("LAMBDA_TASK_ROOT", "/var/task"),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("LANG", "en_US.UTF-8"),
        ("TZ", ":UTC"),
    ];
    let mut variables = fixed.map(|(name, value)| (name, value.to_owned())).to_vec();
    variables.push(("AWS_ACCESS_KEY_ID", iam::access_key(name)));
    variables.push(("AWS_LAMBDA_FUNCTION_NAME", format!("signoff-{name}")));
    variables.push(("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/signoff-{name}")));
    variables
}
