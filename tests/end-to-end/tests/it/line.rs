//! Approvals are applied late: one request of a stack at a time, in the order of asking, and only when the stack is free.

use signoff_tests::Setup;

#[tokio::test]
async fn approved_requests_go_one_at_a_time_in_order_of_asking_and_a_pending_one_holds_nobody_up() {
    let gate = Setup::new().start().await;
    let theirs = gate.occupy("acme/web/prod").await;
    gate.sim.cloud().set_hold("acme/web/prod", true);
    let pending = gate.ask("alice", "acme/web/prod", "update").await;
    let first = gate.ask("alice", "acme/web/prod", "preview").await;
    let second = gate.ask("alice", "acme/web/prod", "update").await;
    // Approved in the other order.
    gate.approve("bob", &second).await;
    gate.expect_blocker(&second, "stack-busy").await;
    gate.approve("bob", &first).await;
    gate.expect_blocker(&first, "stack-busy").await;
    let detail = gate.expect_blocker(&second, "earlier-request").await;
    assert!(detail.contains(&first), "{detail}");
    assert_eq!(gate.sim.cloud().grants().len(), 0, "applied while the stack was busy");

    gate.release(&theirs);
    gate.expect_state(&first, "deploying").await;
    gate.expect_looks(4).await;
    assert_eq!(gate.request(&second).await["state"], "approved", "two of one stack at once");
    assert_eq!(gate.sim.cloud().grants().len(), 1, "applied before its turn");
    gate.sim.cloud().set_hold("acme/web/prod", false);
    gate.expect_state(&first, "succeeded").await;
    gate.expect_state(&second, "succeeded").await;
    let (one, other) = (gate.deployments(&first), gate.deployments(&second));
    assert!(one[0].modified_at <= other[0].created_at, "the second began before the first was over");
    assert_eq!(gate.request(&pending).await["state"], "pending_approval");
    assert_eq!(gate.cancel("alice", &pending).await.status, 202);
    gate.finish().await;
}

#[tokio::test]
async fn another_stack_of_the_same_environment_does_not_wait() {
    let gate = Setup::new().start().await;
    gate.sim.cloud().set_hold("acme/web/prod", true);
    let web = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("bob", &web).await;
    gate.expect_state(&web, "deploying").await;
    let api = gate.ask("alice", "acme/api/prod", "update").await;
    gate.approve("bob", &api).await;
    gate.expect_state(&api, "succeeded").await;
    gate.sim.cloud().set_hold("acme/web/prod", false);
    gate.expect_state(&web, "succeeded").await;
    gate.finish().await;
}

#[tokio::test]
async fn a_paused_stack_is_waited_for_and_said_to_be_paused() {
    let gate = Setup::new().start().await;
    gate.pause("acme/web/prod", true).await;
    let id = gate.ask("alice", "acme/web/prod", "update").await;
    gate.approve("bob", &id).await;
    let detail = gate.expect_blocker(&id, "stack-paused").await;
    assert_eq!(detail, "deployments of acme/web/prod are paused; resume them at Pulumi Cloud");
    assert_eq!(gate.request(&id).await["state"], "approved");
    assert_eq!(gate.sim.cloud().grants().len(), 0, "applied while the stack was paused");
    gate.pause("acme/web/prod", false).await;
    gate.expect_state(&id, "succeeded").await;
    gate.finish().await;
}
