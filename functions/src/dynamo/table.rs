//! The table's definition, for stores that no Pulumi program sets up: `signoff local` and tests.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType, StreamSpecification, StreamViewType, TableStatus, TimeToLiveSpecification,
};
use signoff_core::ledger::LedgerError;

use super::keys;
use super::store::{failed, unbuilt};

/// How often, and with how much time between, it is asked whether the table is ready.
const LOOKS: u32 = 100;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

/// Each index with its partition and sort key.
const INDEXES: [(&str, &str, (&str, ScalarAttributeType)); 3] = [
    (keys::BY_ORGANIZATION, keys::ORGANIZATION, (keys::ID, ScalarAttributeType::S)),
    (keys::BY_DAY, keys::DAY, (keys::AT, ScalarAttributeType::S)),
    (keys::DUE_INDEX, keys::SHARD, (keys::DUE, ScalarAttributeType::N)),
];

/// Makes the table with its indexes, its stream and its expiry, unless it is there; returns when it can be used.
///
/// # Errors
/// [`LedgerError::Unavailable`] if the store can't be reached or refuses.
pub async fn create_table(client: &Client, table: &str) -> Result<(), LedgerError> {
    let mut request = client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(schema(keys::PK, keys::SK).map_err(unbuilt)?))
        .stream_specification(
            StreamSpecification::builder()
                .stream_enabled(true)
                .stream_view_type(StreamViewType::NewAndOldImages)
                .build()
                .map_err(unbuilt)?,
        );
    for name in [keys::PK, keys::SK] {
        request = request.attribute_definitions(attribute(name, &ScalarAttributeType::S).map_err(unbuilt)?);
    }
    for (index, hash, (range, kind)) in &INDEXES {
        request = request
            .attribute_definitions(attribute(hash, &ScalarAttributeType::S).map_err(unbuilt)?)
            .attribute_definitions(attribute(range, kind).map_err(unbuilt)?)
            .global_secondary_indexes(
                GlobalSecondaryIndex::builder()
                    .index_name(*index)
                    .set_key_schema(Some(schema(hash, range).map_err(unbuilt)?))
                    .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build())
                    .build()
                    .map_err(unbuilt)?,
            );
    }
    match request.send().await {
        Ok(_) => {
            ready(client, table).await?;
            expire(client, table).await
        }
        Err(error) if error.as_service_error().is_some_and(CreateTableError::is_resource_in_use_exception) => {
            ready(client, table).await
        }
        Err(error) => Err(failed(&error)),
    }
}

async fn ready(client: &Client, table: &str) -> Result<(), LedgerError> {
    for _ in 0..LOOKS {
        let seen = client.describe_table().table_name(table).send().await.map_err(|error| failed(&error))?;
        if seen.table().and_then(|table| table.table_status()) == Some(&TableStatus::Active) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(LedgerError::Unavailable("the table does not become ready".to_owned()))
}

async fn expire(client: &Client, table: &str) -> Result<(), LedgerError> {
    let specification =
        TimeToLiveSpecification::builder().enabled(true).attribute_name(keys::EXPIRES).build().map_err(unbuilt)?;
    let request = client.update_time_to_live().table_name(table).time_to_live_specification(specification);
    request.send().await.map(|_| ()).map_err(|error| failed(&error))
}

fn attribute(name: &str, kind: &ScalarAttributeType) -> Result<AttributeDefinition, BuildError> {
    AttributeDefinition::builder().attribute_name(name).attribute_type(kind.clone()).build()
}

fn schema(hash: &str, range: &str) -> Result<Vec<KeySchemaElement>, BuildError> {
    let element = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
    Ok(vec![element(hash, KeyType::Hash)?, element(range, KeyType::Range)?])
}
