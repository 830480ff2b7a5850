//! Environments that import gated ones: each has a change request of its own, and nothing is applied before all are ready.

use pulumi_sim::{Happened, Status};
use signoff_tests::Setup;

#[tokio::test]
async fn nothing_is_applied_before_every_gated_import_is_ready() {
    let gate = Setup::new().start().await;
    let id = gate.ask("alice", "acme/platform/prod", "update").await;
    let environments: Vec<String> =
        gate.submitted(&id).await.iter().map(|one| one.qualified_name().to_owned()).collect();
    assert_eq!(environments, ["credentials/platform", "network/prod"]);
    gate.approve("bob", &id).await;
    let platform = gate.change_request(&id, "credentials/platform").await;
    let network = gate.change_request(&id, "network/prod").await;
    gate.expect(&id, "waiting for network/prod alone", |request| {
        let details: Vec<&str> =
            request["blockers"].as_array().into_iter().flatten().filter_map(|one| one["detail"].as_str()).collect();
        details == ["network/prod: 0 of 1 approvals that count"]
    })
    .await;
    gate.expect_looks(4).await;
    assert_eq!(gate.statuses(&id), [Status::Ready, Status::Pending], "one that is ready was applied too soon");
    gate.approve("carol", &id).await;
    gate.expect_state(&id, "succeeded").await;
    let applied: Vec<String> = gate
        .sim
        .cloud()
        .history()
        .iter()
        .filter_map(|record| match &record.what {
            Happened::ChangeRequestApplied { id, .. } => Some(id.clone()),
            _ => None,
        })
        .collect();
    assert!(applied.len() == 2 && applied.contains(&platform) && applied.contains(&network), "{applied:?}");
    gate.finish().await;
}

#[tokio::test]
async fn one_applied_by_hand_and_the_other_closed_names_the_grant_that_is_live() {
    let gate = Setup::new().start().await;
    let id = gate.ask("alice", "acme/platform/prod", "update").await;
    let platform = gate.change_request(&id, "credentials/platform").await;
    let network = gate.change_request(&id, "network/prod").await;
    gate.click(|cloud, now| cloud.approve(now, "carol", &network)).expect("carol may approve");
    gate.apply_in_console("dave", &network);
    gate.expect(&id, "aware of the apply", |request| {
        request["changeRequests"].as_array().into_iter().flatten().any(|one| one["status"] == "applied")
    })
    .await;
    gate.expect_no_deployment(&id);
    gate.click(|cloud, now| cloud.close_as(now, "bob", &platform, None)).expect("bob may close");
    let message = gate.expect_end(&id, "rejected", "rejected").await;
    assert!(message.contains("bob closed the change request of credentials/platform"), "{message}");
    assert!(message.contains("The grant on network/prod can't be revoked: until "), "{message}");
    gate.expect_no_deployment(&id);
    gate.finish().await;
}

#[tokio::test]
async fn the_requester_does_not_count_for_any_of_them() {
    let gate = Setup::new().cloud(|cloud| _ = cloud.team("acme", "network", &["alice", "carol"])).start().await;
    let id = gate.ask("alice", "acme/platform/prod", "update").await;
    gate.approve("alice", &id).await;
    let platform = gate.change_request(&id, "credentials/platform").await;
    gate.click(|cloud, now| cloud.approve(now, "bob", &platform)).expect("bob may approve");
    gate.expect_blocker_saying(&id, "self-approval", "network/prod: 0 of 1 approvals that count: alice approved").await;
    gate.expect_looks(4).await;
    assert_eq!(gate.statuses(&id), [Status::Ready, Status::Ready], "one was applied on alice's own approval");
    gate.approve("carol", &id).await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}
