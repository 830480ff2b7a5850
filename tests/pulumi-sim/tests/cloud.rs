//! The cloud as a plain struct, with a clock that the test turns.

#![expect(clippy::unwrap_used, reason = "a test that can't go on ends")]

use jiff::{SignedDuration, Timestamp};
use pulumi_sim::{
    Answer, Call, Cloud, DeploymentStatus, Eligible, Fault, Happened, HookScope, Pattern, Revision, Ruleset,
    StackSetup, Status, Timing, WebhookFaults, seed, signature,
};
use serde_json::{Value, json};

struct Play {
    cloud: Cloud,
    now: Timestamp,
}

impl Play {
    fn new() -> Self {
        Self { cloud: seed::acme(7), now: "2026-11-23T18:00:00Z".parse().unwrap() }
    }

    fn wait(&mut self, seconds: i64) {
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
        self.cloud.tick(self.now);
    }

    fn call(&mut self, who: &str, method: &str, target: &str, body: Value) -> (u16, Value) {
        let call = Call::new(method, target).token(&format!("pul-{who}")).json(&body);
        let reply = self.cloud.call(self.now, &call);
        (reply.status, reply.value())
    }

    fn ask(&mut self, environment: &str) -> Vec<String> {
        self.ask_for(environment, 3600, 3600)
    }

    fn ask_for(&mut self, environment: &str, grant: i64, access: i64) -> Vec<String> {
        let body = json!({"grantExpirationSeconds": grant, "accessDurationSeconds": access});
        let target = format!("/api/esc/environments/acme/{environment}/open/request");
        let (status, answer) = self.call("signoff-deployer", "POST", &target, body);
        assert_eq!(status, 200, "{answer}");
        let made = answer["changeRequests"].as_array().unwrap().iter();
        made.map(|r| r["changeRequestId"].as_str().unwrap().to_owned()).collect()
    }

    fn pending(&mut self, environment: &str) -> String {
        let ids = self.ask(environment);
        for id in &ids {
            self.cloud.submit(self.now, "signoff-deployer", id, Some("why")).unwrap();
        }
        ids[0].clone()
    }

    fn granted(&mut self, environment: &str, grant: i64, access: i64) {
        for id in self.ask_for(environment, grant, access) {
            self.cloud.submit(self.now, "signoff-deployer", &id, Some("why")).unwrap();
            self.cloud.approve(self.now, "carol", &id).unwrap();
            self.cloud.apply_as(self.now, "signoff-deployer", &id).unwrap();
        }
    }

    fn deploy(&mut self, stack: &str) -> String {
        self.cloud.deploy(self.now, "signoff-deployer", stack, &json!({"operation": "update"})).unwrap()
    }

    fn status(&self, id: &str) -> Status {
        self.cloud.change_request(id).unwrap().status
    }

    fn deployment(&self, id: &str) -> DeploymentStatus {
        self.cloud.deployment(id).unwrap().status
    }

    fn opens(&mut self, environment: &str) -> bool {
        self.cloud.open_environment(self.now, environment, "signoff-deployer").is_ok()
    }
}

const PROD: &str = "acme/credentials/prod";

