//! The process: what keeps it from starting, and how it stops.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use signoff_tests::{Ended, GATES, Gate, LIMIT, Process, Setup, command, run, until};

/// Starts another gate beside the one that runs, on a data directory of its own, which is expected to refuse; `change` changes its command.
async fn refused(gate: &Gate, change: impl FnOnce(&mut tokio::process::Command)) -> Ended {
    let mut command = gate.local(&gate.directory.join("other"));
    change(&mut command);
    let ended = run(command, LIMIT).await;
    assert!(!ended.out.contains("ready"), "it started: {}", ended.out);
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
    ended
}

#[tokio::test]
async fn a_bad_configuration_is_refused_with_line_key_and_reason() {
    let mut gate = Setup::new().start().await;
    for (config, line, words) in [
        (
            "[[gate]]\nstacks = [\"acme/*/prod\"]\nenvironment = \"acme/credentials/prod\"\ncolour = \"red\"\n",
            "line 4",
            "colour",
        ),
        (
            "[[gate]]\nstacks = [\"acme/*/prod\"]\nenvironment = \"acme/credentials/prod\"\npending-timeout = \"1.5h\"\n",
            "line 4",
            "pending-timeout",
        ),
        (
            "[[gate]]\nstacks = [\"acme/prod\"]\nenvironment = \"acme/credentials/prod\"\n",
            "line 2",
            "organization/project/stack",
        ),
        ("[[gate]]\nstacks = [\"acme/*/prod\"]\nenvironment = \"other/credentials/prod\"\n", "line 3", "environment"),
        ("[[gate]\n", "line 1", ""),
    ] {
        gate.config = config.to_owned();
        let ended = refused(&gate, |_| {}).await;
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        assert!(
            ended.err.contains("signoff.toml") && ended.err.contains(line) && ended.err.contains(words),
            "{}",
            ended.err
        );
    }
    gate.config = GATES.to_owned();
    let missing = refused(&gate, |command| _ = command.args(["--config", "/nowhere/signoff.toml"])).await;
    // The file that was named twice is a mistake of usage for some, a missing one for others; it starts for neither.
    assert!(matches!(missing.code, Some(1 | 2)), "{}", missing.err);
    gate.finish().await;
}

#[tokio::test]
async fn without_a_configuration_it_says_what_one_looks_like() {
    let directory = std::env::temp_dir().join(format!("signoff-unconfigured-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory can be made");
    let start = async || {
        let secrets = ["SIGNOFF_DEPLOYER_TOKEN", "SIGNOFF_WEBHOOK_SECRET"];
        let secrets = secrets.map(|name| (name.to_owned(), "a-long-enough-secret".to_owned()));
        let mut local = command(&directory, &secrets);
        local.args(["local", "--listen", "127.0.0.1:0", "--pulumi-url", "http://127.0.0.1:1"]);
        Process::start(local, &directory.join("signoff.log")).await
    };
    assert_eq!(start().await.err(), Some(Some(1)));
    let said = fs::read_to_string(directory.join("signoff.log")).expect("there is a log");
    assert!(said.contains("there is no configuration signoff.toml") && said.contains("docs/first-use.md"), "{said}");
    // What it shows is enough to start with.
    let shown = said.split("\n\n").find(|part| part.starts_with("[[gate]]")).expect("it shows a gate");
    fs::write(directory.join("signoff.toml"), shown).expect("a file can be written");
    assert_eq!(start().await.expect("it starts").stop().await.0, Some(0));
    // What can't be removed is left to the system.
    let _ = fs::remove_dir_all(&directory);
}

#[tokio::test]
async fn a_missing_token_or_webhook_secret_is_said_and_an_empty_one_is_missing() {
    let mut gate = Setup::new().start().await;
    for name in ["SIGNOFF_DEPLOYER_TOKEN", "SIGNOFF_WEBHOOK_SECRET"] {
        let ended = refused(&gate, |command| _ = command.env_remove(name)).await;
        assert_eq!(ended.code, Some(1));
        assert!(ended.err.contains(&format!("{name} is not set")), "{}", ended.err);
        let ended = refused(&gate, |command| _ = command.env(name, "")).await;
        assert_eq!(ended.code, Some(1));
        assert!(ended.err.contains(&format!("{name} is not set")), "{}", ended.err);
    }
    gate.config = format!("{GATES}principal = \"other-team\"\n");
    let ended = refused(&gate, |_| {}).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("SIGNOFF_DEPLOYER_TOKEN_OTHER_TEAM is not set"), "{}", ended.err);
    gate.config = GATES.to_owned();
    gate.finish().await;
}

