//! The server: hands calls to the cloud and carries out what it decides.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::wire::{Breaker, Wires};
use super::{lock, now};
use crate::cloud::{Answer, Call, Cloud, Reply};
use crate::page;

/// The longest body that is taken, in bytes.
const LONGEST_BODY: usize = 10 << 20;
/// How long a caller is kept waiting who does not give up.
const SILENCE: Duration = Duration::from_secs(60);

pub(super) async fn serve(listener: TcpListener, cloud: Arc<Mutex<Cloud>>, mut stopped: watch::Receiver<bool>) {
    let shared = Shared { cloud, stopped: stopped.clone() };
    let service = Router::new().fallback(handle).with_state(shared).into_make_service_with_connect_info::<Breaker>();
    let stop = async move {
        // The sender gone is as good as a stop.
        let _stop = stopped.wait_for(|stopped| *stopped).await;
    };
    if let Err(error) = axum::serve(Wires(listener), service).with_graceful_shutdown(stop).await {
        tracing::error!(%error, "the simulated cloud stopped");
    }
}

#[derive(Clone)]
struct Shared {
    cloud: Arc<Mutex<Cloud>>,
    stopped: watch::Receiver<bool>,
}

async fn handle(
    State(mut shared): State<Shared>,
    ConnectInfo(breaker): ConnectInfo<Breaker>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LONGEST_BODY).await else {
        return response(Reply::error(413, "the request body is too long"));
    };
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut call = Call::new(parts.method.as_str(), target);
    call.token = token(&parts.headers);
    call.accept = parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).map(str::to_owned);
    call.body = body.to_vec();

    let answer = {
        let (mut cloud, now) = (lock(&shared.cloud), now());
        cloud.tick(now);
        if call.path.starts_with("/api/") {
            cloud.exchange(now, &call)
        } else if call.path.starts_with("/sim/page/") {
            Answer::Reply(page::act(&mut cloud, now, &call), 0)
        } else if call.path.starts_with("/sim/") {
            Answer::Reply(cloud.control(now, &call), 0)
        } else {
            Answer::Reply(page::show(&cloud, now, &call), 0)
        }
    };
    match answer {
        Answer::Reply(reply, wait) => {
            shared.wait(Duration::from_millis(u64::from(wait))).await;
            response(reply)
        }
        Answer::Silence => {
            shared.wait(SILENCE).await;
            breaker.break_connection();
            response(Reply::empty(500))
        }
        Answer::Broken => {
            breaker.break_connection();
            response(Reply::empty(500))
        }
    }
}

impl Shared {
    /// Waits, but not beyond the end of the server.
    async fn wait(&mut self, time: Duration) {
        if time.is_zero() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            _ = self.stopped.wait_for(|stopped| *stopped) => {}
        }
    }
}

fn token(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let known = scheme.eq_ignore_ascii_case("token") || scheme.eq_ignore_ascii_case("bearer");
    known.then(|| token.trim().to_owned())
}

fn response(reply: Reply) -> Response {
    let empty = reply.status == 204 || reply.body.is_empty();
    let mut response = Response::new(if empty { Body::empty() } else { Body::from(reply.body) });
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<header::HeaderName>(), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