#[test]
fn a_change_request_goes_from_draft_to_a_grant() {
    let mut play = Play::new();
    let id = play.ask("credentials/prod").remove(0);
    assert_eq!(play.status(&id), Status::Draft);
    assert_eq!(play.call("bob", "GET", &format!("/api/change-requests/acme/{id}"), json!({})).0, 404);
    let submit = format!("/api/change-requests/acme/{id}/submit");
    assert_eq!(play.call("signoff-deployer", "POST", &submit, json!({"description": "why"})).0, 204);
    assert_eq!(play.call("signoff-deployer", "POST", &submit, json!({"description": "why"})).0, 400);
    let apply = format!("/api/change-requests/acme/{id}/apply");
    assert_eq!(play.call("signoff-deployer", "POST", &apply, json!({})).0, 409);
    let approve = format!("/api/change-requests/acme/{id}/approve");
    assert_eq!(play.call("bob", "POST", &approve, json!({"revisionNumber": 2})).0, 400);
    assert_eq!(play.call("erin", "POST", &approve, json!({"revisionNumber": 1})).0, 400);
    assert_eq!(play.call("signoff-deployer", "POST", &approve, json!({"revisionNumber": 1})).0, 400);
    assert_eq!(play.call("bob", "POST", &approve, json!({"revisionNumber": 1})).0, 204);
    assert_eq!(play.status(&id), Status::Ready);
    let (status, answer) = play.call("signoff-deployer", "POST", &apply, json!({}));
    assert_eq!((status, answer), (200, json!({"entityUrl": "/api/esc/environments/acme/credentials/prod"})));
    assert_eq!(play.call("signoff-deployer", "POST", &apply, json!({})).0, 409);
    let close = format!("/api/change-requests/acme/{id}/close");
    assert_eq!(play.call("signoff-deployer", "POST", &close, json!({})).0, 400);
    let applied = play.cloud.history().iter().find_map(|record| match &record.what {
        Happened::ChangeRequestApplied { approvers, grantee, .. } => Some((approvers.clone(), grantee.clone())),
        _ => None,
    });
    assert_eq!(applied, Some((vec!["bob".to_owned()], "signoff-deployer".to_owned())));
    let (_, answer) = play.call("bob", "GET", &format!("/api/change-requests/acme/{id}"), json!({}));
    assert_eq!(answer["gateEvaluation"]["applicableGates"][0]["ruleDetails"]["approvers"][0]["githubLogin"], "bob");
}

#[test]
fn approvals_come_and_go_with_people_and_rules() {
    let mut play = Play::new();
    let id = play.pending("credentials/prod");
    play.cloud.approve(play.now, "BOB", &id).unwrap();
    assert_eq!(play.status(&id), Status::Ready);
    play.cloud.set_required(play.now, PROD, "prod-signoff", 2);
    assert_eq!(play.status(&id), Status::Pending);
    play.cloud.approve(play.now, "bob", &id).unwrap();
    assert_eq!(play.status(&id), Status::Pending, "the same person counts once");
    play.cloud.approve(play.now, "carol", &id).unwrap();
    assert_eq!(play.status(&id), Status::Ready);
    play.cloud.unapprove(play.now, "bob", &id, None).unwrap();
    assert_eq!(play.status(&id), Status::Pending);
    assert_eq!(play.cloud.apply_as(play.now, "signoff-deployer", &id).unwrap_err().status, 409);
    play.cloud.set_ruleset_enabled(play.now, PROD, "prod-signoff", false);
    assert_eq!(play.status(&id), Status::Ready, "nothing is asked for any more");
    play.cloud.close_as(play.now, "bob", &id, Some("no")).unwrap_err();
    play.cloud.close_as(play.now, "dave", &id, Some("no")).unwrap();
    assert_eq!(play.status(&id), Status::Closed);
    assert_eq!(play.cloud.approve(play.now, "bob", &id).unwrap_err().status, 400);
}

#[test]
fn a_new_revision_drops_approvals_where_the_ruleset_says_so() {
    let mut play = Play::new();
    let id = play.pending("credentials/prod");
    play.cloud.approve(play.now, "bob", &id).unwrap();
    let change = Revision { grant_seconds: 60, access_seconds: 60 };
    assert_eq!(play.cloud.add_revision(play.now, "signoff-deployer", &id, change).unwrap(), 2);
    assert_eq!(play.status(&id), Status::Pending);
    play.cloud.change_ruleset(play.now, PROD, "prod-signoff", |ruleset| ruleset.reapproval_on_change = false);
    assert_eq!(play.status(&id), Status::Ready);
    play.cloud.edit_description(play.now, "signoff-deployer", &id, "other").unwrap();
    assert_eq!(play.status(&id), Status::Ready);
}

