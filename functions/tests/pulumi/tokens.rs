//! Where the tokens come from, and what becomes of one that is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Region};
use jiff::Timestamp;
use pulumi_sim::{Sim, SimConfig, seed};
use serde_json::json;
use signoff_core::cloud::{CloudError, PulumiCloud};
use signoff_core::host::Host;
use signoff_core::names::PrincipalName;
use signoff_functions::pulumi::PrincipalClient;
use signoff_functions::secrets::{CACHED_FOR, FAILED_FOR, REREAD_AFTER, Secret, SecretsManager, Tokens};

use super::fixture::{Fake, TOKEN, impatient, name, principal_of, secret};

/// A clock that stands until it is moved.
#[derive(Default)]
struct Clock(AtomicU64);

impl Clock {
    fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_secs(), Ordering::Relaxed);
    }
}

impl Host for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }

    fn ulid(&self) -> ulid::Ulid {
        ulid::Ulid::nil()
    }
}

/// Tokens in a Secrets Manager that is played.
fn stored(fake: &Fake, clock: &Arc<Clock>) -> Tokens {
    let config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .endpoint_url(&fake.url)
        .retry_config(RetryConfig::disabled())
        .allow_no_auth()
        .build();
    Tokens::Stored {
        manager: SecretsManager::new(|| aws_sdk_secretsmanager::Client::from_conf(config), clock.clone()),
        prefix: "signoff/tokens/".to_owned(),
    }
}

fn value(text: &str) -> String {
    json!({"Name": "signoff/tokens/default", "SecretString": text}).to_string()
}

#[test]
fn an_empty_secret_is_a_missing_one_and_none_is_shown() {
    assert_eq!(Secret::new(" \n"), None);
    assert_eq!(secret(" pul-x\n").expose(), "pul-x");
    assert_eq!(format!("{:?}", Some(secret("pul-x"))), "Some(***)");
}

#[tokio::test]
async fn a_stored_token_is_read_again_after_five_minutes() {
    let (fake, clock, principal) = (Fake::start().await, Arc::new(Clock::default()), PrincipalName::default());
    let tokens = stored(&fake, &clock);
    fake.say(200, &value("one"));
    assert_eq!(tokens.get(&principal).await, Ok(secret("one")));
    fake.say(200, &value("two"));
    clock.0.store(CACHED_FOR.as_secs() - 1, Ordering::Relaxed);
    assert_eq!(tokens.get(&principal).await, Ok(secret("one")));
    clock.0.store(CACHED_FOR.as_secs(), Ordering::Relaxed);
    assert_eq!(tokens.get(&principal).await, Ok(secret("two")));
    assert_eq!(fake.asked().len(), 2);
    assert_eq!(tokens.refresh(&principal, &secret("one")).await, Ok(secret("two")));
    assert_eq!(fake.asked().len(), 2, "somebody else had refreshed it");

    fake.say(200, &value(" "));
    assert!(tokens.refresh(&principal, &secret("two")).await.is_err());
    assert_eq!(tokens.get(&principal).await, Ok(secret("two")), "what was known stays so for its time");
    clock.pass(CACHED_FOR);
    fake.say(400, &json!({"__type": "ResourceNotFoundException", "message": "no"}).to_string());
    let error = tokens.get(&principal).await.unwrap_err().to_string();
    assert!(error.contains("signoff/tokens/default") && error.contains("ResourceNotFoundException"), "{error}");
    let asked = fake.asked().len();
    fake.say(200, &value("three"));
    assert!(tokens.get(&principal).await.is_err() && fake.asked().len() == asked, "it is left alone for a while");
    clock.pass(FAILED_FOR);
    assert_eq!(tokens.get(&principal).await, Ok(secret("three")));
    assert!(!format!("{tokens:?}").contains("two"));
}

