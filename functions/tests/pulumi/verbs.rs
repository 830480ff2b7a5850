//! Every verb, as it goes when all goes well: through the specification's referee where that is at hand.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use jiff::Timestamp;
use pulumi_sim::{Sim, SimConfig, StackSetup, seed};
use serde_json::json;
use signoff_core::asking::Permission;
use signoff_core::cloud::{CloudError, DeploymentStatus, NewDeployment, PulumiCloud, Role};
use signoff_core::names::{EnvironmentName, Operation, Organization, PrincipalName, StackName};
use signoff_core::request::ChangeRequestStatus;
use signoff_functions::pulumi::{CallerClient, ClientOptions, PrincipalClient, PulumiClient};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use super::fixture::{name, principal_of, secret};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const REQUEST: &str = "req_01J00000000000000000000000";

struct World {
    sim: Sim,
    client: PulumiClient,
    cloud: PrincipalClient,
    principal: PrincipalName,
    acme: Organization,
}

impl World {
    fn new(sim: Sim, base: &str) -> Self {
        let client = PulumiClient::new(base, ClientOptions::default()).unwrap();
        let cloud = principal_of(client.clone());
        Self { sim, client, cloud, principal: PrincipalName::default(), acme: name("acme") }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_keeps_to_the_specification() {
    let mut cloud = seed::acme(1);
    let setup = StackSetup::git("https://github.com/acme/odd.git", "main").variable("PLAIN", "x").role("r1");
    cloud.stack("acme/odd/prod", setup).allow("signoff-deployer", "acme/odd/prod", pulumi_sim::Permission::Write);
    let sim = Sim::start(SimConfig::new(cloud)).await.unwrap();
    let refereed = referee(&sim.url()).await;
    let base = refereed.as_ref().map_or(sim.url(), |(_, _, url)| url.clone());
    let world = World::new(sim, &base);

    identities(&world).await;
    settings(&world).await;
    change_requests(&world).await;
    deployments(&world).await;
    callers(&world).await;

    let calls = world.client.calls();
    assert_eq!(calls[&("POST", "/api/change-requests/{org}/{id}/apply", 200)], 2);
    assert!(calls.keys().all(|(_, shape, _)| !shape.contains("acme")), "{calls:?}");
    let Some((mut child, mut lines, _)) = refereed else { return };
    let id = child.id().unwrap().to_string();
    Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
    let mut verdict = String::new();
    lines.read_line(&mut verdict).await.unwrap();
    assert!(child.wait().await.unwrap().success(), "{verdict}");
    assert!(verdict.trim().ends_with(" 0 violations"), "{verdict}");
}

async fn identities(world: &World) {
    let identity = world.cloud.identity(&world.principal).await.unwrap();
    assert_eq!(identity.login, name("signoff-deployer"));
    assert_eq!(identity.organizations, [(world.acme.clone(), Role::Member)]);
    assert_eq!(identity.machine, None);
}

async fn settings(world: &World) {
    let of = async |stack: &str| world.cloud.settings(&world.principal, &name(stack)).await;
    let web = of("acme/web/prod").await.unwrap();
    assert!(web.fingerprint.starts_with("v1-") && !web.has_role, "{}", web.fingerprint);
    assert_eq!(web.branch.as_deref(), Some("refs/heads/main"));
    let odd = of("acme/odd/prod").await.unwrap();
    assert_eq!((odd.variables, odd.has_role), (vec!["PLAIN".to_owned()], true));
    world.sim.cloud().omit_settings_version = true;
    let before = of("acme/web/prod").await.unwrap().fingerprint;
    assert!(before.starts_with('h') && before.len() == 65, "{before}");
    let change = json!({"sourceContext": {"git": {"branch": "other"}}});
    world.sim.cloud().patch_settings(world.sim.now(), None, "acme/web/prod", &change);
    assert_ne!(of("acme/web/prod").await.unwrap().fingerprint, before);
    world.sim.cloud().omit_settings_version = false;
    assert!(matches!(of("acme/web/none").await, Err(CloudError::NotFound(_))));
}

async fn change_requests(world: &World) {
    let World { sim, cloud, principal, acme, .. } = world;
    let environment: EnvironmentName = name("acme/credentials/platform");
    let rulesets = cloud.rulesets(principal, &environment).await.unwrap();
    assert_eq!(rulesets.len(), 1);
    assert!(rulesets[0].enabled && rulesets[0].gates_open && rulesets[0].asks_for_approval);
    let ungated = name("acme/credentials/staging");
    assert!(cloud.rulesets(principal, &ungated).await.unwrap().is_empty());
    assert!(matches!(
        cloud.request_open(principal, &ungated, 600, 300).await,
        Err(CloudError::Refused { status: 400, .. })
    ));

    let since = Timestamp::from_second(sim.now().as_second()).unwrap();
    let made = cloud.request_open(principal, &environment, 600, 300).await.unwrap();
    let environments: Vec<String> = made.iter().map(|one| one.environment.to_string()).collect();
    assert_eq!(environments.len(), 2);
    assert!(environments.contains(&"acme/network/prod".to_owned()), "{environments:?}");
    let open = cloud.open_requests_since(principal, acme, since).await.unwrap();
    assert_eq!(open.len(), 2);
    assert!(open.iter().all(|one| one.status == ChangeRequestStatus::Draft && !one.satisfied));
    let later = sim.now().saturating_add(jiff::SignedDuration::from_hours(1)).unwrap();
    assert!(cloud.open_requests_since(principal, acme, later).await.unwrap().is_empty());

    for one in &made {
        let (id, text) = (&one.id, format!("signoff test {REQUEST}\nwhy"));
        assert_eq!(cloud.durations(principal, &one.environment, id).await.unwrap(), (600, 300));
        cloud.submit(principal, acme, id, &text).await.unwrap();
        assert!(matches!(cloud.apply(principal, acme, id).await, Err(CloudError::Conflict(_))));
        let pending = cloud.change_request(principal, acme, id).await.unwrap();
        assert_eq!((pending.status, pending.revision), (ChangeRequestStatus::Pending, one.revision));
        assert_eq!(pending.environment.as_ref(), Some(&one.environment));
        assert_eq!(pending.created_by, name("signoff-deployer"));
        assert!(pending.is_open && !pending.satisfied && pending.description == text && pending.created_at >= since);
        sim.cloud().approve(sim.now(), "carol", id).unwrap();
        let ready = cloud.change_request(principal, acme, id).await.unwrap();
        let approval = ready.rulesets[0].approval.as_ref().unwrap();
        assert_eq!((approval.required, approval.approvers.as_slice()), (1, [name("Carol")].as_slice()));
        assert!(ready.satisfied && ready.status == ChangeRequestStatus::Ready);
        cloud.apply(principal, acme, id).await.unwrap();
        let changes = cloud.status_changes(principal, acme, id).await.unwrap().changes;
        let last = changes.last().unwrap();
        assert_eq!((&last.to, &last.by), (&ChangeRequestStatus::Applied, &name("signoff-deployer")));
        assert!(changes.is_sorted_by_key(|change| change.at));
    }
    let id = cloud.request_open(principal, &environment, 600, 300).await.unwrap().remove(0).id;
    cloud.close(principal, acme, &id, "no longer wanted").await.unwrap();
    let changes = cloud.status_changes(principal, acme, &id).await.unwrap().changes;
    assert_eq!(changes.last().unwrap().comment.as_deref(), Some("no longer wanted"));
    assert!(matches!(
        cloud.close(principal, acme, &id, "again").await,
        Err(CloudError::Refused { status: 400, message }) if message.contains("already")
    ));
    assert!(matches!(cloud.change_request(principal, acme, "unknown").await, Err(CloudError::NotFound(_))));
}

async fn deployments(world: &World) {
    let World { sim, client, cloud, principal, .. } = world;
    let stack: StackName = name("acme/web/staging");
    sim.cloud().set_hold("acme/web/staging", true);
    let mark = name(REQUEST);
    let new = |commit| NewDeployment { stack: stack.clone(), operation: Operation::Update, commit, mark };
    let pinned = cloud.deploy(principal, &new(Some(name(COMMIT)))).await.unwrap();
    let second = cloud.deploy(principal, &new(None)).await.unwrap();
    assert!(pinned.url.ends_with("/acme/web/staging/deployments/1"), "{}", pinned.url);

    let one = cloud.deployment(principal, &stack, &pinned.id).await.unwrap();
    assert_eq!((one.mark.as_deref(), one.commit.as_deref()), (Some(REQUEST), Some(COMMIT)));
    assert_eq!(one.requested_by, name("signoff-deployer"));
    assert_eq!(one.operation.as_deref(), Some("update"));
    assert_eq!((one.deployment.version, one.deployment.url), (1, client.deployment_url(&stack, 1)));

    let page = cloud.deployments(principal, &stack, 1).await.unwrap();
    assert_eq!((page.paused, page.deployments.len()), (false, 2));
    assert_eq!((&page.deployments[0].id, page.deployments[0].operation.as_str()), (&second.id, "update"));
    let created = page.deployments[0].created.unwrap();
    assert!(created.duration_until(sim.now()).as_secs().abs() < 60, "{created}");
    assert!(cloud.deployments(principal, &stack, 2).await.unwrap().deployments.is_empty());
    sim.cloud().set_paused(sim.now(), "acme/web/staging", true);
    assert!(cloud.deployments(principal, &stack, 1).await.unwrap().paused);
    sim.cloud().set_paused(sim.now(), "acme/web/staging", false);

    cloud.cancel_deployment(principal, &stack, &second.id).await.unwrap();
    let cancelled = cloud.deployment(principal, &stack, &second.id).await.unwrap();
    assert_eq!((cancelled.status, cancelled.commit), (DeploymentStatus::Skipped, None));
    assert!(matches!(cloud.deployment(principal, &stack, "unknown").await, Err(CloudError::NotFound(_))));
}

async fn callers(world: &World) {
    let callers = CallerClient::new(world.client.clone());
    let ci = callers.identity(&secret("pul-ci")).await.unwrap();
    assert_eq!(ci.machine.unwrap().name, "ci");
    assert!(matches!(callers.identity(&secret("pul-nobody")).await, Err(CloudError::Unauthorized(_))));
    let may = async |token: &str, login: &str, stack: &str| {
        callers.stack_permission(&secret(token), &name(login), &name(stack)).await
    };
    assert_eq!(may("pul-alice", "alice", "acme/web/prod").await, Ok(Some(Permission::Write)));
    assert_eq!(may("pul-erin", "erin", "acme/web/prod").await, Ok(Some(Permission::Read)));
    assert_eq!(may("pul-dave", "dave", "acme/web/prod").await, Ok(Some(Permission::Admin)));
    assert_eq!(may("pul-alice", "alice", "acme/web/none").await, Ok(None));
    assert!(matches!(may("pul-alice", "bob", "acme/web/prod").await, Err(CloudError::Refused { status: 403, .. })));
}

#[expect(clippy::disallowed_methods, reason = "where the referee is can be said from outside")]
fn referee_script() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/tools/spec_proxy.py");
    std::env::var_os("SIGNOFF_SPEC_PROXY").map(PathBuf::from).into_iter().chain([beside]).find(|path| path.is_file())
}

/// The referee in front of an upstream; none where there is no referee.
async fn referee(upstream: &str) -> Option<(Child, BufReader<ChildStdout>, String)> {
    let mut child = Command::new("python3")
        .arg(referee_script()?)
        .args(["--upstream", upstream])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).await.unwrap();
    let url = line.trim().strip_prefix("spec proxy is ready on ").unwrap().to_owned();
    Some((child, lines, url))
}