#[tokio::test]
async fn a_port_or_a_data_directory_that_is_taken_or_of_no_use_is_refused() {
    let gate = Setup::new().start().await;
    let address = gate.url().trim_start_matches("http://").to_owned();
    let mut taken = command(&gate.directory, &gate.environment);
    let other = gate.directory.join("other");
    taken.args(["local", "--listen", &address, "--pulumi-url", &gate.sim.url(), "--config", "signoff.toml"]);
    let ended = run(
        {
            taken.arg("--data-dir").arg(&other);
            taken
        },
        LIMIT,
    )
    .await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains(&format!("can't listen on {address}")), "{}", ended.err);

    let ended = run(gate.local(&gate.directory.join("data")), LIMIT).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("is in use by another process"), "{}", ended.err);

    // Where a file stands no directory can be made; that holds for whoever runs the test, root too.
    let file = gate.directory.join("file");
    fs::write(&file, "").expect("a file can be made");
    for path in [file.clone(), file.join("below")] {
        let ended = run(gate.local(&path), LIMIT).await;
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        assert!(ended.err.contains("the data directory"), "{}", ended.err);
    }
    let closed = gate.directory.join("closed");
    fs::create_dir(&closed).expect("a directory can be made");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).expect("it can be closed");
    // Root may write there all the same.
    if fs::write(closed.join("probe"), "").is_err() {
        let ended = run(gate.local(&closed), LIMIT).await;
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        assert!(ended.err.contains("can't write to the data directory"), "{}", ended.err);
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).expect("it can be opened");

    let broken = gate.directory.join("broken");
    fs::create_dir(&broken).expect("a directory can be made");
    fs::write(broken.join("store.db"), "this is no database, but long enough to be looked at as one".repeat(99))
        .expect("a file can be made");
    let ended = run(gate.local(&broken), LIMIT).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("can't be opened"), "{}", ended.err);
    gate.finish().await;
}

/// Starts one with a simulated Pulumi Cloud in this directory, and stops it as soon as it is ready; else how it ended.
async fn simulated(directory: &Path, data_dir: &[&str]) -> Result<(), Option<i32>> {
    let mut local = command(directory, &[]);
    local.args(["local", "--simulate", "--listen", "127.0.0.1:0"]).args(data_dir);
    let process = Process::start(local, &directory.join("simulated.log")).await?;
    assert_eq!(process.stop().await.0, Some(0));
    Ok(())
}

#[tokio::test]
async fn a_data_directory_is_for_a_simulated_pulumi_cloud_or_for_the_real_one() {
    let gate = Setup::new().start().await;
    let directory = &gate.directory;
    let said = || fs::read_to_string(directory.join("simulated.log")).expect("there is a log");

    // Each has a directory of its own if none is named.
    simulated(directory, &[]).await.expect("it starts");
    simulated(directory, &[]).await.expect("it starts on what it left");
    assert!(directory.join(".signoff-simulated").is_dir() && !directory.join(".signoff").exists());

    let ended = run(gate.local(&directory.join(".signoff-simulated")), LIMIT).await;
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("was used with --simulate") && ended.err.contains("--data-dir"), "{}", ended.err);

    let real = Process::start(gate.local(&directory.join("real")), &directory.join("real.log")).await;
    assert_eq!(real.expect("it starts").stop().await.0, Some(0));
    assert_eq!(simulated(directory, &["--data-dir", "real"]).await, Err(Some(1)), "{}", said());
    assert!(said().contains("was used without --simulate") && said().contains("--data-dir"), "{}", said());
    gate.finish().await;
}

