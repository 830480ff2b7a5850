//! People who do what they like, at any moment: reviewers, requesters, operators, and some who mean no good.

use std::sync::Arc;

use pulumi_sim::{ChangeRequest, Cloud, Eligible, EnvironmentPermission, Revision, signature};
use serde_json::{Value, json};
use signoff_core::names::RequestId;

use crate::github::{BRANCHES, Hub, SECRET, commit};
use crate::setup::{OUTSIDER, PRINCIPAL, REVIEWERS, RULESETS, STACKS, WEBHOOK_SECRET, freeze, gates, token};
use crate::world::World;

/// How many kinds, from the first, are in every seed.
pub const ALWAYS: usize = 1;

/// What only those do whose gates take notice of pushes.
pub const PUSHES: [&str; 10] = [
    "push",
    "push back",
    "merge",
    "a push that lies",
    "an unsigned push",
    "replay pushes",
    "delete a branch",
    "GitHub refuses",
    "GitHub answers again",
    "a flood of pushes",
];
/// What only those do whose gates ask for runs that were refused.
pub const RUN: &str = "run without asking";

/// What people do, and how often as against each other.
pub const KINDS: [(&str, u32); 64] = [
    ("approve", 30),
    ("a requester approves", 8),
    ("the principal approves", 3),
    ("withdraw an approval", 6),
    ("close a change request", 2),
    ("apply in the console", 5),
    ("edit a description", 1),
    ("add a revision", 1),
    ("submit a draft", 1),
    ("switch a ruleset off", 2),
    ("switch rulesets on", 2),
    ("change a ruleset's number", 4),
    ("a rule of a strange kind", 1),
    ("no strange rules", 2),
    ("change who may approve", 1),
    ("hold on", 1),
    ("hold off", 2),
    ("the gate's environment changes", 1),
    ("the gate goes", 1),
    ("the gate's operations change", 1),
    ("the gate says runs-as stack", 1),
    ("the gates are as before", 2),
    ("change settings", 1),
    ("settings carry a token", 1),
    ("settings carry a role", 1),
    ("settings carry the mark", 1),
    ("delete settings", 1),
    ("make settings anew", 1),
    ("revoke the token", 2),
    ("give the token back", 3),
    ("rotate the token", 2),
    ("swap the token", 1),
    ("delete a stack", 1),
    ("delete an environment", 1),
    ("forge a marked deployment", 3),
    ("deploy something else", 4),
    ("pause", 2),
    ("resume", 3),
    ("a deployment takes long", 2),
    ("deployments go on", 3),
    ("the next deployment fails", 3),
    ("cancel a deployment", 3),
    ("take a request back", 5),
    ("replay webhooks", 2),
    ("a webhook that lies", 4),
    ("a status that nobody knows", 1),
    ("known statuses again", 2),
    ("the principal loses a right", 1),
    ("the principal sees nothing", 1),
    ("the principal sees all again", 3),
    ("old items expire", 1),
    ("the gates freeze", 2),
    ("break the glass", 4),
    ("push", 0),
    ("push back", 4),
    ("merge", 4),
    ("a push that lies", 4),
    ("an unsigned push", 2),
    ("replay pushes", 2),
    ("delete a branch", 1),
    ("GitHub refuses", 1),
    ("GitHub answers again", 2),
    ("a flood of pushes", 1),
    (RUN, 0),
];

