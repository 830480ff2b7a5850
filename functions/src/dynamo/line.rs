//! The line of a stack's open requests, and its turn.

use aws_sdk_dynamodb::types::AttributeValue;
use signoff_core::ledger::{InLine, LedgerError, Line, LineChange};
use signoff_core::names::{RequestId, StackName};
use signoff_core::request::Ask;

use super::Dynamo;
use super::item::{self, Item, json, n, s};
use super::keys::{self, Key};
use super::store::{Write, Written};

pub(super) async fn line(db: &Dynamo, stack: &StackName) -> Result<Line, LedgerError> {
    db.get(&Key::line(stack)).await?.map_or(Ok(Line::default()), |found| read(&found))
}

/// The line may not exist yet: then this begins it.
pub(super) async fn hear(db: &Dynamo, stack: &StackName) -> Result<(), LedgerError> {
    let hear = Write::update(Key::line(stack), "SET #heard = :yes").with(":yes", AttributeValue::Bool(true));
    db.write(&hear).await.map(drop)
}

pub(super) async fn claim_turn(db: &Dynamo, stack: &StackName, id: RequestId) -> Result<bool, LedgerError> {
    let claim = Write::update(Key::line(stack), "SET #turn = :me")
        .when("attribute_exists(#pk) AND (attribute_not_exists(#turn) OR #turn = :me)")
        .with(":me", s(id.to_string()));
    match db.write(&claim).await? {
        Written::Done(_) => Ok(true),
        Written::Refused(Some(found)) => take_over(db, stack, id, &read(&found)?).await,
        Written::Refused(None) => Err(LedgerError::Broken(format!("{id} is in no line: {stack} has none"))),
    }
}

/// Takes the turn from a request that is not in line any more: a worker that stood still for longer than its lease can have taken it for one that
/// was over by then, which nobody would ever give back.
async fn take_over(db: &Dynamo, stack: &StackName, id: RequestId, line: &Line) -> Result<bool, LedgerError> {
    let Some(stale) = line.turn.filter(|turn| !line.waiting.iter().any(|other| other.id == *turn)) else {
        return Ok(false);
    };
    let claim = Write::update(Key::line(stack), "SET #turn = :me")
        .when("#turn = :stale")
        .with(":me", s(id.to_string()))
        .with(":stale", s(stale.to_string()));
    Ok(matches!(db.write(&claim).await?, Written::Done(_)))
}

pub(super) async fn release_turn(db: &Dynamo, stack: &StackName, id: RequestId) -> Result<(), LedgerError> {
    // Another one's turn is left alone.
    db.write(&release(stack, id)).await.map(drop)
}

fn release(stack: &StackName, id: RequestId) -> Write {
    Write::update(Key::line(stack), "REMOVE #turn").when("#turn = :me").with(":me", s(id.to_string()))
}

/// The write that puts a new request at the line's end, if the line is as it was when the request got its position.
pub(super) fn join(ask: &Ask) -> Result<Write, LedgerError> {
    let pushed = ask.commit.as_ref().filter(|_| ask.push.is_some());
    let set = if pushed.is_some() { ", #pushed = :pushed" } else { "" };
    let expression =
        format!("SET #waiting = list_append(if_not_exists(#waiting, :none), :me), #next = :next{set} ADD #rev :one");
    let unmoved =
        if ask.position == 0 { "attribute_not_exists(#next) OR #next = :position" } else { "#next = :position" };
    let join = Write::update(Key::line(&ask.stack), expression);
    let join = match pushed {
        Some(commit) => join.with(":pushed", s(commit.as_str())),
        None => join,
    };
    Ok(join
        .when(unmoved)
        .with(":position", n(ask.position))
        .with(":next", n(ask.position.saturating_add(1)))
        .with(":none", AttributeValue::L(Vec::new()))
        .with(":me", AttributeValue::L(vec![json(&InLine::of(ask))?]))
        .with(":one", n(1)))
}

/// The write that a step's change of the line takes; `None` if it changes nothing.
pub(super) async fn change(db: &Dynamo, ask: &Ask, change: LineChange) -> Result<Option<Write>, LedgerError> {
    if change == LineChange::Keep {
        return Ok(None);
    }
    let Some(found) = db.get(&Key::line(&ask.stack)).await? else { return Ok(None) };
    let mut line = read(&found)?;
    let key = Key::line(&ask.stack);
    if change == LineChange::Deployed {
        // Who deploys has the turn, so nobody else writes this at the same time.
        let is_newer = line.deployed.is_none_or(|last| last < ask.position);
        return Ok(is_newer.then(|| Write::update(key, "SET #deployed = :position").with(":position", n(ask.position))));
    }
    let has_turn = line.turn == Some(ask.id);
    let before = line.waiting.len();
    line.waiting.retain(|other| other.id != ask.id);
    if change == LineChange::ReleaseTurn || line.waiting.len() == before {
        return Ok(has_turn.then(|| release(&ask.stack, ask.id)));
    }
    // The turn is touched only by who has it, so that others may take it meanwhile without a conflict.
    let give_back = if has_turn { " REMOVE #turn" } else { "" };
    let rest = line.waiting.iter().map(json).collect::<Result<Vec<_>, _>>()?;
    let leave = Write::update(key, format!("SET #waiting = :rest{give_back} ADD #rev :one"))
        .when("#rev = :rev")
        .with(":rest", AttributeValue::L(rest))
        .with(":rev", n(item::number::<u64>(&found, keys::REVISION)?))
        .with(":one", n(1));
    Ok(Some(leave))
}

fn read(found: &Item) -> Result<Line, LedgerError> {
    let wrong = || item::broken(found, format_args!("{} is no list of texts", keys::WAITING));
    let entry = |entry: &AttributeValue| -> Result<InLine, LedgerError> {
        item::read(found, keys::WAITING, entry.as_s().map_err(|_| wrong())?)
    };
    let waiting = match found.get(keys::WAITING) {
        None => Vec::new(),
        Some(AttributeValue::L(list)) => list.iter().map(entry).collect::<Result<_, _>>()?,
        Some(_) => return Err(wrong()),
    };
    Ok(Line {
        next: item::maybe_number(found, keys::NEXT)?.unwrap_or_default(),
        waiting,
        turn: item::maybe_parsed(found, keys::TURN)?,
        pushed: item::maybe_parsed(found, keys::PUSHED)?,
        heard: found.contains_key(keys::HEARD),
        deployed: item::maybe_number(found, keys::DEPLOYED)?,
    })
}
