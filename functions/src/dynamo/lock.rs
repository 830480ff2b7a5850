//! The lock under which open requests are created as a principal: drafts that appear under it are its holder's.

use aws_sdk_dynamodb::types::AttributeValue;
use signoff_core::ledger::{Creation, LedgerError};
use signoff_core::names::{Organization, PrincipalName, RequestId};
use signoff_core::request::Status;

use super::Dynamo;
use super::item::{self, Item, one, s};
use super::keys::{self, Key};
use super::store::{Write, Written};

/// How often it is tried anew because the lock changed hands in between.
const ATTEMPTS: u32 = 5;

pub(super) async fn lock(
    db: &Dynamo,
    organization: &Organization,
    principal: &PrincipalName,
    id: RequestId,
) -> Result<Creation, LedgerError> {
    let update = |expression: &str, condition: &str| {
        Write::update(Key::lock(organization, principal), expression).when(condition).with(":set", one(id.to_string()))
    };
    let me = || s(id.to_string());
    for _ in 0..ATTEMPTS {
        let take = update("SET #holder = :me DELETE #waiting :set", "attribute_not_exists(#holder) OR #holder = :me");
        let found = match db.write(&take.with(":me", me())).await? {
            Written::Done(_) => return Ok(Creation::Ours),
            Written::Refused(found) => found.unwrap_or_default(),
        };
        let other: RequestId = item::parsed(&found, keys::HOLDER)?;
        let alive = is_open(db, other).await?;
        if alive && waiting(&found)?.any(|waiting| *waiting == id.to_string()) {
            return Ok(Creation::Theirs(other));
        }
        let write = if alive {
            update("ADD #waiting :set", "#holder = :other")
        } else {
            update("SET #holder = :me DELETE #waiting :set", "#holder = :other").with(":me", me())
        };
        if let Written::Done(_) = db.write(&write.with(":other", s(other.to_string()))).await? {
            return Ok(if alive { Creation::Theirs(other) } else { Creation::Ours });
        }
    }
    Err(LedgerError::Unavailable(format!("the creation lock of {organization} changes hands all the time")))
}

pub(super) async fn unlock(
    db: &Dynamo,
    organization: &Organization,
    principal: &PrincipalName,
    id: RequestId,
) -> Result<Option<RequestId>, LedgerError> {
    let key = || Key::lock(organization, principal);
    let leave = |who: &str| Write::update(key(), "DELETE #waiting :set").with(":set", one(who));
    let give_back = Write::update(key(), "REMOVE #holder").when("#holder = :me").with(":me", s(id.to_string()));
    match db.write(&give_back).await? {
        Written::Done(rest) => {
            let mut by_age: Vec<_> = waiting(&rest)?.collect();
            by_age.sort();
            for who in by_age {
                db.write(&leave(who)).await?;
                let next = who.parse().map_err(|_| item::broken(&rest, "somebody waits who is no request"))?;
                match is_open(db, next).await {
                    Ok(true) => return Ok(Some(next)),
                    // Whoever has ended while it waited would tell nobody; nor would one that can't be read, which waits for a person.
                    Ok(false) => {}
                    Err(LedgerError::Broken(why)) => tracing::error!(request = %next, why, "an item makes no sense"),
                    Err(error) => return Err(error),
                }
            }
            Ok(None)
        }
        Written::Refused(found) => {
            let found = found.unwrap_or_default();
            if waiting(&found)?.any(|waiting| *waiting == id.to_string()) {
                db.write(&leave(&id.to_string())).await?;
            }
            Ok(None)
        }
    }
}

fn waiting(found: &Item) -> Result<std::slice::Iter<'_, String>, LedgerError> {
    match found.get(keys::WAITING) {
        None => Ok([].iter()),
        Some(AttributeValue::Ss(ids)) => Ok(ids.iter()),
        Some(_) => Err(item::broken(found, format_args!("{} is no set of texts", keys::WAITING))),
    }
}

/// Whether the request exists and is not over. A lock's holder that died, or that a restored table no longer has, holds nothing.
async fn is_open(db: &Dynamo, id: RequestId) -> Result<bool, LedgerError> {
    let Some(found) = db.get(&Key::state(id)).await? else { return Ok(false) };
    let status: Status = item::from_json(&found, keys::STATUS)?;
    Ok(!status.state.is_terminal())
}
