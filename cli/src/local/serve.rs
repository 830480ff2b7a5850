//! The server: takes connections, a bounded number at once, and lets nobody keep one by being slow. (On Lambda the API Gateway does that.)

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use signoff_functions::api::Problem;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt;

/// How many connections there are at once; others wait. Well below the number of files that a process may usually have open.
const MAX_CONNECTIONS: usize = 512;
/// How long the head of a request may take, from the connection's beginning or the answer before it; so also how long a connection lies idle.
const HEAD: Duration = Duration::from_secs(20);
/// The largest head that is read, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// How long a call may take from its head to its answer, its body included: as long as the API Gateway gives it on AWS.
const CALL: Duration = Duration::from_secs(30);
/// How long to wait before the next connection when the system gives none, as when there are no more files to be had.
const BREATH: Duration = Duration::from_millis(200);

/// Serves until `stopped` says so, and then until what is in hand is answered.
pub(super) async fn serve(listener: TcpListener, router: Router, mut stopped: watch::Receiver<bool>) {
    let router = router.layer(axum::middleware::from_fn(within_its_time));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MAX_HEAD);
    let (places, graceful) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), GracefulShutdown::new());
    let mut stop = pin!(stopped.wait_for(|stopped| *stopped));
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        // An answer is written at once or not at all: there is nothing to gather. Where it can't be switched off, it is slower.
        let _ = stream.set_nodelay(true);
        let service = router.clone().map_request(|request: hyper::Request<Incoming>| request.map(Body::new));
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A connection that breaks, or was too slow, is its client's affair.
            let _ = connection.await;
            drop(place);
        });
    }
    graceful.shutdown().await;
}

/// Gives up a call that does not come to its end. That is no different from a client that goes away: what is recorded is recorded whole.
async fn within_its_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(CALL, next.run(request)).await.unwrap_or_else(|_| {
        tracing::warn!(seconds = CALL.as_secs(), "a call was given up: it did not come to its end");
        Problem::unavailable("The call did not come to its end in time; send it again, and all of it at once.", 1)
            .into_response()
    })
}
