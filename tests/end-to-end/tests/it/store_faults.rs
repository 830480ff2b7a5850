//! What the machine does to the store: the disk is full, failing or read-only, the file is cut or overwritten, the clock is set back. What went wrong is said
//! with the file's name and what to do, and nothing that was acknowledged is lost.

mod machine;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use pulumi_sim::signature;
use reqwest::Method;
use serde_json::{Value, json};
use signoff_tests::{Ended, Gate, LIMIT, Setup, WEBHOOK_SECRET, client, run, send, until};

use machine::{FAILING, FINE, FULL, Machine};

const STACK: &str = "acme/web/prod";

/// Says that something can't be tried on this machine; with `SIGNOFF_NO_SKIPS=1` that is a failure.
#[expect(clippy::print_stderr, reason = "who runs the tests has to know that one could not")]
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says whether all have to be tried")]
fn skip(why: &str) {
    assert!(std::env::var("SIGNOFF_NO_SKIPS").as_deref() != Ok("1"), "it can't be tried here: {why}");
    eprintln!("skipped: {why}");
}

fn data(gate: &Gate) -> PathBuf {
    gate.directory.join("data")
}

fn file(gate: &Gate) -> String {
    data(gate).join("store.db").display().to_string()
}

async fn asks(gate: &Gate) -> signoff_tests::Reply {
    let body = json!({"stack": "acme/api/prod", "operation": "update", "reason": "Ship 2.5"});
    gate.call("alice", Method::POST, "/v1/requests", Some(body)).await
}

/// Delivers a webhook, properly signed; the status of the answer.
async fn rings(gate: &Gate, id: &str) -> u16 {
    let body = json!({"organization": {"githubLogin": "acme"}}).to_string();
    let signed = signature(WEBHOOK_SECRET, body.as_bytes());
    let headers = [
        ("pulumi-webhook-id", id),
        ("pulumi-webhook-kind", "change_request"),
        ("pulumi-webhook-signature", signed.as_str()),
    ];
    let url = format!("{}/webhooks/pulumi", gate.url());
    send(&client(), Method::POST, &url, &headers, Some(body)).await.expect("the door answers").status
}

/// Waits until the log says this of the store's file.
async fn expect_said(gate: &Gate, words: &str) {
    let file = file(gate);
    let seen = until(LIMIT, async || {
        gate.log().lines().any(|line| line.contains(&file) && line.contains(words)).then_some(())
    });
    seen.await.unwrap_or_else(|| panic!("the log does not say {words:?} of {file}\n{}", gate.tail()));
}

/// Writing fails for a while: what is asked meanwhile is refused with 503, what was acknowledged before is there, and it goes on by itself.
async fn writing_fails(disk: i32, words: &str) {
    let Some((mut gate, machine)) = Machine::start(Setup::new()).await else { return };
    let waiting = gate.ask("alice", STACK, "update").await;
    gate.submitted(&waiting).await;
    gate.expect_state(&waiting, "pending_approval").await;

    machine.set(0, disk);
    let refused = asks(&gate).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert_eq!(rings(&gate, "while-nothing-can-be-written").await, 503);
    assert_eq!(gate.cancel("alice", &waiting).await.status, 503);
    // Reading goes on.
    assert_eq!(gate.request(&waiting).await["state"], "pending_approval");
    gate.approve("bob", &waiting).await;
    expect_said(&gate, words).await;
    gate.expect_no_deployment(&waiting);

    // One that starts now says it and ends.
    assert_eq!(gate.stop().await, Some(0));
    let ended = run(gate.local(&data(&gate)), LIMIT).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains(&file(&gate)) && ended.err.contains(words), "{}", ended.err);
    machine.set(0, FINE);
    gate.restart().await;
    machine.set(0, disk);
    assert_eq!(asks(&gate).await.status, 503);
    machine.set(0, FINE);

    // The same process goes on as soon as there is space again.
    gate.expect_state(&waiting, "succeeded").await;
    assert_eq!(rings(&gate, "while-nothing-can-be-written").await, 202);
    let next = asks(&gate).await;
    assert_eq!(next.status, 202, "{}", next.text);
    let id = next.body["id"].as_str().expect("a request has an id").to_owned();
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    let known = gate.finish().await.requests.len();
    assert_eq!(known, 2, "what was refused was recorded all the same");
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_is_said() {
    writing_fails(FULL, "Free some space").await;
}

#[tokio::test]
async fn a_failing_disk_loses_nothing_and_is_said() {
    writing_fails(FAILING, "See whether its disk is full, failing or gone").await;
}

