//! Answers that are strange, half empty, or about something else.

use serde_json::{Value, json};
use signoff_core::asking::Permission;
use signoff_core::cloud::{CloudError, DeploymentStatus, LogPage, PulumiCloud, Role, StatusChanges};
use signoff_core::names::{EnvironmentName, Organization, PrincipalName, StackName};
use signoff_core::request::ChangeRequestStatus;
use signoff_functions::pulumi::{CallerClient, PrincipalClient};

use super::fixture::{Fake, impatient, name, principal_of, secret};

struct World {
    fake: Fake,
    cloud: PrincipalClient,
    principal: PrincipalName,
    acme: Organization,
    environment: EnvironmentName,
    stack: StackName,
}

async fn world() -> World {
    let fake = Fake::start().await;
    let cloud = principal_of(impatient(&fake.url));
    let (environment, stack) = (name("acme/credentials/prod"), name("acme/web/prod"));
    World { cloud, fake, principal: PrincipalName::default(), acme: name("acme"), environment, stack }
}

fn is_unclear<T>(answer: &Result<T, CloudError>) -> bool {
    matches!(answer, Err(CloudError::Unclear(_)))
}

/// With the value at a JSON pointer replaced; without it for `None`.
fn with(answer: &Value, pointer: &str, value: Option<Value>) -> Value {
    let mut answer = answer.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = answer.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(key.to_owned(), value),
        None => parent.remove(key),
    };
    answer
}

fn person(login: &str) -> Value {
    json!({"githubLogin": login})
}

fn change_request() -> Value {
    json!({
        "id": "cr1", "orgID": "o1", "status": "pending", "latestRevisionNumber": 2, "createdBy": person("signoff-deployer"),
        "createdAt": "2026-11-01T00:00:00Z", "action": "open", "new-field": [1],
        "entity": {"entityType": "environment", "project": "credentials", "name": "prod"},
        "gateEvaluation": {"satisfied": false, "applicableGates": [{
            "id": "g1", "ruleDetails": {
                "ruleType": "approval_required", "requiredApprovals": 1,
                "approvers": [person("bob"), person("not a login"), {}],
            },
        }]},
    })
}

#[tokio::test]
async fn a_change_request_is_read_leniently_and_believed_strictly() {
    let World { fake, cloud, principal, acme, .. } = world().await;
    let read = async |answer: Value| {
        fake.json(&answer);
        cloud.change_request(&principal, &acme, "cr1").await
    };
    let good = read(change_request()).await.unwrap();
    assert_eq!((good.description.as_str(), good.is_open), ("", true));
    let approval = good.rulesets[0].approval.as_ref().unwrap();
    assert_eq!(approval.approvers, [name("bob")], "who can't be named does not count");

    for pointer in ["/id", "/orgID", "/status", "/latestRevisionNumber", "/createdBy", "/createdAt", "/gateEvaluation"]
    {
        assert!(is_unclear(&read(with(&change_request(), pointer, None)).await), "{pointer}");
    }
    for (pointer, value) in [
        ("/id", json!("cr2")),
        ("/orgID", json!("o2")),
        ("/createdBy", person("")),
        ("/latestRevisionNumber", json!("2")),
        ("/gateEvaluation/satisfied", json!("yes")),
    ] {
        assert!(is_unclear(&read(with(&change_request(), pointer, Some(value))).await), "{pointer}");
    }
    let strange = read(with(&change_request(), "/status", Some(json!("on-hold")))).await.unwrap();
    assert_eq!(strange.status, ChangeRequestStatus::Unknown("on-hold".to_owned()));
    let stack = json!({"entityType": "stack", "project": "credentials", "name": "prod"});
    for entity in [stack, json!({"entityType": "environment", "project": "..", "name": "prod"}), json!({})] {
        assert_eq!(read(with(&change_request(), "/entity", Some(entity))).await.unwrap().environment, None);
    }
    assert!(!read(with(&change_request(), "/action", Some(json!("update")))).await.unwrap().is_open);

    for (field, value) in [
        ("ruleType", Some(json!("two_keys_turned"))),
        ("ruleType", None),
        ("requiredApprovals", None),
        ("approvers", None),
        ("approvers", Some(json!("bob"))),
    ] {
        let mut answer = change_request();
        let details = &mut answer["gateEvaluation"]["applicableGates"][0];
        *details = with(details, &format!("/ruleDetails/{field}"), value);
        assert_eq!(read(answer).await.unwrap().rulesets[0].approval, None, "{field}");
    }
}