#[test]
fn every_ruleset_and_every_gated_import_counts() {
    let mut play = Play::new();
    play.cloud.ruleset(PROD, Ruleset::open("security", 1, [Eligible::user("erin")]));
    let id = play.pending("credentials/prod");
    play.cloud.approve(play.now, "bob", &id).unwrap();
    assert_eq!(play.status(&id), Status::Pending);
    play.cloud.approve(play.now, "erin", &id).unwrap();
    assert_eq!(play.status(&id), Status::Ready);

    let ids = play.ask("credentials/platform");
    let environments: Vec<&str> =
        ids.iter().map(|id| play.cloud.change_request(id).unwrap().environment.as_str()).collect();
    assert_eq!(environments, ["acme/credentials/platform", "acme/network/prod"]);
    play.cloud.set_ruleset_enabled(play.now, "acme/credentials/platform", "platform-signoff", false);
    assert_eq!(play.ask("credentials/platform").len(), 1, "only the import is gated now");
    let body = json!({"grantExpirationSeconds": 60, "accessDurationSeconds": 60});
    let ungated = "/api/esc/environments/acme/credentials/staging/open/request";
    assert_eq!(play.call("signoff-deployer", "POST", ungated, body.clone()).0, 400);
    let unknown = "/api/esc/environments/acme/credentials/nothing/open/request";
    assert_eq!(play.call("signoff-deployer", "POST", unknown, body).0, 404);
}

#[test]
fn self_approval_is_against_the_creator() {
    let mut play = Play::new();
    play.cloud.change_ruleset(play.now, PROD, "prod-signoff", |ruleset| {
        ruleset.eligible.push(Eligible::user("signoff-deployer"));
    });
    let id = play.pending("credentials/prod");
    assert_eq!(play.cloud.approve(play.now, "signoff-deployer", &id).unwrap_err().status, 400);
    play.cloud.approve(play.now, "alice", &id).unwrap();
    assert_eq!(play.status(&id), Status::Ready, "whom it was asked for, Pulumi does not know");
    play.cloud.unapprove(play.now, "alice", &id, None).unwrap();
    play.cloud.change_ruleset(play.now, PROD, "prod-signoff", |ruleset| ruleset.allow_self_approval = true);
    play.cloud.approve(play.now, "signoff-deployer", &id).unwrap();
    assert_eq!(play.status(&id), Status::Ready);
}

#[test]
fn a_grant_has_two_clocks() {
    let mut play = Play::new();
    assert!(!play.opens(PROD));
    play.granted("credentials/prod", 60, 600);
    play.wait(59);
    assert!(play.opens(PROD), "the first open starts the access");
    play.wait(599);
    assert!(play.opens(PROD), "in full, past the expiration");
    play.wait(1);
    assert!(!play.opens(PROD));
    play.granted("credentials/prod", 60, 600);
    play.wait(60);
    assert!(!play.opens(PROD), "not opened in time");
    play.granted("credentials/prod", 60, 600);
    assert!(play.cloud.open_environment(play.now, PROD, "alice").is_err(), "it is another's");
}

#[test]
fn an_environment_needs_a_grant_for_each_gated_import() {
    let mut play = Play::new();
    let ids = play.ask("credentials/platform");
    for id in &ids {
        play.cloud.submit(play.now, "signoff-deployer", id, None).unwrap();
        play.cloud.approve(play.now, "carol", id).unwrap();
    }
    play.cloud.apply_as(play.now, "signoff-deployer", &ids[0]).unwrap();
    let open = "/api/esc/environments/acme/credentials/platform/open?duration=1h";
    let (status, answer) = play.call("signoff-deployer", "POST", open, json!({}));
    assert_eq!(status, 403);
    assert!(answer["message"].as_str().unwrap().contains("network/prod"), "{answer}");
    play.cloud.apply_as(play.now, "signoff-deployer", &ids[1]).unwrap();
    assert_eq!(play.call("signoff-deployer", "POST", open, json!({})).0, 200);
    assert!(play.cloud.grants().iter().all(|grant| grant.first_opened_at.is_some()));
}

#[test]
fn a_run_without_a_grant_fails_and_says_why() {
    let mut play = Play::new();
    let id = play.deploy("acme/web/prod");
    play.wait(10);
    assert_eq!(play.deployment(&id), DeploymentStatus::Failed);
    let said = &play.cloud.deployment(&id).unwrap().log.last().unwrap().line;
    assert!(said.contains("403") && said.contains("create an open request"), "{said}");
    play.granted("credentials/prod", 60, 60);
    let id = play.deploy("acme/web/prod");
    play.wait(10);
    assert_eq!(play.deployment(&id), DeploymentStatus::Succeeded);
}