/// Whose it is was asked with the token before: an apply or a deployment with another one might be somebody else's.
#[tokio::test]
async fn what_changes_something_is_not_sent_again_with_another_token() {
    let (secrets, cloud, clock) = (Fake::start().await, Fake::start().await, Arc::new(Clock::default()));
    let principal = PrincipalName::default();
    let client = PrincipalClient::new(impatient(&cloud.url), stored(&secrets, &clock));
    secrets.say(200, &value("one"));
    cloud.say(401, "{}");
    assert!(matches!(client.identity(&principal).await, Err(CloudError::Unauthorized(_))));
    clock.pass(REREAD_AFTER);
    secrets.say(200, &value("two"));
    let before = cloud.asked().len();
    let applied = client.apply(&principal, &name("acme"), "cr1").await;
    assert!(matches!(applied, Err(CloudError::Unauthorized(_))), "{applied:?}");
    assert_eq!(cloud.asked().len(), before + 1);
    cloud.json(&json!({"githubLogin": "signoff-deployer", "organizations": []}));
    let identity = client.identity(&principal).await;
    assert!(identity.is_ok(), "the next look asks with the new one: {identity:?}");
}

#[tokio::test]
async fn a_token_that_is_refused_again_and_again_is_read_again_four_times_a_minute() {
    let (fake, clock, principal) = (Fake::start().await, Arc::new(Clock::default()), PrincipalName::default());
    let tokens = stored(&fake, &clock);
    fake.say(200, &value("one"));
    assert_eq!(tokens.get(&principal).await, Ok(secret("one")));
    for _ in 0..60 {
        assert_eq!(tokens.refresh(&principal, &secret("one")).await, Ok(secret("one")));
        clock.pass(Duration::from_secs(1));
    }
    assert_eq!(fake.asked().len(), 1 + 4);
    fake.say(200, &value("two"));
    assert_eq!(tokens.refresh(&principal, &secret("one")).await, Ok(secret("two")), "one that was replaced is found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_token_works_without_a_restart() {
    let sim = Sim::start(SimConfig::new(seed::acme(4))).await.unwrap();
    let (fake, clock, principal) = (Fake::start().await, Arc::new(Clock::default()), PrincipalName::default());
    let client = impatient(&sim.url());
    let cloud = PrincipalClient::new(client.clone(), stored(&fake, &clock));
    fake.say(200, &value(TOKEN));
    cloud.identity(&principal).await.unwrap();
    sim.cloud().rotate_token(TOKEN, "pul-new");
    assert!(matches!(cloud.identity(&principal).await, Err(CloudError::Unauthorized(_))));
    assert_eq!(client.calls()[&("GET", "/api/user", 401)], 1, "the same token is not tried twice");
    fake.say(200, &value("pul-new"));
    clock.pass(REREAD_AFTER);
    cloud.identity(&principal).await.unwrap();
    cloud.identity(&principal).await.unwrap();
    assert_eq!(client.calls()[&("GET", "/api/user", 401)], 2);
    assert_eq!(fake.asked().len(), 3);

    sim.cloud().revoke_token("pul-new");
    fake.say(200, &value("pul-also-wrong"));
    clock.pass(REREAD_AFTER);
    assert!(matches!(cloud.identity(&principal).await, Err(CloudError::Unauthorized(_))));
    assert_eq!(client.calls()[&("GET", "/api/user", 401)], 4, "once more, and no more than that");
}

#[tokio::test]
async fn a_principal_without_a_usable_token_makes_no_call() {
    let fake = Fake::start().await;
    let client = impatient(&fake.url);
    let nobody = principal_of(client.clone()).identity(&name("payments")).await;
    assert!(matches!(nobody, Err(CloudError::Unauthorized(why)) if why.contains("payments")));
    let broken = Tokens::Given([(PrincipalName::default(), secret("pul\n-x"))].into());
    let refused = PrincipalClient::new(client, broken).identity(&PrincipalName::default()).await;
    assert!(matches!(&refused, Err(CloudError::Unauthorized(why)) if !why.contains("pul")), "{refused:?}");
    assert!(fake.asked().is_empty());
}
