//! Tampering with the events where they lie, in the store of a gate that was stopped: the check against the server names them when it runs again.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, params};
use serde_json::{Value, json};
use signoff_core::chain::Sealed;
use signoff_tests::Ended;

use super::{Evidence, rehash};

/// The store's tables, as the engine names them: the items, and the index of events by day.
const ITEMS: &str = "\"signoff\"";
const BY_DAY: &str = "\"signoff::gsi::by-day\"";

/// A store behind signoff's back.
struct Store(Connection);

impl Store {
    fn open(data: &Path) -> Self {
        Self(Connection::open(data.join("store.db")).expect("the store can be opened"))
    }

    fn item(&self, id: &str, number: u64) -> Value {
        let question = format!("SELECT item_json FROM {ITEMS} WHERE pk = ?1 AND sk = ?2");
        let text: String =
            self.0.query_row(&question, params![pk(id), sk(number)], |row| row.get(0)).expect("there is such an event");
        serde_json::from_str(&text).expect("an item is JSON")
    }

    fn event(&self, id: &str, number: u64) -> Value {
        let item = self.item(id, number);
        serde_json::from_str(item["event"]["S"].as_str().expect("it holds an event")).expect("an event is JSON")
    }

    /// Puts another event where this one is.
    fn replace(&self, id: &str, number: u64, event: &Value) {
        let mut item = self.item(id, number);
        item["event"]["S"] = event.to_string().into();
        let change = format!("UPDATE {ITEMS} SET item_json = ?3 WHERE pk = ?1 AND sk = ?2");
        self.changes(&change, params![pk(id), sk(number), item.to_string()]);
    }

    /// Takes an event away; `BY_DAY` as well: nothing points to it any more.
    fn remove(&self, id: &str, number: u64, tables: &[(&str, &str)]) {
        for (table, key) in tables {
            let change = format!("DELETE FROM {table} WHERE {key}pk = ?1 AND {key}sk = ?2");
            self.changes(&change, params![pk(id), sk(number)]);
        }
    }

    /// Puts an event under a number that is not taken, on the same day as another one.
    fn insert(&self, id: &str, number: u64, event: &Value, like: u64) {
        let mut item = self.item(id, like);
        (item["event"]["S"], item["sk"]["S"]) = (event.to_string().into(), sk(number)[2..].into());
        let change = format!(
            "INSERT INTO {ITEMS} SELECT pk, ?3, ?4, item_size, cached_at, hash_prefix FROM {ITEMS} WHERE pk = ?1 AND sk = ?2"
        );
        self.changes(&change, params![pk(id), sk(like), sk(number), item.to_string()]);
        let change = format!(
            "INSERT INTO {BY_DAY} SELECT gsi_pk, gsi_sk, table_pk, ?3, replace(item_json, substr(?2, 3), substr(?3, 3)) FROM {BY_DAY} WHERE table_pk = ?1 AND table_sk = ?2"
        );
        self.changes(&change, params![pk(id), sk(like), sk(number)]);
    }

    fn changes(&self, statement: &str, values: impl rusqlite::Params) {
        assert_eq!(self.0.execute(statement, values).expect("the store can be changed"), 1, "{statement}");
    }
}

/// Where an event is taken away from: the items alone, or the index too.
const ITEM: [(&str, &str); 1] = [(ITEMS, "")];
const ALL: [(&str, &str); 2] = [(ITEMS, ""), (BY_DAY, "table_")];

/// Keys as they stand in the tables: with their type before them.
fn pk(id: &str) -> String {
    format!("S:REQ#{id}")
}

fn sk(number: u64) -> String {
    format!("S:EVT#{number:010}")
}

/// What a check of the whole trail and one of the request say while the gate runs on a store that was changed like this.
async fn after(evidence: &mut Evidence, id: &str, change: impl FnOnce(&Store)) -> [Ended; 2] {
    let data = evidence.gate.directory.join("data");
    let pristine = evidence.gate.directory.join("pristine");
    if !pristine.exists() {
        copy(&data, &pristine);
    }
    fs::remove_dir_all(&data).expect("it can be removed");
    copy(&pristine, &data);
    change(&Store::open(&data));
    evidence.gate.restart().await;
    let whole = evidence.gate.cli("dave", &["audit", "verify"]).await;
    let one = evidence.gate.cli("dave", &["audit", "verify", "--request", id]).await;
    assert_eq!(evidence.gate.stop().await, Some(0));
    [whole, one]
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a directory can be made");
    for file in fs::read_dir(from).expect("it can be read").flatten() {
        fs::copy(file.path(), to.join(file.file_name())).expect("a file can be copied");
    }
}

