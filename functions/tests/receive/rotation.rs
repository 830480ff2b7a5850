//! The webhook's secret in Secrets Manager: when it is read, and what a rotation does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Region};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use signoff_core::host::Host;
use signoff_functions::dynamo::Dynamo;
use signoff_functions::receive::{Receive, StoredSecrets, router};
use signoff_functions::secrets::{CACHED_FOR, FAILED_FOR, REREAD_AFTER, SecretsManager};
use ulid::Ulid;

use super::{BODY, deliver, send, store};

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
    fn ulid(&self) -> Ulid {
        Ulid::from_parts(1, 1)
    }
}

/// A Secrets Manager that is played: secrets by their names, and how often it was asked.
#[derive(Clone, Default)]
struct Vault(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    secrets: HashMap<String, String>,
    asked: usize,
}

impl Vault {
    async fn answer(State(vault): State<Self>, body: String) -> (StatusCode, String) {
        let name = serde_json::from_str::<Value>(&body).unwrap()["SecretId"].as_str().unwrap().to_owned();
        let mut inner = vault.0.lock().unwrap();
        inner.asked += 1;
        match inner.secrets.get(&name) {
            Some(secret) => (StatusCode::OK, json!({"Name": name, "SecretString": secret}).to_string()),
            None => (StatusCode::BAD_REQUEST, json!({"__type": "ResourceNotFoundException"}).to_string()),
        }
    }

    fn keep(&self, name: &str, secret: &str) {
        self.0.lock().unwrap().secrets.insert(name.to_owned(), secret.to_owned());
    }

    fn forget(&self, name: &str) {
        self.0.lock().unwrap().secrets.remove(name);
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().asked
    }
}

struct Door {
    vault: Vault,
    clock: Arc<Clock>,
    router: Router,
}

/// A door on a fresh store whose secrets are `current` and, if there is to be one, `previous`.
async fn door(has_previous: bool) -> Door {
    let (vault, clock) = (Vault::default(), Arc::new(Clock::default()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let played = Router::new().fallback(Vault::answer).with_state(vault.clone());
    tokio::spawn(async move { axum::serve(listener, played).await });
    let config = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .endpoint_url(url)
        .retry_config(RetryConfig::disabled())
        .allow_no_auth()
        .build();
    let secrets = StoredSecrets {
        manager: SecretsManager::new(|| aws_sdk_secretsmanager::Client::from_conf(config), clock.clone()),
        current: "current".to_owned(),
        previous: has_previous.then(|| "previous".to_owned()),
    };
    let ledger = Arc::new(Dynamo::new(store().await, "signoff".to_owned()));
    let router = router(Receive { ledger, secrets, github: None, host: clock.clone() });
    Door { vault, clock, router }
}

#[tokio::test]
async fn the_secret_is_read_when_a_signature_has_to_be_checked_and_kept_for_five_minutes() {
    let door = door(false).await;
    door.vault.keep("current", "one");
    assert_eq!(send(&door.router, &[], BODY).await.0, 401);
    assert_eq!(door.vault.asked(), 0, "what has no signature costs no call");
    for id in ["d-1", "d-2", "d-3"] {
        assert_eq!(deliver(&door.router, "one", id, BODY).await.0, 202);
    }
    assert_eq!(door.vault.asked(), 1);
    door.clock.pass(CACHED_FOR);
    assert_eq!(deliver(&door.router, "one", "d-4", BODY).await.0, 202);
    assert_eq!(door.vault.asked(), 2);
}

#[tokio::test]
async fn a_rotation_loses_no_delivery_and_takes_no_restart() {
    let door = door(true).await;
    door.vault.keep("current", "one");
    assert_eq!(deliver(&door.router, "one", "d-1", BODY).await.0, 202, "without one before it too");
    door.clock.pass(FAILED_FOR);
    door.vault.keep("previous", "one");
    door.vault.keep("current", "two");
    assert_eq!(deliver(&door.router, "one", "d-2", BODY).await.0, 202);
    assert_eq!(deliver(&door.router, "two", "d-3", BODY).await.0, 202, "the first delivery with the new one");
    assert_eq!(deliver(&door.router, "one", "d-4", BODY).await.0, 202, "and the last with the old one");
    door.vault.forget("previous");
    door.clock.pass(CACHED_FOR);
    assert_eq!(deliver(&door.router, "one", "d-5", BODY).await.0, 401, "when it is over, the old one is none");
    assert_eq!(deliver(&door.router, "two", "d-6", BODY).await.0, 202);
}

#[tokio::test]
async fn a_flood_of_bad_signatures_costs_four_reads_a_minute() {
    let door = door(false).await;
    door.vault.keep("current", "one");
    assert_eq!(deliver(&door.router, "one", "d-0", BODY).await.0, 202);
    for second in 0..60 {
        for _ in 0..5 {
            assert_eq!(deliver(&door.router, "wrong", &format!("d-{second}"), BODY).await.0, 401);
        }
        door.clock.pass(Duration::from_secs(1));
    }
    assert_eq!(door.vault.asked(), 1 + 4);
    door.vault.keep("current", "two");
    door.clock.pass(REREAD_AFTER);
    assert_eq!(deliver(&door.router, "two", "d-60", BODY).await.0, 202);
}

#[tokio::test]
async fn without_a_secret_nothing_is_taken_and_secrets_manager_is_not_pestered() {
    let door = door(false).await;
    assert_eq!(deliver(&door.router, "one", "d-1", BODY).await.0, 503);
    door.vault.keep("current", " ");
    door.clock.pass(FAILED_FOR);
    assert_eq!(deliver(&door.router, " ", "d-1", BODY).await.0, 503, "an empty secret is a missing one");
    for _ in 0..10 {
        assert_eq!(deliver(&door.router, "", "d-1", BODY).await.0, 503);
    }
    assert_eq!(door.vault.asked(), 2);
    door.vault.keep("current", "one");
    door.clock.pass(FAILED_FOR);
    assert_eq!(deliver(&door.router, "one", "d-1", BODY).await.0, 202);
}

#[tokio::test]
async fn while_secrets_manager_is_out_what_is_known_stays_good_for_its_time() {
    let door = door(false).await;
    door.vault.keep("current", "one");
    assert_eq!(deliver(&door.router, "one", "d-1", BODY).await.0, 202);
    door.vault.forget("current");
    assert_eq!(deliver(&door.router, "wrong", "d-2", BODY).await.0, 401);
    assert_eq!(deliver(&door.router, "one", "d-3", BODY).await.0, 202);
    door.clock.pass(CACHED_FOR);
    assert_eq!(deliver(&door.router, "one", "d-4", BODY).await.0, 503);
}