#[tokio::test]
async fn beyond_loopback_it_listens_only_behind_a_tls_proxy() {
    let gate = Setup::new().start().await;
    let elsewhere = |also: &[&str]| {
        let mut command = command(&gate.directory, &gate.environment);
        command.args(["local", "--listen", "0.0.0.0:0", "--data-dir", "other", "--pulumi-url", &gate.sim.url()]);
        command.args(also);
        command
    };
    let ended = run(elsewhere(&[]), LIMIT).await;
    assert!(matches!(ended.code, Some(1 | 2)), "{}", ended.err);
    assert!(ended.err.contains("--behind-tls-proxy"), "{}", ended.err);
    let process = Process::start(elsewhere(&["--behind-tls-proxy"]), &gate.directory.join("other.log")).await;
    let process = process.expect("it starts");
    assert!(process.url.starts_with("http://0.0.0.0:"), "{}", process.url);
    assert_eq!(process.stop().await.0, Some(0));
    gate.finish().await;
}

#[tokio::test]
async fn stopped_with_a_request_open_it_exits_with_0_and_goes_on_at_the_next_start() {
    let mut gate = Setup::new().start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("bob", &id).await;
    assert_eq!(gate.stop().await, Some(0));
    gate.restart().await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn simulate_says_how_to_use_it_and_what_it_says_works() {
    let directory = std::env::temp_dir().join(format!("signoff-simulate-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory can be made");
    let mut local = command(&directory, &[]);
    local.args(["local", "--simulate", "--listen", "127.0.0.1:0", "--reconcile-every", "200ms"]);
    let process =
        Process::start(local, &directory.join("signoff.log")).await.expect("it starts without any configuration");
    let greeting = &process.greeting;
    let pulumi = greeting.split_once("simulated Pulumi Cloud on ").and_then(|(_, rest)| rest.split_whitespace().next());
    let pulumi = pulumi.expect("it says where the simulated Pulumi Cloud is").to_owned();
    for what in ["SIGNOFF_URL=", "SIGNOFF_PULUMI_URL=", "pul-alice", "signoff request", "signoff approve"] {
        assert!(greeting.contains(what), "{what} is not in:\n{greeting}");
    }
    let cli = |login: &str, arguments: &[&str]| {
        let variables = [
            ("SIGNOFF_URL".to_owned(), process.url.clone()),
            ("SIGNOFF_PULUMI_URL".to_owned(), pulumi.clone()),
            ("PULUMI_ACCESS_TOKEN".to_owned(), format!("pul-{login}")),
        ];
        let mut command = command(&directory, &variables);
        command.args(arguments);
        command
    };
    let asked =
        run(cli("alice", &["request", "acme/web/prod", "update", "--reason", "Ship 2.4", "--json"]), LIMIT).await;
    let asked: serde_json::Value = serde_json::from_str(&asked.out).expect("it is JSON");
    let id = asked["id"].as_str().expect("a request has an id");
    until(LIMIT, async || {
        let approved = run(cli("bob", &["approve", id, "--yes"]), LIMIT).await;
        (approved.code == Some(0)).then_some(())
    })
    .await
    .expect("bob can approve");
    let watched = run(cli("alice", &["watch", id]), LIMIT).await;
    assert_eq!(watched.code, Some(0), "{}{}", watched.out, watched.err);
    assert_eq!(process.stop().await.0, Some(0));
    // What can't be removed is left to the system.
    let _ = fs::remove_dir_all(&directory);
}
