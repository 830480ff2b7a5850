//! What Pulumi Cloud, or whoever pretends to be it, answers.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use signoff_core::cloud::{CloudError, NewDeployment, PulumiCloud};
use signoff_core::names::{EnvironmentName, Operation, Organization, PrincipalName, StackName};
use signoff_functions::pulumi::{CallerClient, Carried, Carrier, Letter, PrincipalClient, PulumiClient};
use signoff_functions::secrets::{Secret, Tokens};

use crate::wait;

const TOKEN: &str = "pul-0123456789abcdef0123456789abcdef";
/// The longest that an error's text may be, in bytes: 300 characters of somebody else's, and our own words.
const MAX_TEXT: usize = 2_000;

/// Answers every call with the same.
#[derive(Debug)]
struct Canned {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Carrier for Canned {
    fn carry(&self, _: Letter) -> Pin<Box<dyn Future<Output = Option<Carried>> + Send + '_>> {
        let answer = Carried { status: self.status, headers: self.headers.clone(), body: self.body.clone() };
        Box::pin(async move { Some(answer) })
    }
}

/// The first byte stands for the status, the rest up to the first line's end for `Retry-After`, and what follows is the body. Every call is made.
pub(crate) fn answers(bytes: &[u8]) {
    let Some((status, rest)) = bytes.split_first() else { return };
    let (after, body) = match rest.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&rest[..end], &rest[end + 1..]),
        None => (&[][..], rest),
    };
    const STATUSES: [u16; 16] = [200, 200, 200, 200, 201, 204, 301, 400, 401, 403, 404, 408, 409, 429, 500, 503];
    let status = STATUSES[usize::from(*status) % STATUSES.len()];
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(after) {
        headers.insert(RETRY_AFTER, value);
    }
    let client = PulumiClient::carried(Arc::new(Canned { status, headers, body: body.to_vec() }));
    wait(every_call(client));
}

async fn every_call(client: PulumiClient) {
    let token = Secret::new(TOKEN).expect("a token is not empty");
    let me = PrincipalName::default();
    let cloud = PrincipalClient::new(client.clone(), Tokens::Given(HashMap::from([(me.clone(), token.clone())])));
    let caller = CallerClient::new(client);
    let organization: Organization = "acme".parse().expect("an organization");
    let stack: StackName = "acme/web/prod".parse().expect("a stack");
    let environment: EnvironmentName = "acme/credentials/prod".parse().expect("an environment");
    let since = jiff::Timestamp::UNIX_EPOCH;
    let deployment = NewDeployment {
        stack: stack.clone(),
        operation: Operation::Update,
        commit: None,
        mark: "req_01KAT5D8Q2Z3V7XN4W6M9RCY1B".parse().expect("a request's id"),
    };
    fine(cloud.identity(&me).await);
    fine(cloud.settings(&me, &stack).await);
    fine(cloud.rulesets(&me, &environment).await);
    fine(cloud.request_open(&me, &environment, 3_600, 3_600).await);
    fine(cloud.durations(&me, &environment, "cr-1").await);
    fine(cloud.submit(&me, &organization, "cr-1", "signoff").await);
    fine(cloud.change_request(&me, &organization, "cr-1").await);
    fine(cloud.status_changes(&me, &organization, "cr-1").await);
    fine(cloud.open_requests_since(&me, &organization, since).await);
    fine(cloud.apply(&me, &organization, "cr-1").await);
    fine(cloud.close(&me, &organization, "cr-1", "no").await);
    fine(cloud.deployments(&me, &stack, 1).await);
    fine(cloud.deployment(&me, &stack, "d-1").await);
    fine(cloud.deploy(&me, &deployment).await);
    fine(cloud.cancel_deployment(&me, &stack, "d-1").await);
    fine(caller.identity(&token).await);
    fine(caller.stack_permission(&token, &"alice".parse().expect("a login"), &stack).await);
}

/// An error is short, and holds neither the token nor what a terminal would obey.
fn fine<T>(answer: Result<T, CloudError>) {
    if let Err(error) = answer {
        let text = error.to_string();
        assert!(text.len() <= MAX_TEXT, "an error of {} bytes", text.len());
        assert!(!text.contains(TOKEN) && !text.chars().any(char::is_control), "{text:?}");
    }
}