/// A copy of the data directory, as a backup made at this moment.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("it can be read") {
        let entry = entry.expect("it can be read");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("it can be copied");
    }
}

/// Damages a copy of the gate's data directory; a gate that starts on it has to refuse, with the name of the file, and to leave the store as it is.
async fn refuses(gate: &Gate, name: &str, damage: impl FnOnce(&Path)) -> Ended {
    let damaged = gate.directory.join("damaged");
    copy(&data(gate), &damaged);
    let path = damaged.join(name);
    damage(&path);
    let (before, store) = (fs::read(&path).ok(), fs::read(damaged.join("store.db")).ok());
    let ended = run(gate.local(&damaged), LIMIT).await;
    assert_eq!(ended.code, Some(1), "{}{}", ended.out, ended.err);
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
    let shown = damaged.join("store.db").display().to_string();
    assert!(ended.err.contains(&shown) && ended.err.contains("backup"), "{}", ended.err);
    assert!(fs::read(&path).ok() == before && fs::read(damaged.join("store.db")).ok() == store, "{name} was changed");
    ended
}

fn overwrite(path: &Path, from: usize, length: usize) {
    let mut bytes = fs::read(path).expect("it can be read");
    let end = (from + length).min(bytes.len());
    assert!(from < end, "{} is too short to be damaged there", path.display());
    bytes[from..end].fill(0xa5);
    fs::write(path, bytes).expect("it can be written");
}

fn cut(path: &Path, share: f64) {
    let bytes = fs::read(path).expect("it can be read");
    fs::write(path, &bytes[..(bytes.len() as f64 * share) as usize]).expect("it can be written");
}

#[tokio::test]
async fn a_store_that_is_cut_or_overwritten_is_refused_and_left_as_it_is() {
    let mut gate = Setup::new().start().await;
    let id = gate.ask("alice", STACK, "update").await;
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    // Killed, it leaves what it wrote last in the log beside the store.
    gate.kill().await;
    let log = data(&gate).join("store.db-wal");
    assert!(fs::metadata(&log).is_ok_and(|log| log.len() > 100_000), "there is too little in the log to be damaged");
    refuses(&gate, "store.db-wal", |path| overwrite(path, 0, 100)).await;
    refuses(&gate, "store.db-wal", |path| overwrite(path, 20_000, 9_000)).await;
    refuses(&gate, "store.db-wal", |path| overwrite(path, 40_000, 1)).await;

    // Stopped, it leaves one file; but where it takes too long to close it leaves the log too, as it may.
    for _ in 0..5 {
        gate.restart().await;
        assert_eq!(gate.stop().await, Some(0));
        if fs::metadata(&log).map_or(0, |log| log.len()) == 0 {
            break;
        }
    }
    assert!(fs::metadata(&log).map_or(0, |log| log.len()) == 0, "the log is still there");
    refuses(&gate, "store.db", |path| overwrite(path, 0, 100)).await;
    refuses(&gate, "store.db", |path| overwrite(path, 4_096, 30_000)).await;
    refuses(&gate, "store.db", |path| overwrite(path, 0, usize::MAX / 2)).await;
    refuses(&gate, "store.db", |path| cut(path, 0.5)).await;
    let empty = refuses(&gate, "store.db", |path| cut(path, 0.0)).await;
    assert!(empty.err.contains("gone or empty"), "{}", empty.err);
    let gone = refuses(&gate, "store.db", |path| fs::remove_file(path).expect("it can be removed")).await;
    assert!(gone.err.contains("gone or empty"), "{}", gone.err);

    gate.restart().await;
    assert_eq!(gate.request(&id).await["state"], "succeeded");
    gate.finish().await;
}

/// Where the end of the log is cut off, the store is as it was at an earlier moment, like one that was restored from a backup: what was done meanwhile
/// is found again by its mark.
#[tokio::test]
async fn a_log_that_lost_its_end_leads_to_no_second_deployment() {
    let mut gate = Setup::new().start().await;
    let id = gate.ask("alice", STACK, "update").await;
    gate.expect_state(&id, "pending_approval").await;
    let log = data(&gate).join("store.db-wal");
    let then = fs::metadata(&log).expect("there is a log").len();
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.kill().await;
    let bytes = fs::read(&log).expect("there is a log");
    assert!(bytes.len() as u64 > then, "nothing was written to the log since");
    let then = usize::try_from(then).expect("it fits into memory");
    fs::write(&log, &bytes[..then]).expect("it can be cut");
    gate.restart().await;
    gate.expect_state(&id, "succeeded").await;
    assert_eq!(gate.deployments(&id).len(), 1);
    gate.finish().await;
}

