//! The five roles as tasks: each the real code over the simulated ledger, cloud and clock.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use aws_lambda_events::event::dynamodb::EventRecord;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use signoff_core::branches::Branches;
use signoff_core::ledger::LedgerError;
use signoff_core::look::Gatekeeper;
use signoff_core::request::Worker;
use signoff_core::sweep::sweep;
use signoff_functions::api::{self, Api};
use signoff_functions::pulumi::{CallerClient, PrincipalClient, PulumiClient};
use signoff_functions::receive::{self, Receive, WebhookSecrets};
use signoff_functions::secrets::{Secret, Tokens};
use signoff_functions::stream::{Pushes, work_on};
use tower::ServiceExt;

use crate::github::{self, SimGitHub};
use crate::host::SimHost;
use crate::judge::installation;
use crate::ledger::SimLedger;
use crate::setup::WEBHOOK_SECRET;
use crate::wire::SimCarrier;
use crate::world::Shared;

/// What came of a task.
#[derive(Debug)]
pub enum Done {
    /// A record was worked on, or the sweep was over.
    Worked(Result<(), LedgerError>),
    /// A call to the API or the door was answered: status and body.
    Answered(u16, String),
}

/// A task.
pub type Running = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What tasks are made of.
#[derive(Debug, Clone)]
pub struct Roles {
    shared: Shared,
    client: PulumiClient,
}

/// A call to the API or the door.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The path.
    pub path: String,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Roles {
    /// The roles of this world.
    pub fn new(shared: &Shared) -> Self {
        Self { shared: shared.clone(), client: PulumiClient::carried(Arc::new(SimCarrier::new(shared))) }
    }

    /// A worker works on stream records, on a machine whose clock is off by so many milliseconds: all at once and in one process, as
    /// [`signoff_functions::stream::handle`] does.
    pub fn work(&self, place: usize, skew: i64, worker: Worker, records: Vec<EventRecord>) -> Vec<Running> {
        let (tokens, timing, pushed) = {
            let world = self.shared.world();
            let tokens =
                world.tokens.iter().filter_map(|(name, token)| Some((name.parse().ok()?, Secret::new(token)?)));
            (tokens.collect::<HashMap<_, _>>(), world.plan.timing, world.plan.pushes.any)
        };
        let keeper = Gatekeeper {
            ledger: SimLedger::new(&self.shared, place),
            cloud: PrincipalClient::new(self.client.clone(), Tokens::Given(tokens)),
            host: SimHost::new(&self.shared, skew),
            installation: installation(place).to_owned(),
            link: Some("https://signoff.example.com/v1/requests/".to_owned()),
            timing,
        };
        let branches = Branches {
            ledger: keeper.ledger.clone(),
            github: SimGitHub::new(&self.shared),
            cloud: keeper.cloud.clone(),
            host: keeper.host.clone(),
            sweep: timing.sweep,
        };
        let (keeper, branches) = (Arc::new(keeper), Arc::new(branches));
        let work = |record: EventRecord| -> Running {
            let (keeper, branches) = (Arc::clone(&keeper), Arc::clone(&branches));
            Box::pin(async move {
                let pushes: Option<&dyn Pushes> = if pushed { Some(&*branches) } else { None };
                Done::Worked(work_on(&keeper, pushes, worker, &record).await)
            })
        };
        records.into_iter().map(work).collect()
    }

    /// A sweep.
    pub fn sweep(&self, place: usize, skew: i64) -> Running {
        let (ledger, host) = (SimLedger::new(&self.shared, place), SimHost::new(&self.shared, skew));
        let every = self.shared.world().plan.timing.sweep;
        Box::pin(async move { Done::Worked(sweep(&ledger, &host, every).await.map(|_| ())) })
    }

    /// A call to the HTTP API.
    pub fn api(&self, place: usize, skew: i64, asked: &Asked) -> Running {
        let sweep = self.shared.world().plan.timing.sweep;
        let api = Api {
            ledger: Arc::new(SimLedger::new(&self.shared, place)),
            callers: Arc::new(CallerClient::new(self.client.clone())),
            host: Arc::new(SimHost::new(&self.shared, skew)),
            public_url: "https://signoff.example.com".to_owned(),
            console_url: self.client.console_url().to_owned(),
            version: "simulated".to_owned(),
            sweep,
        };
        answer(api::router(api), asked)
    }

    /// A delivery to the webhook door.
    pub fn door(&self, place: usize, skew: i64, asked: &Asked) -> Running {
        let Some(current) = Secret::new(WEBHOOK_SECRET) else { unreachable!("it is not empty") };
        let github = Secret::new(github::SECRET).filter(|_| self.shared.world().plan.pushes.any);
        let receive = Receive {
            ledger: Arc::new(SimLedger::new(&self.shared, place)),
            secrets: WebhookSecrets { current, previous: None },
            github: github.map(|current| WebhookSecrets { current, previous: None }),
            host: Arc::new(SimHost::new(&self.shared, skew)),
        };
        answer(receive::router(receive), asked)
    }
}

fn answer(router: Router, asked: &Asked) -> Running {
    let mut request = Request::post(&asked.path);
    for (name, value) in &asked.headers {
        request = request.header(*name, value);
    }
    let request = request.body(Body::from(asked.body.clone()));
    Box::pin(async move {
        let Ok(request) = request else { return Done::Answered(0, "a call that can't be made".to_owned()) };
        let Ok(response) = router.oneshot(request).await;
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap_or_default();
        Done::Answered(status, String::from_utf8_lossy(&body).into_owned())
    })
}