/// What somebody wants that takes a task of its own.
#[derive(Debug, Clone)]
pub enum Wish {
    /// To take a request back.
    Cancel(usize, RequestId, &'static str),
    /// To lift something from a request.
    BreakGlass(usize, RequestId, &'static str, &'static str),
    /// That this is delivered to the webhook door of an installation: id, kind, body, signature.
    Deliver(usize, [String; 3], Vec<u8>),
    /// The same from GitHub, after so many milliseconds: id, event, signature, body.
    Ring(usize, i64, [String; 3], Vec<u8>),
}

/// Drafts, too: whoever reviews an environment sees them.
fn open(world: &mut World) -> Option<ChangeRequest> {
    let open: Vec<ChangeRequest> =
        world.cloud.change_requests().iter().filter(|one| one.status.is_open()).cloned().collect();
    world.chance.of(&open).cloned()
}

fn settings(world: &mut World, change: &serde_json::Value) {
    let stack = STACKS[world.chance.weighted(&[3, 1, 1, 1])].0;
    world.click(|cloud, now| cloud.patch_settings(now, None, stack, change));
}

/// Somebody does one thing of the kind at this place.
pub fn act(world: &mut World, kind: usize) -> Vec<Wish> {
    let name = KINDS.get(kind).map_or("", |kind| kind.0);
    world.coverage.add("people", name);
    world.say(|| format!("people: {name}"));
    match name {
        "approve"
        | "a requester approves"
        | "the principal approves"
        | "withdraw an approval"
        | "close a change request"
        | "apply in the console"
        | "edit a description"
        | "add a revision"
        | "submit a draft"
        | "a status that nobody knows" => on_a_change_request(world, name),
        "take a request back" => return take_back(world),
        "break the glass" => return break_glass(world),
        "replay webhooks" | "a webhook that lies" => return webhooks(world, name),
        name if PUSHES.contains(&name) => return on_branches(world, name),
        "old items expire" => {
            let now = world.now;
            world.tables.iter_mut().for_each(|table| table.expire(now));
        }
        name if name.contains("gate") || name.starts_with("hold") => on_the_gates(world, name),
        name if name.contains("token") && !name.contains("settings") => on_tokens(world, name),
        name if name.contains("rule") || name == "change who may approve" => on_rulesets(world, name),
        name if name.contains("settings") => on_settings(world, name),
        _ => on_stacks(world, name),
    }
    Vec::new()
}

fn on_a_change_request(world: &mut World, name: &str) {
    let Some(one) = open(world) else { return };
    let reviewer = REVIEWERS[world.chance.weighted(&[4, 4, 1, 1])];
    let id = one.id.as_str();
    world.say(|| format!("  {id} ({}), {reviewer}", one.description.lines().next().unwrap_or_default()));
    let text = match world.chance.below(4) {
        0 => format!("signoff first {}", "req_01KAT5AAAAAAAAAAAAAAAAAAAA"),
        1 => format!("{} ", one.description),
        // The mark stays, and what reviewers go by is another.
        2 => one.description.replace("\noperation: ", "\noperation: preview, not "),
        _ => format!("please\n{}", one.description),
    };
    // Who may not, or is late, is refused.
    let _ = world.click(|cloud, now| match name {
        "approve" => cloud.approve(now, reviewer, id),
        "a requester approves" => cloud.approve(now, if reviewer == "dave" { "dave" } else { "alice" }, id),
        "the principal approves" => cloud.approve(now, PRINCIPAL, id),
        "withdraw an approval" => match one.approvals.first() {
            Some(approval) => cloud.unapprove(now, &approval.login, id, Some("wait")),
            None => Ok(()),
        },
        "close a change request" => cloud.close_as(now, "dave", id, Some("not\nnow")),
        "apply in the console" => cloud.apply_as(now, "dave", id),
        "edit a description" => cloud.edit_description(now, "dave", id, &text),
        "submit a draft" => cloud.submit(now, "dave", id, Some(&text)),
        "add a revision" => {
            let longer = Revision { grant_seconds: 86_400, access_seconds: 86_400 };
            cloud.add_revision(now, "dave", id, longer).map(|_| ())
        }
        _ => {
            cloud.set_strange_status(id, Some("merged"));
            Ok(())
        }
    });
}

/// One of the requests that are not over, and where it is.
fn request(world: &mut World) -> Option<(usize, RequestId)> {
    let mut all = Vec::new();
    for (place, table) in world.tables.iter().enumerate() {
        let open = table.requests.iter().filter(|(_, row)| !row.request.status.state.is_terminal());
        all.extend(open.map(|(id, _)| (place, *id)));
    }
    world.chance.of(&all).copied()
}

fn take_back(world: &mut World) -> Vec<Wish> {
    let one = request(world);
    let who = if world.chance.happens(0.5) { "dave" } else { "alice" };
    one.map(|(place, id)| Wish::Cancel(place, id, who)).into_iter().collect()
}

/// Some who may, and one who may not.
fn break_glass(world: &mut World) -> Vec<Wish> {
    let one = request(world);
    let who = ["dave", "bob", "alice"][world.chance.weighted(&[2, 2, 1])];
    let what = ["window", "freeze", "wait", "line"][world.chance.weighted(&[3, 2, 2, 3])];
    one.map(|(place, id)| Wish::BreakGlass(place, id, who, what)).into_iter().collect()
}

fn webhooks(world: &mut World, name: &str) -> Vec<Wish> {
    let place = usize::try_from(world.chance.below(world.plan.installations as u64)).unwrap_or(0);
    let one = open(world);
    let (id, environment) = one.map_or_else(Default::default, |one| (one.id, one.environment));
    let mut parts = environment.split('/').skip(1).map(str::to_owned);
    let (project, environment) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let organization = json!({"name": "Acme", "githubLogin": "acme"});
    let body = match world.chance.below(4) {
        0 => {
            json!({"organization": organization, "action": "change_request_approved", "status": "ready", "changeRequestId": id})
        }
        1 => json!({
            "organization": organization, "projectName": "web", "stackName": "prod", "status": "succeeded", "version": 1,
        }),
        2 => json!({"organization": organization, "projectName": project, "environmentName": environment}),
        _ => json!({"organization": organization, "what": "ever"}),
    };
    let body = body.to_string().into_bytes();
    let times = if name == "replay webhooks" { 60 } else { 1 };
    let mut all = Vec::new();
    for _ in 0..times {
        let delivery = format!("made-up-{}", world.chance.draw());
        // One in eight is not signed by whom it has to be.
        let secret = if world.chance.happens(0.125) { "guessed" } else { WEBHOOK_SECRET };
        all.push(Wish::Deliver(place, [delivery, "environment".to_owned(), signature(secret, &body)], body.clone()));
    }
    all
}

/// What happens at GitHub, and the webhooks that it sends for it.
fn on_branches(world: &mut World, name: &str) -> Vec<Wish> {
    let branch = BRANCHES[world.chance.weighted(&[3, 1])];
    let now = world.now;
    match name {
        "push" | "merge" => world.push(branch),
        "push back" => world.push_back(branch),
        "a flood of pushes" => (0..world.chance.within(3, 12)).for_each(|_| world.push(branch)),
        "delete a branch" => world.delete_branch(branch),
        "GitHub refuses" => world.github.refuses = true,
        "GitHub answers again" => world.github.refuses = false,
        _ => {}
    }
    let head = world.github.head(branch).cloned();
    let pushed = Hub::push_body(now, branch, head.as_ref());
    let mut all = Vec::new();
    match name {
        "merge" => {
            let merged = Hub::merge_body(now, branch);
            send(world, &mut all, "push", &pushed, SECRET);
            send(world, &mut all, "pull_request", &merged, SECRET);
        }
        "GitHub refuses" | "GitHub answers again" => {}
        "an unsigned push" => {
            let other = Hub::push_body(now, branch, commit(9_999).as_ref());
            send(world, &mut all, "push", &other, "guessed");
        }
        "a push that lies" => {
            // A commit that is nowhere, or on the other branch, or was on this one; a branch, or a repository, that is nobody's.
            let number = usize::try_from(world.chance.below(8)).unwrap_or(0);
            let mut body = Hub::push_body(now, branch, commit(if number > 5 { 9_999 } else { number }).as_ref());
            match world.chance.below(6) {
                0 => body["ref"] = json!("refs/heads/nowhere"),
                1 => body["repository"]["full_name"] = json!("mallory/web"),
                2 => body["ref"] = json!(["refs/heads/main"]),
                _ => {}
            }
            send(world, &mut all, "push", &body, SECRET);
        }
        "replay pushes" => {
            for _ in 0..10 {
                let Some((event, body)) = world.chance.of(&world.github.sent).cloned() else { break };
                deliver(world, &mut all, event, &body, SECRET);
            }
        }
        _ => send(world, &mut all, "push", &pushed, SECRET),
    }
    all
}

/// GitHub sends a webhook to each installation; some are lost, come twice, or late and so in another order.
fn send(world: &mut World, all: &mut Vec<Wish>, event: &'static str, body: &Value, secret: &str) {
    let body = body.to_string().into_bytes();
    if secret == SECRET {
        world.github.sent.push((event, body.clone()));
    }
    deliver(world, all, event, &body, secret);
}

fn deliver(world: &mut World, all: &mut Vec<Wish>, event: &'static str, body: &[u8], secret: &str) {
    let faults = world.plan.webhook_faults;
    for place in 0..world.plan.installations {
        if world.chance.happens(faults.lost) {
            world.coverage.add("GitHub fault", "a webhook is lost");
            continue;
        }
        let times = if world.chance.happens(faults.doubled) { 2 } else { 1 };
        for _ in 0..times {
            let late = world.chance.happens(faults.delayed.max(faults.reordered));
            let after = if late { world.chance.within(0, i64::from(faults.delay_ms)) } else { 0 };
            let headers = [
                format!("{:016x}", world.chance.draw()),
                event.to_owned(),
                format!("sha256={}", signature(secret, body)),
            ];
            all.push(Wish::Ring(place, after, headers, body.to_vec()));
        }
    }
}

/// Somebody starts a run without asking for it: most are refused, some fail for another reason, and some are not to be asked for.
fn run_without_asking(world: &mut World) {
    let stack = STACKS[world.chance.weighted(&[3, 1, 1, 1])].0;
    let who = ["alice", "dave", "mallory", "bob", OUTSIDER, PRINCIPAL][world.chance.weighted(&[4, 2, 2, 1, 2, 1])];
    let operation = ["update", "preview", "destroy", "detect-drift"][world.chance.weighted(&[6, 1, 1, 1])];
    let mut body = json!({"operation": operation, "inheritSettings": true});
    if world.chance.happens(0.4) {
        let number = usize::try_from(world.chance.below(20)).unwrap_or(0);
        body["sourceContext"] = json!({"git": {"commit": commit(number).map(|commit| commit.to_string())}});
    }
    world.say(|| format!("  {who} starts {operation} of {stack}"));
    let _ = world.click(|cloud, now| cloud.deploy(now, who, stack, &body));
}

fn on_the_gates(world: &mut World, name: &str) {
    let change = match name {
        "hold on" => "hold = true",
        "the gate's environment changes" => "environment = \"acme/network/prod\"",
        "the gate goes" => "none",
        "the gate's operations change" => "operations = [\"preview\"]",
        "the gate says runs-as stack" => "runs-as = \"stack\"",
        "the gates freeze" => &freeze(world.now, world.chance.within(1, 12)),
        _ => "",
    };
    let gates = Arc::new(gates(&world.plan, change));
    world.tables.iter_mut().for_each(|table| table.gates = Arc::clone(&gates));
}

fn on_tokens(world: &mut World, name: &str) {
    let current = world.tokens.get("default").cloned().unwrap_or_default();
    match name {
        "revoke the token" => {
            world.cloud.revoke_token(&current);
        }
        "rotate the token" => {
            let new = format!("{}-{}", token(PRINCIPAL), world.chance.below(1_000));
            world.cloud.rotate_token(&current, &new);
            // The secret follows at once, or when somebody gives it back.
            if world.chance.happens(0.5) {
                world.tokens.insert("default".to_owned(), new);
            }
        }
        "swap the token" => {
            world.judge.swapped = true;
            world.tokens.insert("default".to_owned(), token("mallory"));
        }
        _ => good_token(world),
    }
}

fn good_token(world: &mut World) {
    world.cloud.token(&token(PRINCIPAL), PRINCIPAL);
    world.tokens.insert("default".to_owned(), token(PRINCIPAL));
}

fn on_rulesets(world: &mut World, name: &str) {
    let (environment, ruleset) = RULESETS[world.chance.weighted(&[3, 1, 1])];
    let number = world.chance.within(0, 3);
    world.click(|cloud, now| match name {
        "switch a ruleset off" => {
            cloud.set_ruleset_enabled(now, environment, ruleset, false);
        }
        "switch rulesets on" => {
            for (environment, ruleset) in RULESETS {
                cloud.set_ruleset_enabled(now, environment, ruleset, true);
            }
        }
        "change a ruleset's number" => {
            cloud.set_required(now, environment, ruleset, number);
        }
        "a rule of a strange kind" => {
            cloud.set_strange_rule_type(environment, ruleset, Some("robot_says_yes"));
        }
        "no strange rules" => no_strange_rules(cloud),
        _ => {
            cloud.change_ruleset(now, environment, ruleset, |ruleset| ruleset.eligible = vec![Eligible::user("bob")]);
        }
    });
}

fn no_strange_rules(cloud: &mut Cloud) {
    for (environment, ruleset) in RULESETS {
        cloud.set_strange_rule_type(environment, ruleset, None);
    }
}

fn on_settings(world: &mut World, name: &str) {
    let variables = |name: &str, value: &str| json!({"operationContext": {"environmentVariables": {name: value}}});
    match name {
        "change settings" => settings(world, &json!({"sourceContext": {"git": {"branch": "refs/heads/other"}}})),
        "settings carry a token" => settings(world, &variables("PULUMI_ACCESS_TOKEN", "pul-SECRET-somebody")),
        "settings carry a role" => settings(world, &json!({"operationContext": {"role": {"id": "r", "name": "r"}}})),
        "settings carry the mark" => {
            settings(world, &variables("SIGNOFF_REQUEST_ID", "req_01KAT5AAAAAAAAAAAAAAAAAAAA"))
        }
        _ => {
            world.click(|cloud, now| cloud.change_settings(now, None, "acme/web/prod", None));
            if name == "make settings anew" {
                let other = json!({"sourceContext": {"git": {"branch": "refs/heads/other"}}});
                world.click(|cloud, now| cloud.change_settings(now, None, "acme/web/prod", Some(&other)));
            }
        }
    }
}

fn on_stacks(world: &mut World, name: &str) {
    if name == RUN {
        return run_without_asking(world);
    }
    let stack = STACKS[world.chance.weighted(&[3, 1, 1, 1])].0;
    let marks: Vec<String> =
        world.tables.iter().flat_map(|table| table.requests.keys()).map(ToString::to_string).collect();
    let mark = world.chance.of(&marks).cloned().unwrap_or_default();
    let live: Vec<String> =
        world.cloud.deployments().iter().filter(|one| !one.status.is_over()).map(|one| one.id.clone()).collect();
    let deployment = world.chance.of(&live).cloned();
    let whole = world.chance.happens(0.2);
    world.click(|cloud, now| match name {
        "delete a stack" => {
            cloud.delete_stack(now, stack);
        }
        "delete an environment" => {
            cloud.delete_environment(now, "acme/credentials/prod");
        }
        "forge a marked deployment" => {
            let variables = json!({"environmentVariables": {"SIGNOFF_REQUEST_ID": mark}});
            let body = json!({"operation": "update", "inheritSettings": true, "operationContext": variables});
            let _ = cloud.deploy(now, "alice", stack, &body);
        }
        "deploy something else" => {
            let _ = cloud.deploy(now, "alice", stack, &json!({"operation": "update", "inheritSettings": true}));
        }
        "pause" => {
            cloud.set_paused(now, if whole { "acme" } else { stack }, true);
        }
        "resume" => resume(cloud, now),
        "a deployment takes long" => {
            cloud.set_hold(stack, true);
        }
        "deployments go on" => go_on(cloud),
        "the next deployment fails" => {
            cloud.plan_outcome(stack, false);
        }
        "cancel a deployment" => {
            let _ = deployment.map(|id| cloud.cancel(now, "dave", &id));
        }
        "known statuses again" => known_statuses(cloud),
        "the principal sees nothing" => cloud.leave_out(PRINCIPAL, true),
        "the principal sees all again" => cloud.leave_out(PRINCIPAL, false),
        "the principal loses a right" => {
            cloud.allow_environment(PRINCIPAL, "acme/credentials/prod", EnvironmentPermission::None);
        }
        _ => {}
    });
}

fn resume(cloud: &mut Cloud, now: jiff::Timestamp) {
    cloud.set_paused(now, "acme", false);
    for (stack, _) in STACKS {
        cloud.set_paused(now, stack, false);
    }
}

fn go_on(cloud: &mut Cloud) {
    for (stack, _) in STACKS {
        cloud.set_hold(stack, false);
    }
}

fn known_statuses(cloud: &mut Cloud) {
    let ids: Vec<String> = cloud.change_requests().iter().map(|one| one.id.clone()).collect();
    for id in ids {
        cloud.set_strange_status(&id, None);
    }
}

/// The last thing that people do: most of what they broke is mended, some of it stays as it is for good.
pub fn calm_down(world: &mut World) {
    let stays = |world: &mut World| world.chance.happens(0.1);
    let is_refused = stays(world);
    if !is_refused {
        good_token(world);
    }
    if !stays(world) {
        world.github.refuses = false;
    }
    world.judge.unasked_is_fine = is_refused || world.github.refuses;
    if !stays(world) {
        world.click(resume);
    }
    if !stays(world) {
        world.click(|cloud, _| go_on(cloud));
    }
    world.click(|cloud, _| known_statuses(cloud));
    world.click(|cloud, _| cloud.leave_out(PRINCIPAL, false));
    if !stays(world) {
        on_the_gates(world, "");
    }
    if world.plan.approve_at_last {
        let ids: Vec<String> = world.cloud.change_requests().iter().map(|one| one.id.clone()).collect();
        for id in ids {
            for login in ["bob", "carol"] {
                let _ = world.click(|cloud, now| cloud.approve(now, login, &id));
            }
        }
    }
    world.calm = true;
    world.cloud.set_webhook_faults(Default::default());
    world.say(|| "calm: nothing goes wrong any more, and nobody does anything".to_owned());
}