/// Both checks name this request as broken, with these words.
fn is_named(said: &[Ended], id: &str, words: &str) {
    for ended in said {
        assert_eq!(ended.code, Some(1), "{}{}", ended.out, ended.err);
        assert!(
            ended.out.contains(&format!("BROKEN  {id}  {words}")),
            "{words} is not in:\n{}{}",
            ended.out,
            ended.err
        );
    }
}

#[tokio::test]
async fn what_was_done_to_events_in_the_store_is_named() {
    let (mut evidence, [first, second, _]) = Evidence::gather().await;
    let count = evidence.trail(&second).len() as u64;
    let whole = after(&mut evidence, &second, |_| {}).await;
    assert!(whole.iter().all(|ended| ended.code == Some(0)), "{}{}", whole[0].out, whole[1].out);

    let said = after(&mut evidence, &second, |store| {
        let mut event = store.event(&second, 5);
        event["data"]["actor"] = json!({"login": "eve"});
        store.replace(&second, 5, &event);
    });
    is_named(&said.await, &second, "event 5 was edited");

    // The first one says who asked for what; without it there is no request any more, and yet it is named, and the others are read.
    let said = after(&mut evidence, &second, |store| {
        let mut event = store.event(&second, 1);
        event["data"]["evidence"]["requester"] = json!({"login": "eve", "name": "Eve"});
        store.replace(&second, 1, &event);
    });
    let said = said.await;
    is_named(&said, &second, "event 1 was edited");
    assert!(said[0].out.ends_with("2 requests ok, 1 broken\n"), "{}", said[0].out);
    let said = after(&mut evidence, &second, |store| store.remove(&second, 1, &ALL));
    is_named(&said.await, &second, "the events before event 2 are missing");

    let said = after(&mut evidence, &second, |store| store.remove(&second, 4, &ALL));
    is_named(&said.await, &second, "event 0000000005 stands where event 4 belongs");
    // Where the index still points to it, the trail as a whole can't be had; the request's own can.
    let [whole, one] = after(&mut evidence, &second, |store| store.remove(&second, 4, &ITEM)).await;
    assert_eq!(whole.code, Some(1), "{}{}", whole.out, whole.err);
    is_named(&[one], &second, "event 0000000005 stands where event 4 belongs");

    let said = after(&mut evidence, &second, |store| {
        let (mut one, mut other) = (store.event(&second, 3), store.event(&second, 4));
        (one["sequence"], other["sequence"]) = (other["sequence"].take(), one["sequence"].take());
        store.replace(&second, 3, &other);
        store.replace(&second, 4, &one);
    });
    is_named(&said.await, &second, "event 3 was edited");

    let said = after(&mut evidence, &second, |store| {
        store.insert(&second, count + 1, &store.event(&second, 3), 3);
    });
    is_named(&said.await, &second, "event 0000000003 stands where event 4 belongs");

    // One of another request, made to fit in number and hash.
    let said = after(&mut evidence, &second, |store| {
        let sealed = |event| serde_json::from_value::<Sealed>(event).expect("it is an event");
        let mut foreign = store.event(&first, 5);
        (foreign["subject"], foreign["sequence"]) = (json!(second), json!(format!("{:010}", count + 1)));
        let mut trail: Vec<Sealed> = (1..=count).map(|number| sealed(store.event(&second, number))).collect();
        trail.push(sealed(foreign));
        rehash(&mut trail, count as usize);
        store.insert(&second, count + 1, &json!(trail[count as usize]), count);
    });
    is_named(&said.await, &second, &format!("event {} ", count + 1));

    let said = after(&mut evidence, &second, |store| store.remove(&second, count, &ALL));
    is_named(&said.await, &second, &format!("the trail ends with event {} of ", count - 1));

    // What was not touched is well.
    let pristine = after(&mut evidence, &first, |_| {}).await;
    assert!(pristine.iter().all(|ended| ended.code == Some(0)), "{}{}", pristine[0].out, pristine[1].out);
    evidence.gate.finish().await;
}
