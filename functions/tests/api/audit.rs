//! `GET /v1/audit`.

use serde_json::Value;
use signoff_core::event::{Event, RestsOn};
use signoff_core::host::Host;
use signoff_core::request::{Outcome, State};

use crate::setup::{World, want};

async fn export(world: &World, query: &str) -> (Vec<Value>, usize) {
    let (mut events, mut pages, mut path) = (Vec::new(), 0, format!("/v1/audit{query}"));
    loop {
        let answer = world.get("admin", &path).await;
        assert_eq!(answer.status.as_u16(), 200, "{:?}", answer.bytes);
        assert_eq!(answer.header("content-type"), "application/x-ndjson");
        assert!(answer.bytes.len() <= 4_000_000);
        let text = String::from_utf8(answer.bytes.to_vec()).unwrap();
        events.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        pages += 1;
        match answer.header("link") {
            "" => return (events, pages),
            link => {
                let url = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
                path = url.strip_prefix("https://signoff.example").unwrap().to_owned();
            }
        }
    }
}

#[tokio::test]
async fn the_export_is_for_admins() {
    let world = World::new().await;
    for login in ["alice", "visitor"] {
        world.get(login, "/v1/audit").await.problem(403);
    }
    world.get("admin", "/v1/audit?organization=globex").await.problem(404);
    for (bad, said) in [
        ("?since=yesterday", "since has to be a time, such as 2026-11-23T08:00:00Z."),
        ("?until=2026-11-23", "until has to be a time, such as 2026-11-23T08:00:00Z."),
        ("?since=2026-11-24T00:00:00Z&until=2026-11-23T00:00:00Z", "since is later than until; swap them."),
        ("?since=2999-01-01T00:00:00Z", "since is in the future; give a time that has passed."),
        ("?cursor=00", "The cursor is not one of this export; begin again without it."),
    ] {
        assert_eq!(world.get("admin", &format!("/v1/audit{bad}")).await.problem(400)["detail"], said);
    }
}

#[tokio::test]
async fn it_has_the_organizations_events_of_the_time_in_their_order() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(world.asked().await.to_string());
        world.host.forward(12 * 60 * 60);
    }
    world.ask("stranger", want("globex/web/prod")).await.ok(202);
    let subjects =
        |events: &[Value]| events.iter().map(|e| e["subject"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let (events, pages) = export(&world, "?since=2026-11-01T00:00:00Z").await;
    assert_eq!((subjects(&events), pages), (ids.clone(), 1));
    assert_eq!(events[0]["source"], "signoff/acme");
    assert_eq!(world.host.now().to_string(), "2026-11-25T12:00:00Z");
    assert_eq!(subjects(&export(&world, "").await.0), ids[2..], "the last day, if nobody says");
    let (events, _) = export(&world, "?since=2026-11-23T12:00:00Z&until=2026-11-24T12:00:00Z").await;
    assert_eq!(subjects(&events), ids[..2], "from since on, and before until");
    let (events, pages) = export(&world, "?since=2026-01-01T00:00:00Z&until=2036-01-01T00:00:00Z").await;
    assert_eq!(subjects(&events), ids);
    assert!(pages > 5, "a long time is looked through in several answers");
}

#[tokio::test]
async fn large_exports_come_in_pages() {
    let world = World::new().await;
    let message = "é".repeat(90_000);
    for n in 0..30 {
        let shown = world.ask("admin", want(&format!("acme/s{n}/prod"))).await.ok(202);
        let id = shown["id"].as_str().unwrap().parse().unwrap();
        let outcome = Outcome::new("expired", message.clone());
        world.record(id, Event::EndDecided { to: State::Expired, outcome, rests_on: RestsOn::default() }).await;
        world.host.forward(1);
    }
    let (events, pages) = export(&world, "").await;
    assert_eq!(events.len(), 60);
    assert!((2..=4).contains(&pages), "{pages} pages for 5.4 MB");
    let times: Vec<_> = events.iter().map(|event| event["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "in the order of their times");
    let ids: std::collections::BTreeSet<_> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len(), "each once");
}

#[tokio::test]
async fn an_event_that_cant_be_read_is_named_and_leaves_no_gap() {
    let world = World::new().await;
    let sound = world.asked().await;
    world.host.forward(60);
    let broken = world.asked().await;
    world.edit(broken, "\"specversion\":\"1.0\"", "\"specversion\":1").await;
    let detail = world.get("admin", "/v1/audit").await.problem(500)["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(&format!("REQ#{broken} EVT#0000000001: ")), "{detail}");
    let (events, _) = export(&world, "?until=2026-11-23T12:00:30Z").await;
    assert_eq!(events.iter().map(|event| &event["subject"]).collect::<Vec<_>>(), [&Value::from(sound.to_string())]);
}
