//! What goes wrong on the way, and which error it becomes.

use std::time::Duration;

use pulumi_sim::{Fault, Pattern, Sim, SimConfig, seed};
use signoff_core::cloud::{CloudError, PulumiCloud};
use signoff_core::names::PrincipalName;

use super::fixture::{Fake, TOKEN, impatient, name, principal_of};

fn unclear(error: &CloudError) -> &str {
    match error {
        CloudError::Unclear(text) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_becomes_the_error_that_says_what_to_do() {
    let sim = Sim::start(SimConfig::new(seed::acme(2))).await.unwrap();
    let (client, principal) = (impatient(&sim.url()), PrincipalName::default());
    let cloud = principal_of(client.clone());
    let environment = name("acme/credentials/prod");
    let read = async |fault: Fault| {
        sim.cloud().faults.plan(Pattern::any(), fault, 1);
        cloud.rulesets(&principal, &environment).await.unwrap_err()
    };
    let error = |status| Fault::Error { status, html: true };
    assert_eq!(read(Fault::TooManyRequests { retry_after: None }).await, CloudError::Later { retry_after: None });
    let wait = CloudError::Later { retry_after: Some(Duration::from_secs(7)) };
    assert_eq!(read(Fault::TooManyRequests { retry_after: Some(7) }).await, wait);
    for status in [500, 502, 503, 599, 408] {
        assert_eq!(unclear(&read(error(status)).await), format!("status {status}"));
    }
    assert!(matches!(read(error(401)).await, CloudError::Unauthorized(_)));
    assert!(matches!(read(error(404)).await, CloudError::NotFound(_)));
    assert!(matches!(read(error(409)).await, CloudError::Conflict(_)));
    for status in [400, 402, 403, 405, 422] {
        let message = format!("status {status} without a message");
        assert_eq!(read(error(status)).await, CloudError::Refused { status, message });
        let message = "something went wrong".to_owned();
        assert_eq!(read(Fault::Error { status, html: false }).await, CloudError::Refused { status, message });
    }
    assert_eq!(unclear(&read(Fault::Silence).await), "no answer in time");
    assert_eq!(unclear(&read(Fault::Slow { ms: 2_000 }).await), "no answer in time");
    assert_eq!(unclear(&read(Fault::BreakBefore).await), "the connection broke");
    assert!(unclear(&read(Fault::Huge { bytes: 1 << 20 }).await).contains("more than 65536 bytes"));
    for fault in [Fault::BrokenJson, Fault::WrongShape] {
        assert!(unclear(&read(fault).await).ends_with("is not what the specification says"));
    }

    let counted = |sim: &Sim| sim.cloud().change_requests().len();
    let write = async |fault: Fault| {
        sim.cloud().faults.plan(Pattern::new("POST", "/api/**"), fault, 1);
        cloud.request_open(&principal, &environment, 60, 60).await.unwrap_err()
    };
    for (made, fault) in [
        Fault::BreakAfter,
        Fault::SilenceAfterEffect,
        Fault::ErrorAfterEffect { status: 504 },
        Fault::BrokenJson,
        Fault::WrongShape,
        Fault::Huge { bytes: 1 << 20 },
    ]
    .into_iter()
    .enumerate()
    {
        unclear(&write(fault.clone()).await);
        assert_eq!(counted(&sim), made + 1, "{fault:?}");
    }
    let calls = client.calls();
    assert!(calls.iter().any(|((method, _, status), _)| *method == "POST" && *status == 0), "{calls:?}");

    let address = sim.url();
    sim.stop().await;
    let gone = principal_of(impatient(&address)).identity(&principal).await.unwrap_err();
    assert_eq!(unclear(&gone), "no connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed() {
    let (sim, elsewhere) = (Sim::start(SimConfig::new(seed::acme(3))).await.unwrap(), Fake::start().await);
    elsewhere.say(200, "{}");
    let cloud = principal_of(impatient(&sim.url()));
    sim.cloud().faults.plan(Pattern::any(), Fault::Redirect { location: elsewhere.url.clone() }, 2);
    let (principal, acme) = (PrincipalName::default(), name("acme"));
    assert!(unclear(&cloud.identity(&principal).await.unwrap_err()).contains("redirect"));
    assert!(unclear(&cloud.apply(&principal, &acme, "x").await.unwrap_err()).contains("redirect"));
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_error_shows_a_token_or_more_than_it_should() {
    let fake = Fake::start().await;
    let client = impatient(&fake.url);
    let (cloud, principal) = (principal_of(client.clone()), PrincipalName::default());
    let message = format!("token {TOKEN} \\u001b[31m is wrong {}", "x".repeat(2_000));
    for status in [400, 401, 403, 404, 409, 418, 429, 500] {
        fake.say(status, &format!("{{\"message\": \"{message}\"}}"));
        let error = cloud.identity(&principal).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(TOKEN) && !shown.contains('\u{1b}') && shown.len() < 1_000, "{shown}");
    }
    fake.say(200, &format!("{{\"githubLogin\": {{}}, \"organizations\": \"{TOKEN}\"}}"));
    let shown = format!("{:?} {cloud:?} {client:?}", cloud.identity(&principal).await);
    assert!(!shown.contains(TOKEN), "{shown}");
    let headers = fake.asked().remove(0).1;
    assert_eq!(headers["authorization"], format!("token {TOKEN}").as_str());
    assert_eq!(headers["accept"], "application/vnd.pulumi+8");
}