#[test]
fn who_starts_a_run_without_a_grant_is_refused_and_the_log_says_so_to_others() {
    let mut play = Play::new();
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let run = json!({"login": "alice", "stack": "acme/web/prod", "operation": "update", "commit": commit});
    let logs = |play: &mut Play, run: &Value| {
        let (_, list) = play.call("signoff-deployer", "GET", "/api/stacks/acme/web/prod/deployments", json!({}));
        let newest = &list["deployments"][0];
        assert_eq!((&newest["status"], &newest["requestedBy"]["githubLogin"]), (&json!("failed"), &run["login"]));
        let one = format!("/api/stacks/acme/web/prod/deployments/{}", newest["id"].as_str().unwrap());
        let (_, found) = play.call("signoff-deployer", "GET", &one, json!({}));
        assert_eq!(found["configuration"]["source"]["git"]["commit"], commit);
        play.call("signoff-deployer", "GET", &format!("{one}/logs"), json!({})).1.to_string()
    };
    let control = |play: &mut Play, action: &str, body: &Value| {
        let call = Call::new("POST", &format!("/sim/{action}")).json(body);
        assert_eq!(play.cloud.control(play.now, &call).status, 200);
        play.wait(10);
    };
    control(&mut play, "deploy", &run);
    let said = logs(&mut play, &run);
    assert!(said.contains("opens must be approved") && said.contains("create an open request"), "{said}");
    control(&mut play, "refusal", &json!({"message": "no way into {environment}"}));
    control(&mut play, "deploy", &run);
    let said = logs(&mut play, &run);
    assert!(said.contains("no way into acme/credentials/prod") && !said.contains("open request"), "{said}");
    control(&mut play, "refusal", &json!({}));
    control(&mut play, "deploy", &run);
    assert!(logs(&mut play, &run).contains("create an open request"));
    // One that fails later on says nothing of approvals.
    control(&mut play, "ruleset", &json!({"environment": PROD, "name": "prod-signoff", "enabled": false}));
    control(&mut play, "outcome", &json!({"stack": "acme/web/prod", "succeeds": false}));
    control(&mut play, "deploy", &run);
    let said = logs(&mut play, &run);
    assert!(said.contains("update failed") && !said.contains("approved"), "{said}");
}

#[test]
fn a_run_opens_as_whoever_it_runs_as() {
    let mut play = Play::new();
    play.granted("credentials/prod", 3600, 3600);
    let theirs = play.cloud.deploy(play.now, "alice", "acme/web/prod", &json!({"operation": "update"})).unwrap();
    play.wait(10);
    assert_eq!(play.deployment(&theirs), DeploymentStatus::Failed);
    let token = json!({"operationContext": {"environmentVariables": {"PULUMI_ACCESS_TOKEN": {"secret": "pul-alice"}}}});
    play.cloud.patch_settings(play.now, None, "acme/web/prod", &token);
    let as_alice = play.deploy("acme/web/prod");
    play.wait(10);
    assert_eq!(play.deployment(&as_alice), DeploymentStatus::Failed);
    play.cloud
        .stack("acme/web/prod", StackSetup::git("https://x/y", "main").opens("credentials/prod").role("deployers"));
    play.cloud.allow("signoff-deployer", "acme/web/prod", pulumi_sim::Permission::Write);
    let as_role = play.deploy("acme/web/prod");
    play.wait(10);
    assert_eq!(play.deployment(&as_role), DeploymentStatus::Failed);
}