#[tokio::test]
async fn what_somebody_may_do_can_be_unknown() {
    let World { fake, cloud, principal, stack, .. } = world().await;
    let read = async |status: u16| {
        fake.say(status, "{}");
        cloud.permission(&principal, &stack, &name("alice")).await
    };
    assert_eq!(read(404).await, Ok(None), "no member");
    assert!(matches!(read(403).await, Err(CloudError::Refused { status: 403, .. })), "the principal may not know");
    assert!(is_unclear(&read(200).await));
}

#[tokio::test]
async fn a_log_is_read_page_by_page_to_its_end() {
    let World { fake, cloud, principal, stack, .. } = world().await;
    let read = async |pages: &[Value]| {
        fake.json(&pages[0]);
        pages[1..].iter().for_each(|page| fake.then(200, &page.to_string()));
        let before = fake.asked().len();
        let mut after: Option<String> = None;
        let answer = loop {
            match cloud.was_refused(&principal, &stack, "d 1", after.as_deref()).await {
                Ok(LogPage { refused: false, next: Some(next) }) => after = Some(next),
                answer => break answer.map(|page| page.refused),
            }
        };
        (answer, fake.asked().len() - before)
    };
    let page = |line: Value, next: Value| json!({"__type": "DeploymentLogs", "lines": [{"timestamp": "2026-11-01T00:00:00Z", "line": line}], "nextToken": next});
    let said = json!("error: opens must be Approved for environment 'prod'; create an Open Request instead");
    // The last page says so by an empty token, by null, or by none at all.
    for last in [json!(""), json!(null)] {
        assert_eq!(read(&[page(json!("Cloned"), json!("a b")), page(said.clone(), last.clone())]).await, (Ok(true), 2));
        assert_eq!(
            read(&[page(json!("Cloned"), json!("2")), page(json!("error"), last.clone())]).await,
            (Ok(false), 2)
        );
        assert_eq!(read(&[page(json!("Cloned"), last)]).await, (Ok(false), 1));
    }
    // Nothing in it is required.
    for bare in [
        json!({"__type": "DeploymentLogs"}),
        json!({"lines": null}),
        json!({"lines": []}),
        json!({"lines": [{}, {"line": null, "header": "x"}]}),
    ] {
        assert_eq!(read(std::slice::from_ref(&bare)).await, (Ok(false), 1), "{bare}");
    }
    // One that leads in a circle ends.
    assert_eq!(read(&[page(json!("x"), json!("1"))]).await, (Ok(false), 2));
    let paths: Vec<_> = fake.asked().into_iter().map(|(path, _)| path).collect();
    let logs = "/api/stacks/acme/web/prod/deployments/d%201/logs";
    assert_eq!(paths[..2], [logs.to_owned(), format!("{logs}?continuationToken=a%20b")]);
    for wrong in [json!([]), json!({"lines": "said"}), json!({"lines": [7]})] {
        assert!(is_unclear(&read(&[wrong]).await.0));
    }
}

