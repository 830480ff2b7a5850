//! The world at its beginning: an organization, its stacks and environments, the gates.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use pulumi_sim::{Cloud, Eligible, EnvironmentPermission, HookScope, Permission, Role, Ruleset, StackSetup, Timing};
use signoff_core::conditions::Zone;
use signoff_core::gate::Gates;

use crate::chance::Chance;
use crate::coverage::Coverage;
use crate::github::{Hub, REPOSITORY};
use crate::judge::Judge;
use crate::plan::Plan;
use crate::table::Table;
use crate::world::{BEGINNING, Current, World};

/// The stacks, and the environment that each opens.
pub const STACKS: [(&str, &str); 4] = [
    ("acme/web/prod", "credentials/prod"),
    ("acme/web/eu", "credentials/prod"),
    ("acme/api/prod", "credentials/prod"),
    ("acme/platform/prod", "credentials/platform"),
];
/// The rulesets, each with its environment.
pub const RULESETS: [(&str, &str); 3] = [
    ("acme/credentials/prod", "prod-signoff"),
    ("acme/credentials/platform", "platform-signoff"),
    ("acme/network/prod", "network-signoff"),
];
/// Who may approve; alice and dave also ask.
pub const REVIEWERS: [&str; 4] = ["bob", "carol", "alice", "dave"];
/// Who asks, and with which token. `ci` is a machine.
pub const REQUESTERS: [&str; 4] = ["alice", "alice", "dave", "ci"];
/// The login of the principal `default`.
pub const PRINCIPAL: &str = "signoff-deployer";
/// What the webhooks are signed with.
pub const WEBHOOK_SECRET: &str = "hook-SECRET";
/// Who may start runs, but not open the environments: their runs fail for a reason that no approval mends.
pub const OUTSIDER: &str = "eve";

/// How far the gates let a request's time be pushed on.
pub const PENDING_EXTENSION_MINUTES: i64 = 30;

/// The access token of somebody.
pub fn token(login: &str) -> String {
    format!("pul-SECRET-{login}")
}

/// The world of a seed.
pub fn world(seed: u64, telling: bool) -> World {
    let plan = Plan::of(seed);
    let gates = gates(&plan, "");
    let now = Timestamp::from_millisecond(BEGINNING).unwrap_or(Timestamp::UNIX_EPOCH);
    let tables = (0..plan.installations).map(|_| Table::new(gates.clone())).collect();
    World {
        now,
        chance: Chance::new(seed ^ 0x5EED),
        cloud: cloud(seed, &plan),
        github: Hub::new(now),
        tables,
        tokens: BTreeMap::from([("default".to_owned(), token(PRINCIPAL))]),
        coverage: Coverage::default(),
        judge: Judge::default(),
        calm: false,
        current: Current::default(),
        reached: None,
        telling,
        late_by: None,
        steps: 0,
        plan,
    }
}

/// The gates, with another line for the first one, or in its place.
pub fn gates(plan: &Plan, change: &str) -> Gates {
    let [pending, grant, access] = plan.periods;
    let common =
        format!("pending-timeout = \"{pending}\"\ngrant-expiration = \"{grant}\"\naccess-duration = \"{access}\"\n");
    let common = common + &conditions(plan);
    let environment = if change.starts_with("environment") { "" } else { "environment = \"acme/credentials/prod\"\n" };
    let of_all = change.starts_with("hold") || change.starts_with("freezes");
    let (hold, change) = if of_all { (change, "") } else { ("", change) };
    // A gate asks for people only for what it lets be asked for.
    let own = if change.starts_with("operations") {
        common.replace("approvals-for = { update = 2 }\n", "")
    } else {
        common.clone()
    };
    let lets_update = !change.starts_with("operations");
    let pushes = |stacks: &[(&str, &str)]| if lets_update { pushes(plan, stacks) } else { String::new() };
    let web_pushes = pushes(&[("acme/web/prod", "main"), ("acme/web/eu", "main")]);
    let order = order(plan, lets_update);
    // The clock comes to stacks that are named in full.
    let full = if plan.pushes.rescue { "\"acme/web/prod\", " } else { "" };
    let web = format!("[[gate]]\nstacks = [{full}\"acme/web/*\"]\n{environment}{own}{change}\n{order}{web_pushes}\n");
    let web = if change == "none" { String::new() } else { web };
    let own = plan.self_approval;
    let logins = if plan.pushes.any { "github-logins = { octo-bob = \"bob\" }\n" } else { "" };
    let api = self::order(plan, true) + &self::pushes(plan, &[("acme/api/prod", "release")]);
    let text = format!(
        "{hold}\n{logins}{web}[[gate]]\nstacks = [\"acme/api/prod\"]\nenvironment = \"acme/credentials/prod\"\nself-approval = {own}\nrequesters = [\"alice\", \"dave\", \"machine:ci\"]\n{common}\n{api}\n[[gate]]\nstacks = [\"acme/platform/prod\"]\nenvironment = \"acme/credentials/platform\"\n{common}"
    );
    match Gates::from_toml(&text) {
        Ok(gates) => gates,
        Err(why) => unreachable!("the simulation's gates are good: {why}\n{text}"),
    }
}