#[test]
fn one_deployment_runs_and_the_others_queue() {
    let mut play = Play::new();
    play.cloud.timing = Timing { accept_ms: 1000, run_ms: 9000 };
    let (first, second) = (play.deploy("acme/web/staging"), play.deploy("acme/web/staging"));
    play.wait(2);
    assert_eq!(play.deployment(&first), DeploymentStatus::Running);
    assert_eq!(play.deployment(&second), DeploymentStatus::NotStarted);
    play.wait(9);
    assert_eq!(play.deployment(&first), DeploymentStatus::Succeeded);
    assert_eq!(play.deployment(&second), DeploymentStatus::Running);
    play.cloud.cancel(play.now, "alice", &second).unwrap();
    assert_eq!(play.deployment(&second), DeploymentStatus::Failed);
    assert_eq!(play.cloud.cancel(play.now, "alice", &second).unwrap_err().status, 404);

    play.cloud.set_paused(play.now, "acme/web/staging", true);
    let (third, fourth) = (play.deploy("acme/web/staging"), play.deploy("acme/web/staging"));
    play.cloud.cancel(play.now, "alice", &fourth).unwrap();
    assert_eq!(play.deployment(&fourth), DeploymentStatus::Skipped);
    play.wait(7 * 86_400);
    assert_eq!(play.deployment(&third), DeploymentStatus::Skipped, "seven days in the queue");
    let fifth = play.deploy("acme/web/staging");
    play.cloud.set_paused(play.now, "acme/web/staging", false);
    play.wait(5);
    play.cloud.set_hold("acme/web/staging", true);
    play.wait(1000);
    assert_eq!(play.deployment(&fifth), DeploymentStatus::Running, "held");
    play.cloud.plan_outcome("acme/web/staging", false);
    play.cloud.set_hold("acme/web/staging", false);
    play.wait(1);
    assert_eq!(play.deployment(&fifth), DeploymentStatus::Failed);
    assert_eq!(play.cloud.next_due(), None);
}

#[test]
fn intermediate_deployments_are_skipped_where_the_settings_say_so() {
    let mut play = Play::new();
    let option = json!({"operationContext": {"options": {"skipIntermediateDeployments": true}}});
    play.cloud.patch_settings(play.now, None, "acme/web/staging", &option);
    let ids: Vec<String> = (0..4).map(|_| play.deploy("acme/web/staging")).collect();
    play.wait(60);
    let ends: Vec<DeploymentStatus> = ids.iter().map(|id| play.deployment(id)).collect();
    assert_eq!(ends[1..], [DeploymentStatus::Skipped, DeploymentStatus::Skipped, DeploymentStatus::Succeeded]);
}

#[test]
fn settings_are_merged_and_counted_and_keep_their_secrets() {
    let mut play = Play::new();
    let settings = "/api/stacks/acme/web/prod/deployments/settings";
    let change = json!({"operationContext": {"environmentVariables": {"A": "plain", "B": {"secret": "hush-hush"}}}});
    assert_eq!(play.call("alice", "POST", settings, change).1["version"], 2);
    let (_, shown) = play.call("alice", "GET", settings, json!({}));
    assert!(!shown.to_string().contains("hush-hush"), "{shown}");
    assert_eq!(shown["operationContext"]["environmentVariables"]["A"]["plaintext"], "plain");
    let commit = "0123456789012345678901234567890123456789";
    let body = json!({
        "operation": "update", "sourceContext": {"git": {"commit": commit}},
        "operationContext": {"environmentVariables": {"SIGNOFF_REQUEST_ID": "req_1"}},
    });
    let (status, made) = play.call("alice", "POST", "/api/stacks/acme/web/prod/deployments", body);
    assert_eq!(status, 202);
    let one = format!("/api/stacks/acme/web/prod/deployments/{}", made["id"].as_str().unwrap());
    let (_, one) = play.call("alice", "GET", &one, json!({}));
    assert_eq!(one["created"], "2026-11-23 18:00:00.000");
    assert_eq!(one["configuration"]["source"]["git"]["commit"], commit);
    assert!(one["configuration"]["source"]["git"]["branch"].is_null());
    assert_eq!(
        one["configuration"]["environmentVariables"],
        json!([
            {"name": "A", "value": "plain", "secret": false}, {"name": "B", "secret": true},
            {"name": "SIGNOFF_REQUEST_ID", "value": "req_1", "secret": false},
        ])
    );
    play.cloud.omit_settings_version = true;
    assert!(play.call("alice", "GET", settings, json!({})).1["version"].is_null());
    play.call("alice", "DELETE", settings, json!({}));
    assert_eq!(play.call("alice", "GET", settings, json!({})).0, 404);
    let deployments = "/api/stacks/acme/web/prod/deployments";
    assert_eq!(play.call("alice", "POST", deployments, json!({"operation": "update"})).0, 400);
    assert_eq!(play.call("alice", "POST", deployments, json!({})).0, 400);
    assert_eq!(play.call("erin", "POST", deployments, json!({"operation": "update"})).0, 403);
    let nowhere = "/api/stacks/acme/web/nowhere/deployments";
    assert_eq!(play.call("alice", "POST", nowhere, json!({"operation": "update"})).0, 404);
}

