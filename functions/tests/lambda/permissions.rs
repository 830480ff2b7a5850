//! What the policies grant and what the functions do, held against each other.

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::AttributeValue;

use crate::iam::{Iam, access_key};
use crate::world::TABLE;

#[tokio::test]
async fn what_is_not_granted_is_refused_and_told_by_name() {
    // Nothing listens there: what goes through fails in another way.
    let iam = Iam::start("http://127.0.0.1:9", "http://127.0.0.1:9").await;
    let client = |function: &str| {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .endpoint_url(&iam.url)
            .credentials_provider(Credentials::new(access_key(function), "local", None, None, "test"));
        aws_sdk_dynamodb::Client::from_conf(config.build())
    };
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let deploy = client("deploy");
    let get = deploy.get_item().table_name(TABLE).key("pk", text("IDEM#alice#1")).key("sk", text("IDEM"));
    assert_eq!(get.send().await.unwrap_err().code(), Some("AccessDeniedException"));
    let other = deploy.get_item().table_name("another").key("pk", text("CONFIG")).key("sk", text("GATES"));
    assert_eq!(other.send().await.unwrap_err().code(), Some("AccessDeniedException"));
    assert_eq!(deploy.scan().table_name(TABLE).send().await.unwrap_err().code(), Some("AccessDeniedException"));
    let due = client("notify").query().table_name(TABLE).index_name("due").key_condition_expression("#shard = :shard");
    let due = due.expression_attribute_names("#shard", "shard").expression_attribute_values(":shard", text("1"));
    assert_eq!(due.send().await.unwrap_err().code(), Some("AccessDeniedException"));
    let refused = [
        "deploy: dynamodb:GetItem IDEM#alice#1",
        "deploy: dynamodb:GetItem another table's CONFIG",
        "deploy: dynamodb:Scan ?",
        "notify: dynamodb:Query index/due 1",
    ];
    assert_eq!(iam.refused(), refused);
}