#[tokio::test]
async fn a_deployment_is_the_one_that_was_asked_for() {
    let World { fake, cloud, principal, stack, .. } = world().await;
    let answer = json!({
        "id": "d1", "version": 7, "status": "thinking", "requestedBy": person("a b"),
        "configuration": {"environmentVariables": [
            {"name": "SIGNOFF_REQUEST_ID", "value": "hidden", "secret": true}, {"name": "X"}, {},
        ]},
    });
    let read = async |answer: Value| {
        fake.json(&answer);
        cloud.deployment(&principal, &stack, "d1").await
    };
    let good = read(answer.clone()).await.unwrap();
    assert_eq!(good.status, DeploymentStatus::Unknown("thinking".to_owned()));
    assert_eq!((good.mark, good.commit, good.operation), (None, None, None));
    assert_eq!(good.requested_by, name("(unknown)"));
    assert!(is_unclear(&read(with(&answer, "/id", Some(json!("d2")))).await));
    for pointer in ["/id", "/version", "/status", "/requestedBy"] {
        assert!(is_unclear(&read(with(&answer, pointer, None)).await), "{pointer}");
    }

    fake.json(&json!({"deployments": [
        {"id": "d1", "version": 7, "status": "running", "requestedBy": person(""), "created": "long ago"},
    ]}));
    let page = cloud.deployments(&principal, &stack, 1).await.unwrap();
    assert!(!page.paused && page.deployments[0].created.is_none() && page.deployments[0].operation.is_empty());

    let deploy = async |answer: Value| {
        fake.json(&answer);
        let mark = name("req_01J00000000000000000000000");
        let operation = signoff_core::names::Operation::Update;
        let new = signoff_core::cloud::NewDeployment { stack: stack.clone(), operation, commit: None, mark };
        cloud.deploy(&principal, &new).await
    };
    let link = |url: &str| json!({"id": "d1", "version": 7, "consoleUrl": url});
    let own = format!("{}/acme/web/prod/deployments/7", fake.url);
    assert_eq!(deploy(link("https://console.example/7")).await.unwrap().url, "https://console.example/7");
    assert_eq!(deploy(link("javascript:alert(1)")).await.unwrap().url, own);
    assert_eq!(deploy(json!({"id": "d1", "version": 7})).await.unwrap().url, own);
    for bad in [json!({"id": "..", "version": 7}), json!({"version": 7}), json!({"id": "d1"})] {
        assert!(is_unclear(&deploy(bad).await));
    }
}

#[tokio::test]
async fn an_id_can_not_lead_elsewhere() {
    let World { fake, cloud, principal, acme, environment, .. } = world().await;
    for id in ["", ".", "..", "a\nb"] {
        let answer = cloud.apply(&principal, &acme, id).await;
        assert!(matches!(answer, Err(CloudError::Refused { status: 400, .. })), "{id:?}");
    }
    assert!(fake.asked().is_empty());
    fake.say(204, "");
    cloud.apply(&principal, &acme, "a/../b?c").await.unwrap();
    assert_eq!(fake.asked()[0].0, "/api/change-requests/acme/a%2F..%2Fb%3Fc/apply");
    fake.say(200, "<html>please sign in</html>");
    assert!(is_unclear(&cloud.apply(&principal, &acme, "cr1").await), "a proxy's page is no yes");

    let one = |id: &str, project: &str| {
        json!({
            "changeRequestId": id, "projectName": project, "environmentName": "prod", "latestRevisionNumber": 1,
        })
    };
    for bad in [json!([]), json!([one("..", "x")]), json!([one("a", "x/y")]), json!([one("a", "x"), one("a", "y")])] {
        fake.json(&json!({"changeRequests": bad}));
        assert!(is_unclear(&cloud.request_open(&principal, &environment, 1, 1).await), "{bad}");
    }
}

