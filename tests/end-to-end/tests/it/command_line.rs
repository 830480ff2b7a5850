//! The command line as a process, against the whole.

use signoff_tests::{Ended, Gate, LIMIT, Setup, run};
use tokio::task::JoinHandle;

/// `signoff request --wait` in the background, and the id of its request.
async fn asking(gate: &Gate, also: &[&str]) -> (String, JoinHandle<Ended>) {
    let before = gate.requests().await.len();
    let mut command =
        gate.cli_command("alice", &["request", "acme/web/prod", "update", "--reason", "Ship 2.4", "--wait"]);
    command.args(also);
    let waiting = tokio::spawn(run(command, LIMIT * 2));
    let requests = signoff_tests::until(LIMIT, async || {
        let requests = gate.requests().await;
        (requests.len() > before).then_some(requests)
    });
    let requests = requests.await.expect("it asks");
    (requests[0]["id"].as_str().expect("a request has an id").to_owned(), waiting)
}

async fn code(waiting: JoinHandle<Ended>) -> (Option<i32>, String) {
    let ended = waiting.await.expect("it runs");
    (ended.code, ended.out + &ended.err)
}

#[tokio::test]
async fn waiting_for_a_request_that_is_approved_ends_with_0() {
    let gate = Setup::new().start().await;
    let (id, waiting) = asking(&gate, &[]).await;
    gate.submitted(&id).await;
    gate.expect_state(&id, "pending_approval").await;
    let ended = gate.cli("bob", &["approve", &id, "--yes", "--comment", "Looks good"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(
        ended.out.contains("\nIt has enough approvals.") || ended.out.contains("\nIt is succeeded"),
        "{}",
        ended.out
    );
    let (code, said) = code(waiting).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&id) && said.contains("succeeded"), "{said}");

    let events = gate.cli("alice", &["events", &id]).await;
    assert_eq!(events.code, Some(0));
    for word in ["requested", "approved", "bob", "granted", "succeeded"] {
        assert!(events.out.contains(word), "{word} is not in:\n{}", events.out);
    }
    let listed = gate.cli("alice", &["list", "--json"]).await;
    assert!(listed.code == Some(0) && listed.out.contains(&id), "{}", listed.out);
    let gates = gate.cli("alice", &["gates"]).await;
    assert!(gates.code == Some(0) && gates.out.contains("credentials/platform"), "{}", gates.out);
    gate.finish().await;
}

#[tokio::test]
async fn the_exit_code_says_how_the_request_ended() {
    let gate = Setup::new().start().await;
    let (rejected, waiting) = asking(&gate, &[]).await;
    gate.close("carol", &rejected, "no").await;
    assert_eq!(code(waiting).await.0, Some(3), "rejected");

    let (cancelled, waiting) = asking(&gate, &["--json"]).await;
    gate.expect_state(&cancelled, "pending_approval").await;
    let ended = gate.cli("bob", &["cancel", &cancelled, "--reason", "not needed"]).await;
    assert_eq!(ended.code, Some(1), "bob may not: {}{}", ended.out, ended.err);
    let ended = gate.cli("alice", &["cancel", &cancelled, "--reason", "not needed"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(code(waiting).await.0, Some(3), "cancelled");

    let (expired, waiting) = asking(&gate, &["--pending-timeout", "1s"]).await;
    assert_eq!(code(waiting).await.0, Some(3), "{expired} expired");

    gate.sim.cloud().plan_outcome("acme/web/prod", false);
    let (failed, waiting) = asking(&gate, &[]).await;
    gate.approve("bob", &failed).await;
    assert_eq!(code(waiting).await.0, Some(4), "the deployment failed");

    let (error, waiting) = asking(&gate, &[]).await;
    gate.approve("alice", &error).await;
    let change_request = gate.change_request(&error, "credentials/prod").await;
    gate.apply_in_console("dave", &change_request);
    assert_eq!(code(waiting).await.0, Some(1), "applied on the requester's own approval");
    gate.finish().await;
}

#[tokio::test]
async fn the_requesters_own_approval_is_given_but_waited_on() {
    let gate = Setup::new().start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.expect_state(&id, "pending_approval").await;
    let ended = gate.cli("alice", &["approve", &id, "--yes"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.contains("It waits for an approval of somebody else: credentials/prod: 0 of 1"), "{}", ended.out);
    gate.expect_blocker(&id, "self-approval").await;
    let shown = gate.cli("alice", &["show", &id]).await;
    assert!(shown.out.contains("0 of 1 approvals that count"), "{}", shown.out);
    let ended = gate.cli("erin", &["approve", &id, "--yes"]).await;
    assert_eq!(ended.code, Some(1), "erin reviews nothing: {}", ended.out);
    assert_eq!(gate.cancel("alice", &id).await.status, 202);
    gate.finish().await;
}

#[tokio::test]
async fn a_reviewer_says_no_and_the_trail_names_them() {
    let gate = Setup::new().start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.expect_state(&id, "pending_approval").await;
    let reject = ["reject", &id, "--reason", "Not before the migration", "--yes"];
    let ended = gate.cli("erin", &reject).await;
    assert_eq!(ended.code, Some(1), "erin reviews nothing: {}", ended.out);
    assert!(ended.err.contains("nothing could be closed: credentials/prod"), "{}", ended.err);
    let ended = gate.cli("bob", &reject).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    gate.expect_state(&id, "rejected").await;
    let events = gate.events(&id).await;
    for word in ["change_request_closed", "rejected"] {
        let event =
            events.iter().find(|event| event["type"] == format!("signoff.request.{word}")).expect("it is there");
        assert_eq!(event["data"]["actor"]["login"], "bob", "{event}");
    }
    let shown = gate.cli("alice", &["show", &id]).await;
    assert!(
        shown.out.contains("bob closed the change request of credentials/prod: Not before the migration"),
        "{}",
        shown.out
    );
    gate.finish().await;
}

#[tokio::test]
async fn the_trail_is_exported_and_verified_and_an_edit_shows() {
    let gate = Setup::new().start().await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    let exported = gate.cli("dave", &["audit", "export"]).await;
    assert_eq!(exported.code, Some(0), "{}", exported.err);
    assert_eq!(exported.out.lines().count(), gate.events(&id).await.len());
    let (good, bad) = (gate.directory.join("trail.ndjson"), gate.directory.join("edited.ndjson"));
    std::fs::write(&good, &exported.out).expect("a file can be written");
    std::fs::write(&bad, exported.out.replace("\"bob\"", "\"eve\"")).expect("a file can be written");
    let verify = async |file: &std::path::Path| {
        let mut command = gate.cli_command("dave", &["audit", "verify"]);
        command.arg(file);
        run(command, LIMIT).await
    };
    let ended = verify(&good).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    let ended = verify(&bad).await;
    assert_eq!(ended.code, Some(1), "{}", ended.out);
    assert!((ended.out + &ended.err).contains("was edited"), "it does not say what is wrong");
    let ended = gate.cli("dave", &["audit", "verify", "--request", &id]).await;
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    let ended = gate.cli("alice", &["audit", "export"]).await;
    assert_eq!(ended.code, Some(1), "the export is for admins: {}", ended.out);
    gate.finish().await;
}
