//! The metrics: each document against the rules of the embedded metric format, and the names against those of the dashboard and the alarms.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use signoff_functions::logs::subscriber;
use signoff_functions::metrics::{BadNamespace, METRICS, Namespace, TARGET, Verdict};

use super::{Kept, Still, written};

/// CloudWatch's units that are used here.
const UNITS: [&str; 3] = ["Seconds", "Milliseconds", "Count"];

/// Holds a document against the format's published rules.
fn check(document: &Value) {
    let meta = document["_aws"].as_object().unwrap();
    assert_eq!(meta.keys().collect::<Vec<_>>(), ["CloudWatchMetrics", "Timestamp"]);
    // Milliseconds: a time in seconds would be in 1970.
    assert_eq!(meta["Timestamp"], json!(1_795_435_200_123_i64));
    let directives = meta["CloudWatchMetrics"].as_array().unwrap();
    assert!(!directives.is_empty());
    for directive in directives {
        assert_eq!(directive["Namespace"], Namespace::default().as_str());
        let sets = directive["Dimensions"].as_array().unwrap();
        assert!(!sets.is_empty(), "without a set of dimensions no metric is made");
        for name in sets.iter().flat_map(|set| set.as_array().unwrap()) {
            let value = document[name.as_str().unwrap()].as_str().unwrap();
            assert!((1..=1024).contains(&value.len()), "{name}: {value}");
        }
        assert!(sets.iter().all(|set| set.as_array().unwrap().len() <= 30));
        let metrics = directive["Metrics"].as_array().unwrap();
        assert!((1..=100).contains(&metrics.len()));
        for metric in metrics {
            assert!(document[metric["Name"].as_str().unwrap()].is_number(), "{metric}");
            assert!(UNITS.contains(&metric["Unit"].as_str().unwrap()), "{metric}");
        }
    }
}

#[test]
fn documents_are_as_the_format_wants_them() {
    let kept = written("off", || {
        tracing::trace!(target: TARGET, PendingAge = 90_i64, SweepRung = 2_u64);
        tracing::trace!(target: TARGET, ApprovalLatency = 12_i64);
        tracing::trace!(target: TARGET, ApplyOutcomes = 1_u64, Outcome = "granted");
        tracing::trace!(target: TARGET, DeployOutcomes = 1_u64, Outcome = "failed");
        tracing::trace!(target: TARGET, WebhookDeliveries = 1_u64, Kind = "deployment", Verdict = "accepted");
        tracing::trace!(target: TARGET, PulumiCloudCalls = 1_u64, Status = "200", PulumiCloudTime = 12.5);
        tracing::trace!(target: TARGET, TokenRefused = 1_u64);
    });
    let documents = kept.documents();
    assert_eq!(documents.len(), 7, "whatever the filter of the log says");
    documents.iter().for_each(check);
    let call = json!({
        "_aws": {"Timestamp": 1_795_435_200_123_i64, "CloudWatchMetrics": [
            {"Namespace": "signoff", "Dimensions": [["Status"]], "Metrics": [{"Name": "PulumiCloudCalls", "Unit": "Count"}]},
            {"Namespace": "signoff", "Dimensions": [[]], "Metrics": [{"Name": "PulumiCloudTime", "Unit": "Milliseconds"}]},
        ]},
        "PulumiCloudCalls": 1, "Status": "200", "PulumiCloudTime": 12.5,
    });
    assert_eq!(documents[5], call);
    assert_eq!(documents[4]["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([["Kind", "Verdict"], ["Verdict"]]));
}

#[test]
fn what_is_no_metric_makes_no_document_and_no_line() {
    let kept = written("trace", || {
        tracing::trace!(target: TARGET, Unheard = 1_u64);
        tracing::trace!(target: TARGET, ApplyOutcomes = 1_u64);
        tracing::trace!(target: TARGET, TokenRefused = "one");
        tracing::trace!(target: TARGET, TokenRefused = 1_u64, login = "alice", token = "pul-x");
        tracing::trace!(target: "signoff_core::look", TokenRefused = 1_u64, "only a line");
    });
    let documents = kept.documents();
    assert_eq!(documents.len(), 2, "{documents:?}");
    assert!(documents[0].get("login").is_none() && documents[0].get("token").is_none());
    assert!(documents[1].get("_aws").is_none());
}

#[test]
fn an_installation_has_a_namespace_of_its_own() {
    let kept = Kept::default();
    let namespace: Namespace = "signoff/gate-2".parse().unwrap();
    let subscriber = subscriber("off", namespace, Arc::new(Still), kept.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, || tracing::trace!(target: TARGET, TokenRefused = 1_u64));
    assert_eq!(kept.documents()[0]["_aws"]["CloudWatchMetrics"][0]["Namespace"], "signoff/gate-2");
    let long = "n".repeat(256);
    for bad in ["", " ", "signoff ", ":signoff", "AWS/Lambda", "sign\noff", "sïgnoff", long.as_str()] {
        assert_eq!(bad.parse::<Namespace>(), Err(BadNamespace), "{bad}");
    }
    assert_eq!("Gate 2: a.b-c_d/e#f".parse::<Namespace>().unwrap().as_str(), "Gate 2: a.b-c_d/e#f");
}

#[test]
fn names_dimensions_and_words_are_those_of_the_dashboard_and_the_alarms() {
    let parts = |name: &str| {
        std::fs::read_to_string(format!("{}/../infra/parts/{name}.ts", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    let metrics = parts("metrics");
    let (_, table) = metrics.split_once("METRICS = {").unwrap();
    let (table, rest) = table.split_once("} as const").unwrap();
    let quoted = |text: &str| text.split('"').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(quoted(table), METRICS.iter().map(|metric| metric.name.to_owned()).collect());
    let (_, verdicts) = rest.split_once("VERDICTS = ").unwrap();
    assert_eq!(quoted(verdicts), Verdict::ALL.iter().map(|verdict| verdict.as_str().to_owned()).collect());
    for metric in METRICS {
        let (key, _) = table.split_once(&format!(r#": "{}""#, metric.name)).unwrap();
        let key = key.rsplit(char::is_whitespace).next().unwrap();
        for (file, pattern) in [("dashboard", "by(METRICS."), ("dashboard", "own(METRICS.")] {
            let text = parts(file);
            let at = text.find(&format!("{pattern}{key}"));
            let is_by = metric.dimensions.iter().any(|set| set.len() == 1);
            assert_eq!(at.is_some(), is_by == pattern.starts_with("by"), "{}", metric.name);
            if let (Some(at), true) = (at, is_by) {
                let by = quoted(text[at..].lines().next().unwrap().split_once(',').unwrap().1);
                assert!(
                    metric.dimensions.iter().any(|set| set.len() == 1 && by.contains(set[0])),
                    "{}: {by:?}",
                    metric.name
                );
            }
        }
    }
}