#[tokio::test]
async fn lists_are_read_to_their_end_and_not_for_ever() {
    let World { fake, cloud, principal, acme, .. } = world().await;
    let since = "2026-10-31T00:00:00Z".parse().unwrap();
    fake.json(&json!({"changeRequests": [change_request()], "continuationToken": "a b&c"}));
    let mut old = with(&change_request(), "/createdAt", Some(json!("2026-10-30T23:59:59Z")));
    old["createdBy"] = person("");
    fake.then(200, &json!({"changeRequests": [old, change_request()], "continuationToken": null}).to_string());
    assert_eq!(cloud.open_requests_since(&principal, &acme, since).await.unwrap().len(), 2);
    assert!(fake.asked()[1].0.ends_with("&continuationToken=a%20b%26c"));

    let elsewhere = with(&change_request(), "/orgID", Some(json!("o2")));
    fake.json(&json!({"changeRequests": [change_request(), elsewhere], "continuationToken": null}));
    assert!(is_unclear(&cloud.open_requests_since(&principal, &acme, since).await), "two organizations in one list");

    fake.json(&json!({"changeRequests": [], "continuationToken": "again"}));
    assert!(is_unclear(&cloud.open_requests_since(&principal, &acme, since).await));
    assert_eq!(fake.asked().len(), 103);

    let event = |kind: &str, status: &str, at: &str| {
        json!({
            "eventType": kind, "changeRequestId": "cr1", "newStatus": status, "createdBy": person("bob"),
            "createdAt": at, "comment": "no",
        })
    };
    let (closed, pending) = ("2026-11-02T00:00:00Z", "2026-11-01T00:00:00Z");
    let page = json!({"events": [
        event("status_changed", "closed", closed), event("commented", "closed", closed),
        event("status_changed", "pending", pending), event("turned_round", "", closed),
    ], "continuationToken": "again"});
    fake.json(&page);
    let StatusChanges { changes, is_whole } = cloud.status_changes(&principal, &acme, "cr1").await.unwrap();
    assert_eq!((changes.len(), is_whole, fake.asked().len()), (40, false, 123));
    assert_eq!(changes[0].to, ChangeRequestStatus::Pending);
    assert_eq!((&changes[39].to, changes[39].comment.as_deref()), (&ChangeRequestStatus::Closed, Some("no")));
    assert!(is_unclear(&cloud.status_changes(&principal, &acme, "cr2").await));

    let approval = |kind: &str, who: &str, at: &str| json!({"eventType": kind, "changeRequestId": "cr1", "createdBy": person(who), "createdAt": at});
    let later = "2026-11-03T00:00:00Z";
    fake.json(&json!({"events": [
        approval("approved_by_user", "carol", later), approval("unapproved_by_user", "bob", closed),
        approval("approved_by_user", "bob", pending), approval("unapproved_by_user", "carol", closed),
        approval("approved_by_user", "dave", pending), event("status_changed", "pending", later),
    ], "continuationToken": null}));
    let withdrawn = cloud.withdrawn(&principal, &acme, "cr1").await.unwrap();
    assert_eq!(withdrawn, ["bob".parse().unwrap()], "carol approved again, and dave never took it back");
}

#[tokio::test]
async fn rulesets_of_other_environments_and_kinds_do_not_gate_this_one() {
    let World { fake, cloud, principal, environment, .. } = world().await;
    let gate = |target: Value| {
        let mut target = target;
        target["actionTypes"] = json!(["open"]);
        json!({"id": "g", "enabled": true, "rule": {"ruleType": "approval_required"}, "target": target})
    };
    let info = |project: &str| json!({"entityType": "environment", "project": project, "name": "prod"});
    let mut strange = gate(json!({}));
    strange["rule"]["ruleType"] = json!("two_keys_turned");
    fake.json(&json!({"gates": [
        gate(json!({"qualifiedName": "credentials/prod"})), gate(json!({"entityInfo": info("credentials")})),
        gate(json!({"qualifiedName": "other/prod"})), gate(json!({"entityInfo": info("other")})),
        gate(json!({"entityType": "stack", "qualifiedName": "credentials/prod"})), strange,
    ], "continuationToken": "more"}));
    let rulesets = cloud.rulesets(&principal, &environment).await.unwrap();
    let asks: Vec<bool> = rulesets.iter().map(|ruleset| ruleset.asks_for_approval).collect();
    assert_eq!(asks, [true, true, false]);
    fake.json(&json!({"gates": [{"id": "g"}]}));
    assert!(is_unclear(&cloud.rulesets(&principal, &environment).await));
}