/// A command as somebody whom permissions bind: root is, too, without the right to pass over them.
fn bound(command: &std::process::Command, is_root: bool) -> Command {
    let program = command.get_program().to_owned();
    let mut bound = Command::new(if is_root { "setpriv".into() } else { program.clone() });
    if is_root {
        bound.args(["--bounding-set=-dac_override", "--inh-caps=-dac_override"]).arg(program);
    }
    bound.args(command.get_args()).env_clear();
    bound.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(directory) = command.get_current_dir() {
        bound.current_dir(directory);
    }
    bound
}

/// The data directory where nothing can be written: mounted so, or by its permissions where that is not allowed.
struct ReadOnly {
    directory: PathBuf,
    is_mounted: bool,
}

impl ReadOnly {
    fn make(directory: &Path) -> Self {
        let mount = |arguments: &[&str]| {
            let made =
                Command::new("mount").args(arguments).arg(directory).stderr(std::process::Stdio::null()).status();
            made.is_ok_and(|status| status.success())
        };
        let path = directory.display().to_string();
        let is_mounted = mount(&["--bind", &path]);
        let this = Self { directory: directory.to_owned(), is_mounted };
        if is_mounted {
            assert!(mount(&["-o", "remount,bind,ro"]), "{path} can't be mounted for reading only");
        } else {
            this.permit(0o555, 0o444);
        }
        this
    }

    fn permit(&self, directory: u32, files: u32) {
        let change = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            // What can't be changed shows when it is written to.
            let _ = change(&entry.path(), files);
        }
        let _ = change(&self.directory, directory);
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = Command::new("umount").arg(&self.directory).status();
        } else {
            self.permit(0o755, 0o644);
        }
    }
}

#[tokio::test]
async fn a_data_directory_that_is_read_only_is_said_and_loses_nothing() {
    let mut gate = Setup::new().start().await;
    let id = gate.ask("alice", STACK, "update").await;
    gate.expect_state(&id, "pending_approval").await;
    assert_eq!(gate.stop().await, Some(0));
    let data = data(&gate);
    let store = data.join("store.db");
    let is_root = fs::metadata(&store).expect("there is a store").uid() == 0;
    let starts = async || run(bound(gate.local(&data).as_std(), is_root).into(), LIMIT).await;
    let may_write = || {
        let mut test = Command::new("test");
        bound(test.arg("-w").arg(&store), is_root).status().map_or(true, |status| status.success())
    };

    let closed = ReadOnly::make(&data);
    if may_write() {
        skip("nothing can be mounted here, and permissions do not bind whoever runs this");
    } else {
        let ended = starts().await;
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        let said = format!("can't write to the data directory {}", data.display());
        assert!(ended.err.contains(&said), "{}", ended.err);
    }
    drop(closed);
    // A store that may only be read, in a directory that may be written to.
    fs::set_permissions(&store, fs::Permissions::from_mode(0o444)).expect("its owner may");
    if may_write() {
        skip("permissions do not bind whoever runs this");
    } else {
        let ended = starts().await;
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        assert!(
            ended.err.contains(&store.display().to_string()) && ended.err.contains("Let signoff write"),
            "{}",
            ended.err
        );
    }
    fs::set_permissions(&store, fs::Permissions::from_mode(0o644)).expect("its owner may");
    gate.restart().await;
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

/// The events of a request keep their order whatever the clock says.
fn numbers(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["sequence"].as_str()).collect()
}

#[tokio::test]
async fn a_clock_that_is_set_back_an_hour_stops_nothing() {
    let Some((mut gate, machine)) = Machine::start(Setup::new()).await else { return };
    let before = gate.ask("alice", STACK, "update").await;
    gate.expect_state(&before, "pending_approval").await;
    machine.set(-3600, FINE);
    let after = asks(&gate).await;
    assert_eq!(after.status, 202, "{}", after.text);
    let after = after.body["id"].as_str().expect("a request has an id").to_owned();
    gate.approve("bob", &before).await;
    gate.approve("bob", &after).await;
    gate.expect_state(&before, "succeeded").await;
    gate.expect_state(&after, "succeeded").await;
    // Set back while it does not run, too.
    machine.set(0, FINE);
    let again = gate.ask("alice", STACK, "update").await;
    gate.expect_state(&again, "pending_approval").await;
    assert_eq!(gate.stop().await, Some(0));
    machine.set(-3600, FINE);
    gate.restart().await;
    gate.approve("bob", &again).await;
    gate.expect_state(&again, "succeeded").await;
    let events = gate.events(&again).await;
    assert!(numbers(&events).is_sorted(), "{events:#?}");
    machine.set(0, FINE);
    gate.finish().await;
}