/// The lines that say what becomes of what is older, and of runs that were refused.
fn order(plan: &Plan, with_pushes: bool) -> String {
    let of = &plan.pushes;
    let mut lines = String::new();
    if let (true, Some(allowed)) = (of.any, of.allow_older) {
        lines += &format!("allow-older = {allowed}\n");
    }
    if of.any && with_pushes && of.queue {
        lines += "newer-push = \"queue\"\n";
    }
    if of.any && with_pushes && of.supersede_approved {
        lines += "supersede-approved = true\n";
    }
    if of.rescue {
        lines += "rescue = true\n";
    }
    lines
}

/// The pushes of a gate: each stack with its branch, the second one of them for its own files only.
fn pushes(plan: &Plan, stacks: &[(&str, &str)]) -> String {
    if !plan.pushes.any {
        return String::new();
    }
    let mut text = String::new();
    for (at, (stack, branch)) in stacks.iter().enumerate() {
        text +=
            &format!("[[gate.pushes]]\nrepository = \"{REPOSITORY}\"\nbranch = \"{branch}\"\nstack = \"{stack}\"\n");
        if plan.pushes.paths {
            text += if at == 0 { "paths = [\"infra/**\"]\n" } else { "paths = [\"eu/**\"]\n" };
        }
    }
    text
}

/// The lines that every gate has for the seed's conditions.
fn conditions(plan: &Plan) -> String {
    let mut lines =
        format!("break-glass = [\"dave\", \"bob\"]\npending-extension = \"{PENDING_EXTENSION_MINUTES}m\"\n");
    let conditions = plan.conditions;
    if conditions.windows {
        let quarters = (0..96).map(|quarter| (quarter / 4, quarter % 4 * 15));
        let windows: Vec<_> = quarters
            .map(|(hour, minute)| format!("\"daily {hour:02}:{minute:02}-{hour:02}:{:02}\"", minute + 8))
            .collect();
        lines += &format!("windows = [{}]\n", windows.join(", "));
    }
    if let Some(wait) = conditions.wait {
        lines += &format!("wait = \"{wait}\"\n");
    }
    if conditions.two_people {
        lines += "approvals-for = { update = 2 }\n";
    }
    lines
}

/// A freeze of all gates that began just now and lasts some minutes.
pub fn freeze(now: Timestamp, minutes: i64) -> String {
    let clock = |at: Timestamp| Zone::UTC.clock(at).strftime("%Y-%m-%dT%H:%M").to_string();
    let to = now.saturating_add(SignedDuration::from_mins(minutes)).unwrap_or(now);
    format!("freezes = [{{ from = \"{}\", to = \"{}\", reason = \"not now\" }}]", clock(now), clock(to))
}

fn cloud(seed: u64, plan: &Plan) -> Cloud {
    let mut cloud = Cloud::new(seed);
    cloud.omit_settings_version = plan.omit_version;
    cloud.timing = Timing { accept_ms: 400, run_ms: 8_000 };
    let reviewers = || [Eligible::team("reviewers")];
    cloud
        .organization("acme")
        .person("acme", "alice", "Alice Archer", Role::Member)
        .person("acme", "bob", "Bob Baker", Role::Member)
        .person("acme", "carol", "Carol Chen", Role::Member)
        .person("acme", "dave", "Dave Diaz", Role::Admin)
        .person("acme", PRINCIPAL, "signoff deployer", Role::Member)
        .person("acme", "mallory", "Mallory", Role::Member)
        .person("acme", OUTSIDER, "Eve", Role::Member)
        .machine_token(&token("ci"), "acme", "ci", "acme-ci")
        .team("acme", "reviewers", &["alice", "bob", "carol", "dave", PRINCIPAL])
        .team("acme", "network", &["carol", "bob"])
        .environment("acme/credentials/prod", &[])
        .environment("acme/credentials/platform", &["network/prod"])
        .environment("acme/network/prod", &[])
        .ruleset(
            "acme/credentials/prod",
            Ruleset::open("prod-signoff", plan.required, reviewers()).with_self_approval(),
        )
        .ruleset("acme/credentials/platform", Ruleset::open("platform-signoff", 1, reviewers()))
        .ruleset("acme/network/prod", Ruleset::open("network-signoff", 1, [Eligible::team("network")]));
    for (stack, environment) in STACKS {
        let setup = StackSetup::git("https://github.com/acme/web.git", "refs/heads/main");
        cloud.stack(stack, setup.opens(environment));
        for login in ["alice", "acme-ci", PRINCIPAL, "mallory"] {
            cloud.allow(login, stack, Permission::Write);
            cloud.allow_environment(login, &format!("acme/{environment}"), EnvironmentPermission::Open);
        }
        cloud.allow(OUTSIDER, stack, Permission::Write);
    }
    for login in ["alice", "bob", "carol", "dave", PRINCIPAL, "mallory"] {
        cloud.token(&token(login), login);
    }
    if plan.webhooks {
        for place in 0..plan.installations {
            let on = HookScope::Organization("acme".to_owned());
            cloud.webhook(on, &format!("hook-{place}"), &place.to_string(), WEBHOOK_SECRET, &[]);
        }
        cloud.set_webhook_faults(plan.webhook_faults);
    }
    cloud
}