#[tokio::test]
async fn settings_tell_a_role_however_it_is_written() {
    let World { fake, cloud, principal, stack, .. } = world().await;
    for (role, has) in [
        (json!({"id": "r1"}), true),
        (json!({"id": "", "name": "deployers"}), true),
        (json!("r1"), true),
        (json!({"id": "", "name": null}), false),
        (json!({}), false),
        (Value::Null, false),
    ] {
        fake.json(&json!({"version": 3, "operationContext": {"role": role}}));
        let settings = cloud.settings(&principal, &stack).await.unwrap();
        assert!(settings.fingerprint.starts_with("v3-"), "{}", settings.fingerprint);
        assert_eq!(settings.has_role, has, "{role}");
    }
    let fingerprint = async |body: &str| {
        fake.say(200, body);
        cloud.settings(&principal, &stack).await.map(|settings| settings.fingerprint)
    };
    let first = fingerprint(r#"{"tag": "a", "agentPoolID": "b"}"#).await;
    assert_eq!(first, fingerprint(r#"{"agentPoolID":"b","tag":"a"}"#).await);
    assert_ne!(first, fingerprint(r#"{"agentPoolID":"b","tag":"c"}"#).await);
    // With a number: what they say counts too, since they may have been made anew; but not what may look different each time.
    let one = r#"{"version": 1, "source": "api", "operationContext": {"preRunCommands": ["make"], "environmentVariables": {"A": {"secret": "x"}}}}"#;
    let other = |from: &str, to: &str| one.replace(from, to);
    let first = fingerprint(one).await;
    assert_eq!(first, fingerprint(&other(r#""x""#, r#""y""#)).await);
    assert_eq!(first, fingerprint(&other("api", "console")).await);
    for (from, to) in [("make", "rm"), (": 1", ": 2"), (r#""A""#, r#""B""#)] {
        assert_ne!(first, fingerprint(&other(from, to)).await, "{to}");
    }
    let hiding = |value: &str| {
        format!(
            r#"{{"version": 1, "operationContext": {{"environmentVariables": {{"secret": "x", "ciphertext": {{"secret": "y"}}, "A": "{value}"}}}}}}"#
        )
    };
    assert_ne!(fingerprint(&hiding("1")).await, fingerprint(&hiding("2")).await, "a name hides nothing beside it");
    assert!(is_unclear(&fingerprint("[]").await));
    assert!(is_unclear(&fingerprint(r#"{"operationContext": {"environmentVariables": ["X"]}}"#).await));
}

#[tokio::test]
async fn permissions_count_as_far_as_the_role_lets_them() {
    let fake = Fake::start().await;
    let callers = CallerClient::new(impatient(&fake.url));
    let may = async |role: &str, explicit: i64, default: i64, team: i64| {
        fake.json(&json!({
            "organizationRole": role, "explicitPermission": explicit, "organizationDefault": default,
            "teamPermissions": [{"permission": 101}, {"permission": team}], "userInfo": person("ALICE"),
        }));
        let answer = callers.stack_permission(&secret("t"), &name("alice"), &name("acme/web/prod")).await;
        answer.unwrap().unwrap()
    };
    assert_eq!(may("member", 0, 102, 0).await, Permission::Write);
    assert_eq!(may("member", 101, 101, 104).await, Permission::Admin);
    assert_eq!(may("member", 999, 105, -1).await, Permission::Read);
    assert_eq!(may("stack-collaborator", 0, 103, 102).await, Permission::Write);
    assert_eq!(may("admin", 0, 0, 0).await, Permission::Admin);
    assert_eq!(may("potential-member", 103, 103, 103).await, Permission::None);
    assert_eq!(may("emperor", 103, 103, 103).await, Permission::None);
    fake.json(&json!({"organizationRole": "admin", "userInfo": person("dave")}));
    let other = callers.stack_permission(&secret("t"), &name("alice"), &name("acme/web/prod")).await;
    assert!(is_unclear(&other));

    let organization = |login: &str, role: &str| json!({"githubLogin": login, "role": role});
    fake.json(&json!({"githubLogin": "alice", "tokenInfo": null, "organizations": [
        organization("acme", "emperor"), organization("no name", "admin"), organization("b", "stack-collaborator"),
    ]}));
    let identity = callers.identity(&secret("t")).await.unwrap();
    assert_eq!(identity.organizations, [(name("acme"), Role::Other), (name("b"), Role::StackCollaborator)]);
    assert_eq!(identity.machine, None);
    fake.json(&json!({"githubLogin": "", "organizations": []}));
    assert!(is_unclear(&callers.identity(&secret("t")).await));
}
