//! A ready-made organization for demos and tests.

use crate::cloud::{Cloud, Eligible, EnvironmentPermission, Permission, Role, Ruleset, StackSetup};

/// The organization `acme`.
///
/// People: alice asks (write on the stacks), bob and carol review, dave administers, erin reads; `signoff-deployer` is
/// the principal; the machine token `ci` belongs to a pipeline. Each has the token `pul-` and their login. The stacks
/// `web/prod` and `api/prod` open the environment `credentials/prod`, which takes one approval by a reviewer (alice
/// is one too, so that her approval of what she herself asked for can be seen not to count); `web/staging` opens `credentials/staging`, which takes none; `platform/prod` opens `credentials/platform`, which is
/// gated itself and imports the gated `network/prod`.
pub fn acme(seed: u64) -> Cloud {
    let mut cloud = Cloud::new(seed);
    let reviewers = || [Eligible::team("reviewers")];
    cloud
        .organization("acme")
        .person("acme", "alice", "Alice Archer", Role::Member)
        .person("acme", "bob", "Bob Baker", Role::Member)
        .person("acme", "carol", "Carol Chen", Role::Member)
        .person("acme", "dave", "Dave Diaz", Role::Admin)
        .person("acme", "erin", "Erin Evans", Role::Member)
        .person("acme", "signoff-deployer", "signoff deployer", Role::Member)
        .machine_token("pul-ci", "acme", "ci", "acme-ci")
        .team("acme", "reviewers", &["alice", "bob", "carol"])
        .team("acme", "network", &["carol"])
        .environment("acme/credentials/prod", &[])
        .environment("acme/credentials/staging", &[])
        .environment("acme/credentials/platform", &["network/prod", "credentials/staging"])
        .environment("acme/network/prod", &[])
        .ruleset("acme/credentials/prod", Ruleset::open("prod-signoff", 1, reviewers()))
        .ruleset("acme/credentials/platform", Ruleset::open("platform-signoff", 1, reviewers()))
        .ruleset("acme/network/prod", Ruleset::open("network-signoff", 1, [Eligible::team("network")]));
    for (stack, environment) in [
        ("acme/web/prod", "credentials/prod"),
        ("acme/web/staging", "credentials/staging"),
        ("acme/api/prod", "credentials/prod"),
        ("acme/platform/prod", "credentials/platform"),
    ] {
        let project = stack.split('/').nth(1).unwrap_or_default();
        let repository = format!("https://github.com/acme/{project}.git");
        cloud.stack(stack, StackSetup::git(&repository, "refs/heads/main").opens(environment));
        for login in ["alice", "acme-ci", "signoff-deployer"] {
            cloud.allow(login, stack, Permission::Write);
        }
        let environment = format!("acme/{environment}");
        for login in ["alice", "acme-ci", "signoff-deployer"] {
            cloud.allow_environment(login, &environment, EnvironmentPermission::Open);
        }
    }
    for login in ["alice", "bob", "carol", "dave", "erin", "signoff-deployer"] {
        cloud.token(&format!("pul-{login}"), login);
    }
    cloud
}
