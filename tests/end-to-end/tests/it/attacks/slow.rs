//! Clients that take their time.

use std::time::Duration;

use reqwest::Method;
use signoff_tests::{Setup, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::{connect, status};

/// How many dawdle at once.
const DAWDLERS: usize = 100;
/// How soon everybody else is served all the same.
const SOON: Duration = Duration::from_secs(5);
/// By when a call that does not come to its end is given up.
const GIVEN_UP: Duration = Duration::from_secs(45);
/// For so long no idle connection is closed: a head may take 20 s.
const FULL: Duration = Duration::from_secs(15);

#[tokio::test]
async fn whoever_sends_a_byte_a_second_holds_nobody_up_and_is_given_up() {
    let gate = Setup::new().start().await;
    let mut dawdlers = Vec::new();
    for n in 0..DAWDLERS {
        let mut stream = connect(&gate).await;
        let head = match n % 4 {
            0 => "",
            1 => "GET /healthz HTTP/1.1\r\nx-slow: ",
            2 => "POST /webhooks/pulumi HTTP/1.1\r\nhost",
            // A body that would take a month.
            _ => "POST /webhooks/pulumi HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n",
        };
        stream.write_all(head.as_bytes()).await.expect("it takes connections");
        dawdlers.push(tokio::spawn(async move {
            let mut answer = [0; 64];
            loop {
                // One byte after the other, until the gate has enough of it.
                tokio::select! {
                    read = stream.read(&mut answer) => match read {
                        Ok(0) | Err(_) => return,
                        Ok(_) => {}
                    },
                    () = tokio::time::sleep(Duration::from_secs(1)) => {
                        if stream.write_all(b"a").await.is_err() {
                            return;
                        }
                    }
                }
            }
        }));
    }
    for _ in 0..5 {
        let served = tokio::time::timeout(SOON, gate.call("alice", Method::GET, "/v1/gates", None)).await;
        assert_eq!(served.expect("everybody else is served").status, 200);
    }
    let id = gate.ask("alice", super::STACK, "update").await;
    gate.approve("bob", &id).await;
    gate.expect_state(&id, "succeeded").await;
    let gone = until(GIVEN_UP, async || dawdlers.iter().all(tokio::task::JoinHandle::is_finished).then_some(())).await;
    assert!(gone.is_some(), "a connection that sends a byte a second is kept for ever");
    gate.finish().await;
}

#[tokio::test]
async fn more_connections_than_there_are_places_are_served_when_places_are_free() {
    let gate = Setup::new().start().await;
    let began = Instant::now();
    let mut idle = Vec::new();
    for _ in 0..600 {
        idle.push(connect(&gate).await);
    }
    let mut last = connect(&gate).await;
    last.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("it is taken");
    let mut answer = Vec::new();
    let full = FULL.saturating_sub(began.elapsed());
    assert!(full > Duration::from_secs(1), "connecting took too long to see whether there is a limit");
    let early = tokio::time::timeout(full, last.read_to_end(&mut answer)).await;
    assert!(early.is_err() && answer.is_empty(), "it was served although there was no place: {early:?}");
    // The idle ones are closed after a while, and then it is everybody else's turn.
    let served = tokio::time::timeout(GIVEN_UP, last.read_to_end(&mut answer)).await;
    assert!(served.is_ok(), "idle connections keep everybody else out");
    assert_eq!(status(&String::from_utf8_lossy(&answer)), 200);
    drop(idle);
    gate.finish().await;
}
