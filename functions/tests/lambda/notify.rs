//! Word gets round: the function sends what is due, with a secret from Secrets Manager, and nothing that it could not send is lost.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::emulator::until;
use crate::world::World;

pub(crate) const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Whoever listens.
#[derive(Clone, Default)]
pub(crate) struct Ears(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    taken: Vec<(HeaderMap, Value)>,
    answer: StatusCode,
}

impl Ears {
    pub(crate) async fn start() -> (Self, String) {
        let ears = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().fallback(Self::take).with_state(ears.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (ears, url)
    }

    async fn take(State(ears): State<Self>, headers: HeaderMap, body: String) -> StatusCode {
        let mut inside = ears.0.lock().unwrap();
        if inside.answer == StatusCode::OK {
            inside.taken.push((headers, serde_json::from_str(&body).unwrap()));
        }
        inside.answer
    }

    fn answer(&self, status: StatusCode) {
        self.0.lock().unwrap().answer = status;
    }

    fn types(&self) -> Vec<String> {
        self.0.lock().unwrap().taken.iter().map(|one| one.1["type"].as_str().unwrap().to_owned()).collect()
    }
}

/// The schedule wakes both that it is for.
async fn tick(world: &World) {
    for name in ["reconcile", "notify"] {
        world.tick(name).await;
    }
}

#[tokio::test]
async fn what_is_due_is_sent_signed_and_once() {
    let (ears, url) = Ears::start().await;
    let mut world = World::start("notify").await;
    world.secret("signoff-test/channels/log", KEY).await;
    let channel = format!("[[channel]]\nname = \"log\"\nkind = \"webhook\"\nurl = \"{url}\"\n");
    world.gates(&channel, "notices = [{ channel = \"log\" }]\n").await;
    world.run(&["api", "apply", "deploy", "reconcile", "notify"]);
    let id = world.ask("acme/web/prod").await;
    world.expect_state(&id, "pending_approval", async |_| {}).await;
    tick(&world).await;
    tick(&world).await;
    assert_eq!(ears.types(), ["signoff.request.waiting"]);
    // Whoever listens is away for a while; the request goes on.
    ears.answer(StatusCode::SERVICE_UNAVAILABLE);
    world.approve("bob", &id);
    world.expect_state(&id, "succeeded", tick).await;
    ears.answer(StatusCode::OK);
    until("the end to be told", async || {
        tick(&world).await;
        ears.types().into_iter().find(|word| word.ends_with(".over"))
    })
    .await;
    let first = ears.0.lock().unwrap().taken[0].clone();
    assert!(first.0["webhook-signature"].to_str().unwrap().starts_with("v1,"));
    assert_eq!(first.1["data"]["request"]["id"], id.as_str());
    assert_eq!(first.1["data"]["link"], format!("https://signoff.example.com/v1/requests/{id}"));
    let log = world.emulator.log("notify");
    assert!(log.contains(r#""Namespace":"signoff/test""#), "{log}");
    assert!(log.contains("\"Notices\":1") && log.contains("a notice could not be sent"), "{log}");
    assert!(!log.contains(KEY), "the log holds the key");
    world.finish();
}
