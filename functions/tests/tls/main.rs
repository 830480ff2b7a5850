//! Whom a connection to Pulumi Cloud trusts, against a real server with a root of its own.
#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it has to be")]

mod authority;

use std::path::PathBuf;

use axum::Router;
use rcgen::KeyPair;
use signoff_core::cloud::CloudError;
use signoff_functions::pulumi::{CallerClient, ClientOptions, PulumiClient};
use signoff_functions::secrets::Secret;
use signoff_functions::tls::Trust;
use tokio::net::TcpListener;

use authority::Authority;

const ANSWER: &str = r#"{"githubLogin": "alice", "name": "Alice", "email": "a@acme.example", "avatarUrl": "", "organizations": [], "identities": []}"#;

/// A server that gives every call the same answer; where it is reached behind a certificate that this authority made.
async fn server(authority: &Authority) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(async || ANSWER)).await });
    authority.before(&url).await
}

/// Whose token it is, asked over such a connection.
async fn ask(url: &str, trust: &Trust) -> Result<String, CloudError> {
    let client = PulumiClient::trusting(url, ClientOptions::default(), trust).unwrap();
    let identity = CallerClient::new(client).identity(&Secret::new("pul-x").unwrap()).await?;
    Ok(identity.login.to_string())
}

#[tokio::test]
async fn a_bundle_adds_a_root_and_without_it_nobody_is_talked_to() {
    let authority = Authority::new();
    let (url, pem) = (server(&authority).await, authority.pem());
    for trust in [Trust::embedded(), Trust::machine()] {
        let refused = ask(&url, &trust).await;
        assert!(matches!(&refused, Err(CloudError::Unclear(why)) if why == "no connection"), "{refused:?}");
        assert_eq!(ask(&url, &trust.and(&pem).unwrap()).await.unwrap(), "alice");
    }
    let somebody_elses = Trust::embedded().and(&Authority::new().pem()).unwrap();
    assert!(ask(&url, &somebody_elses).await.is_err());
}

#[tokio::test]
async fn a_bundle_may_be_a_file_with_several() {
    let authority = Authority::new();
    let url = server(&authority).await;
    let file = std::env::temp_dir().join(format!("signoff-roots-{}.pem", std::process::id()));
    std::fs::write(&file, format!("# ours\n{}\n{}", Authority::new().pem(), authority.pem())).unwrap();
    let trust = Trust::embedded().and(file.to_str().unwrap());
    std::fs::remove_file(&file).unwrap();
    assert_eq!(ask(&url, &trust.unwrap()).await.unwrap(), "alice");
}

#[test]
fn a_bad_bundle_is_told_and_not_shown() {
    let good = Authority::new().pem();
    let key = KeyPair::generate().unwrap().serialize_pem();
    let middle = good.len() / 2;
    let garbled = format!("{}{}{}", &good[..middle], "AAAA", &good[middle + 4..]);
    let cut: String = good.lines().take(4).collect::<Vec<_>>().join("\n");
    let bad = [
        ("/no/such/file.pem".to_owned(), "can't be read"),
        (String::new(), "can't be read"),
        ("-----BEGIN CERTIFICATE-----\nnonsense!\n-----END CERTIFICATE-----\n".to_owned(), "are no PEM"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(), "certificate 1 is none"),
        (format!("{good}{garbled}"), "certificate 2"),
        (cut.clone(), ""),
        (format!("{good}{key}"), "something else than certificates"),
        (key, "something else than certificates"),
    ];
    for (bundle, said) in bad {
        let error = Trust::embedded().and(&bundle).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        let shown = bundle.lines().find(|line| line.len() > 40 && error.contains(line));
        assert_eq!(shown, None);
    }
    let empty: PathBuf = std::env::temp_dir().join(format!("signoff-no-roots-{}.pem", std::process::id()));
    std::fs::write(&empty, "\n").unwrap();
    let error = Trust::machine().and(empty.to_str().unwrap()).unwrap_err().to_string();
    std::fs::remove_file(&empty).unwrap();
    assert!(error.ends_with("hold no certificate in PEM, or one that is cut off"), "{error}");
}