#[test]
fn tokens_come_go_and_change_hands() {
    let mut play = Play::new();
    assert_eq!(play.call("nobody", "GET", "/api/user", json!({})).0, 401);
    assert_eq!(play.call("ci", "GET", "/api/user", json!({})).1["tokenInfo"]["name"], "ci");
    play.cloud.token("pul-signoff-deployer", "erin");
    assert_eq!(play.call("signoff-deployer", "GET", "/api/user", json!({})).1["githubLogin"], "erin");
    play.cloud.rotate_token("pul-alice", "pul-alice-2");
    assert_eq!(play.call("alice", "GET", "/api/user", json!({})).0, 401);
    assert_eq!(play.call("alice-2", "GET", "/api/user", json!({})).0, 200);
    play.cloud.revoke_token("pul-alice-2");
    assert_eq!(play.call("alice-2", "GET", "/api/user", json!({})).0, 401);
}

#[test]
fn lists_vary_their_order_and_their_pages_fit_together() {
    let mut play = Play::new();
    let mut all: Vec<String> = (0..9).map(|_| play.pending("credentials/prod")).collect();
    all.sort();
    let mut firsts = Vec::new();
    for _ in 0..8 {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let filter = "entityType=environment&entityId=credentials%2Fprod&count=4";
            let target = format!("/api/change-requests/acme?{filter}&continuationToken={token}");
            let (_, page) = play.call("bob", "GET", &target, json!({}));
            let ids = page["changeRequests"].as_array().unwrap().iter();
            seen.extend(ids.map(|request| request["id"].as_str().unwrap().to_owned()));
            token = page["continuationToken"].as_str().unwrap().to_owned();
            if token.is_empty() {
                break;
            }
        }
        firsts.push(seen[0].clone());
        seen.sort();
        assert_eq!(seen, all);
    }
    firsts.dedup();
    assert!(firsts.len() > 1);
}

#[test]
fn faults_hit_what_they_are_planned_for() {
    let mut play = Play::new();
    let body = json!({"grantExpirationSeconds": 60, "accessDurationSeconds": 60});
    let ask = Call::new("POST", "/api/esc/environments/acme/credentials/prod/open/request")
        .token("pul-signoff-deployer")
        .json(&body);
    let user = Call::new("GET", "/api/user").token("pul-bob");
    let asks = || Pattern::new("POST", "/api/esc/**");
    let made = |play: &Play| play.cloud.change_requests().len();

    play.cloud.faults.plan(asks(), Fault::BreakBefore, 1).plan(asks(), Fault::BreakAfter, 1);
    assert!(matches!(play.cloud.exchange(play.now, &user), Answer::Reply(reply, 0) if reply.status == 200));
    assert_eq!(play.cloud.exchange(play.now, &ask), Answer::Broken);
    assert_eq!(made(&play), 0);
    assert_eq!(play.cloud.exchange(play.now, &ask), Answer::Broken);
    assert_eq!(made(&play), 1);
    play.cloud.faults.plan(asks(), Fault::LateEffect { status: 504, after_ms: 5000 }, 1);
    assert!(matches!(play.cloud.exchange(play.now, &ask), Answer::Reply(reply, 0) if reply.status == 504));
    play.wait(4);
    assert_eq!(made(&play), 1);
    play.wait(1);
    assert_eq!(made(&play), 2);
    play.cloud.faults.plan(Pattern::any(), Fault::TooManyRequests { retry_after: Some(300) }, 1);
    let Answer::Reply(reply, 0) = play.cloud.exchange(play.now, &user) else { panic!("no answer") };
    assert_eq!((reply.status, reply.headers.last()), (429, Some(&("retry-after".to_owned(), "300".to_owned()))));
    play.cloud.faults.down_until = play.now.checked_add(SignedDuration::from_hours(1)).ok();
    assert!(matches!(play.cloud.exchange(play.now, &user), Answer::Reply(reply, 0) if reply.status == 503));
    play.wait(3600);
    assert!(matches!(play.cloud.exchange(play.now, &user), Answer::Reply(reply, 0) if reply.status == 200));

    play.cloud.faults.rate(Pattern::any(), 0.5, Fault::Error { status: 500, html: true });
    let failed = (0..400)
        .filter(|_| matches!(play.cloud.exchange(play.now, &user), Answer::Reply(reply, _) if reply.status == 500));
    let failed = failed.count();
    assert!((150..250).contains(&failed), "{failed}");
}

#[test]
fn webhooks_are_signed_and_may_be_lost_doubled_or_late() {
    let mut play = Play::new();
    let on = HookScope::Organization("acme".to_owned());
    play.cloud.webhook(on, "signoff", "http://127.0.0.1:1/", "shared", &["change_requests", "deployments"]);
    let id = play.pending("credentials/prod");
    play.cloud.take_webhooks(play.now);
    play.cloud.approve(play.now, "bob", &id).unwrap();
    let sent = play.cloud.take_webhooks(play.now);
    assert_eq!(sent.len(), 1);
    let header = |name: &str| sent[0].headers.iter().find(|(key, _)| key == name).unwrap().1.clone();
    assert_eq!(header("Pulumi-Webhook-Signature"), signature("shared", &sent[0].body));
    assert_eq!(header("Pulumi-Webhook-Kind"), "change_request");
    let payload: Value = serde_json::from_slice(&sent[0].body).unwrap();
    assert_eq!((&payload["action"], &payload["changeRequestId"]), (&json!("change_request_approved"), &json!(id)));

    play.cloud.set_webhook_faults(WebhookFaults { doubled: 1.0, delayed: 1.0, delay_ms: 9000, ..Default::default() });
    play.cloud.unapprove(play.now, "bob", &id, None).unwrap();
    play.wait(10);
    let twice = play.cloud.take_webhooks(play.now);
    assert_eq!(twice.len(), 2);
    assert_eq!(twice[0], twice[1]);
    play.cloud.set_webhook_faults(WebhookFaults { lost: 1.0, ..Default::default() });
    play.cloud.approve(play.now, "bob", &id).unwrap();
    play.wait(10);
    assert_eq!(play.cloud.take_webhooks(play.now), []);
}

#[test]
fn the_same_seed_gives_the_same_cloud() {
    let run = || {
        let mut play = Play::new();
        play.granted("credentials/platform", 60, 60);
        play.deploy("acme/platform/prod");
        play.wait(60);
        play.cloud.history().to_vec()
    };
    assert_eq!(run(), run());
}

#[test]
fn strange_words_are_passed_on() {
    let mut play = Play::new();
    let id = play.pending("credentials/prod");
    play.cloud.set_strange_status(&id, Some("quarantined"));
    play.cloud.set_strange_rule_type(PROD, "prod-signoff", Some("moon_phase"));
    let (_, answer) = play.call("bob", "GET", &format!("/api/change-requests/acme/{id}"), json!({}));
    assert_eq!(answer["status"], "quarantined");
    assert_eq!(answer["gateEvaluation"]["applicableGates"][0]["ruleDetails"], json!({"ruleType": "moon_phase"}));
}

#[test]
fn everything_can_be_switched_by_a_control_call() {
    let mut play = Play::new();
    let (first, second) = (play.pending("credentials/prod"), play.pending("credentials/prod"));
    let deployment = play.deploy("acme/web/staging");
    let of_first = |more: Value| {
        let mut body = json!({"login": "bob", "id": first});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (action, body) in [
        ("approve", of_first(json!({}))),
        ("unapprove", of_first(json!({"comment": "no"}))),
        ("approve", of_first(json!({}))),
        ("describe", json!({"login": "signoff-deployer", "id": second, "description": "other"})),
        ("revise", json!({"login": "signoff-deployer", "id": second, "grantSeconds": 5, "accessSeconds": 5})),
        ("strange-status", json!({"id": second, "status": "odd"})),
        ("apply", of_first(json!({}))),
        ("close", json!({"login": "bob", "id": second, "comment": "no"})),
        ("ruleset", json!({"environment": PROD, "name": "prod-signoff", "enabled": true, "required": 2})),
        (
            "ruleset",
            json!({"environment": PROD, "name": "prod-signoff", "eligibleUsers": ["bob"], "strangeRuleType": "x"}),
        ),
        ("pause", json!({"what": "acme", "paused": true})),
        ("pause", json!({"what": "acme/web/prod", "paused": true})),
        ("hold", json!({"stack": "acme/web/prod", "hold": true})),
        ("outcome", json!({"stack": "acme/web/prod", "succeeds": false})),
        ("timing", json!({"acceptMs": 1, "runMs": 1})),
        ("timing", json!({"stack": "acme/web/prod", "acceptMs": 1, "runMs": 1})),
        ("settings", json!({"stack": "acme/web/prod", "settings": {"tag": "x"}})),
        ("settings", json!({"stack": "acme/web/prod"})),
        ("cancel", json!({"login": "alice", "id": deployment})),
        ("token", json!({"token": "pul-new", "login": "alice"})),
        ("token", json!({"token": "pul-robot", "login": "erin", "machine": {"name": "robot", "organization": "acme"}})),
        ("token", json!({"token": "pul-new", "replacedBy": "pul-newer"})),
        ("token", json!({"token": "pul-newer"})),
        ("role", json!({"organization": "acme", "login": "frank", "role": "stack-collaborator"})),
        ("faults", json!({"rates": [{"probability": 0.1, "fault": {"kind": "silence"}}]})),
        ("faults", json!({"plan": [{"fault": {"kind": "late-effect", "status": 500, "afterMs": 5}, "skip": 1}]})),
        ("down", json!({"seconds": 1, "fault": {"kind": "break-before"}})),
        (
            "webhook",
            json!({"organization": "acme", "name": "n", "url": "http://127.0.0.1:9/", "groups": ["deployments"]}),
        ),
        ("webhook-faults", json!({"lost": 0.5, "delayMs": 10})),
        ("deploy", json!({"login": "alice", "stack": "acme/web/staging", "operation": "update"})),
        ("refusal", json!({"message": "no"})),
        ("omit-settings-version", json!({"omit": true})),
        ("delete", json!({"environment": "acme/network/prod", "stack": "acme/api/prod"})),
    ] {
        let call = Call::new("POST", &format!("/sim/{action}")).json(&body);
        let reply = play.cloud.control(play.now, &call);
        assert_eq!(reply.status, 200, "{action} {body}: {}", reply.value());
    }
    for (action, body) in [("approve", json!({})), ("hold", json!({"stack": "x", "hold": true})), ("dance", json!({}))]
    {
        let call = Call::new("POST", &format!("/sim/{action}")).json(&body);
        assert!(play.cloud.control(play.now, &call).status >= 400, "{action}");
    }
    for listing in ["people", "state", "history", "calls"] {
        let reply = play.cloud.control(play.now, &Call::new("GET", &format!("/sim/{listing}")));
        assert_eq!(reply.status, 200, "{listing}");
    }
    assert_eq!(play.status(&first), Status::Applied);
    assert_eq!(play.status(&second), Status::Closed);
}

#[test]
fn a_delivery_comes_again_with_the_same_bytes() {
    let mut play = Play::new();
    play.cloud.webhook(HookScope::Organization("acme".to_owned()), "signoff", "http://127.0.0.1:1/", "shared", &[]);
    play.deploy("acme/web/staging");
    let first = play.cloud.take_webhooks(play.now).remove(0);
    let again = play.cloud.redeliver(play.now, &first.id).unwrap();
    let second = play.cloud.take_webhooks(play.now).remove(0);
    assert_eq!((second.id.as_str(), &second.body), (again.as_str(), &first.body));
    assert_ne!(first.id, second.id);
}

#[test]
fn what_is_deleted_leaves_nothing_open() {
    let mut play = Play::new();
    let id = play.pending("credentials/prod");
    play.cloud.approve(play.now, "bob", &id).unwrap();
    assert!(play.cloud.delete_environment(play.now, PROD));
    assert_eq!(play.status(&id), Status::Closed);
    assert_eq!(play.cloud.gates().filter(|gate| gate.qualified_name == "credentials/prod").count(), 0);
    let deployment = play.deploy("acme/web/prod");
    play.wait(10);
    assert_eq!(play.deployment(&deployment), DeploymentStatus::Failed, "its environment is gone");
    assert!(play.cloud.delete_stack(play.now, "acme/web/prod"));
    assert_eq!(play.call("alice", "GET", "/api/stacks/acme/web/prod/deployments", json!({})).0, 404);
}
