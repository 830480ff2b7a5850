//! Checkpoints in a bucket, signed by KMS.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use signoff_core::chain::Sealed;
use signoff_core::checkpoint::{Checkpoint, Days, Inspection, Place, Unkept, inspect};
use signoff_core::host::Host;
use signoff_core::ledger::LedgerError;
use signoff_core::names::{Organization, RequestId};
use signoff_functions::aws::Http;
use signoff_functions::checkpoint::{Aws, BucketCheckpoints, VerifyingKey};
use ulid::Ulid;

use super::played::{BUCKET, KEY, Played};

const BEGIN: &str = "2026-11-24T12:00:00Z";

/// A clock that stands until it is moved, and events that appear when a test says so.
#[derive(Clone)]
struct World(Arc<Mutex<(SignedDuration, Vec<Sealed>, u128)>>);

impl World {
    fn new() -> Self {
        Self(Arc::new(Mutex::new((SignedDuration::ZERO, Vec::new(), 0))))
    }

    fn pass(&self, time: SignedDuration) {
        self.0.lock().unwrap().0 += time;
    }

    /// One more event, of a request of its own.
    fn happen(&self) {
        let now = self.now();
        let mut inside = self.0.lock().unwrap();
        let number = inside.1.len() as u128 + 1;
        let event = json!({
            "specversion": "1.0", "id": Ulid::from_parts(1, number), "source": "signoff/acme", "type": "signoff.request.requested",
            "subject": RequestId::new(Ulid::from_parts(2, number)), "time": now, "datacontenttype": "application/json",
            "sequence": "0000000001", "prevhash": "0".repeat(64), "data": {"actor": {"service": "signoff"}, "evidence": {}}, "hash": format!("{number:064x}"),
        });
        inside.1.push(serde_json::from_value(event).unwrap());
    }
}

impl Host for World {
    fn now(&self) -> Timestamp {
        BEGIN.parse::<Timestamp>().unwrap() + self.0.lock().unwrap().0
    }
    fn uptime(&self) -> Duration {
        Duration::try_from(self.0.lock().unwrap().0).unwrap()
    }
    fn ulid(&self) -> Ulid {
        let mut inside = self.0.lock().unwrap();
        inside.2 += 1;
        let ms = 1_795_435_200_000 + u64::try_from(inside.0.as_millis()).unwrap();
        Ulid::from_parts(ms, inside.2)
    }
}

impl Days for World {
    async fn organizations(&self) -> Result<Vec<Organization>, LedgerError> {
        Ok(vec!["acme".parse().unwrap()])
    }

    async fn after(
        &self,
        _: &Organization,
        day: &str,
        place: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Sealed>, LedgerError> {
        let inside = self.0.lock().unwrap();
        let is_after = |event: &&Sealed| place.is_none_or(|place| (event.time, event.id) > (place.at, place.event));
        let of_day = inside.1.iter().filter(|event| event.time.to_string().starts_with(day));
        Ok(of_day.filter(is_after).take(limit).cloned().collect())
    }
}

/// A function as it starts.
fn function(played: &Played, world: &World) -> BucketCheckpoints {
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "AKIDTEST", "secret", None, None, "test",
        )))
        .build();
    let url = || Some(played.url.clone());
    let aws = Aws::new(Http::new().unwrap(), &config, Arc::new(world.clone()), BUCKET, url(), url()).unwrap();
    BucketCheckpoints::new(aws, KEY.to_owned())
}

/// What `signoff audit verify` would say of all that is in the bucket.
fn inspected(played: &Played) -> Inspection {
    let file = std::env::temp_dir().join(format!(
        "signoff-kms-{}-{}.pub",
        std::process::id(),
        played.url.len() + played.url.bytes().map(usize::from).sum::<usize>()
    ));
    std::fs::write(&file, played.public_pem()).unwrap();
    let key = VerifyingKey::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    inspect(&played.text(), key.name(), |message, signature| key.is_signed(message, signature))
}

fn hashes(inspection: &Inspection) -> Vec<String> {
    let mut all: Vec<_> =
        inspection.checkpoints.iter().flat_map(|one| &one.heads).map(|head| head.hash.clone()).collect();
    all.dedup();
    all
}

#[tokio::test]
async fn what_appears_is_signed_and_kept_once_each_in_an_object_of_its_own() {
    let (played, world) = (Played::start().await, World::new());
    let function = function(&played, &world);
    assert!(played.calls().is_empty(), "nothing is asked before the first sweep");
    function.sweep(&world, &world).await.unwrap();
    for _ in 0..3 {
        world.pass(SignedDuration::from_mins(1));
        world.happen();
        assert_eq!(function.sweep(&world, &world).await, Ok(1));
        assert_eq!(function.sweep(&world, &world).await, Ok(0));
    }
    let inspection = inspected(&played);
    assert_eq!((&inspection.faults, &inspection.torn), (&Vec::new(), &Vec::new()));
    assert_eq!(hashes(&inspection), (1..=3).map(|number| format!("{number:064x}")).collect::<Vec<_>>());
    let last = inspection.checkpoints.last().unwrap();
    assert_eq!(played.names().last().unwrap(), &format!("checkpoints/{}/{:012}.json", last.chain, last.number));
    let calls = played.calls();
    let count = |call: &str| calls.iter().filter(|one| one.starts_with(call)).count();
    assert_eq!((count("GetPublicKey"), count("GET")), (1, 1), "the key and the bucket are read once: {calls:?}");
    assert_eq!(count("PUT"), inspection.checkpoints.len());
}

#[tokio::test]
async fn another_function_goes_on_where_the_chain_ends() {
    let (played, world) = (Played::start().await, World::new());
    function(&played, &world).sweep(&world, &world).await.unwrap();
    for _ in 0..30 {
        world.pass(SignedDuration::from_secs(20));
        world.happen();
        assert_eq!(
            function(&played, &world).sweep(&world, &world).await,
            Ok(1),
            "what the others kept is not kept again"
        );
    }
    let inspection = inspected(&played);
    assert!(inspection.faults.is_empty(), "{:?}", inspection.faults);
    assert_eq!(hashes(&inspection).len(), 30);
    assert!(inspection.checkpoints.iter().all(|one| one.chain == inspection.checkpoints[0].chain));
}

#[tokio::test]
async fn many_events_at_once_are_in_one_checkpoint_and_signed_alike() {
    let (played, world) = (Played::start().await, World::new());
    (0..150).for_each(|_| world.happen());
    assert_eq!(function(&played, &world).sweep(&world, &world).await, Ok(150));
    let inspection = inspected(&played);
    assert!(inspection.faults.is_empty(), "{:?}", inspection.faults);
    assert_eq!(inspection.checkpoints.iter().map(|one| one.heads.len()).max(), Some(150));
}

#[tokio::test]
async fn two_functions_at_once_make_one_chain() {
    let (played, world) = (Played::start().await, World::new());
    let (one, other) = (function(&played, &world), function(&played, &world));
    one.sweep(&world, &world).await.unwrap();
    for turn in 0..6 {
        world.pass(SignedDuration::from_mins(1));
        world.happen();
        let (first, second) = if turn % 2 == 0 { (&one, &other) } else { (&other, &one) };
        first.sweep(&world, &world).await.unwrap();
        second.sweep(&world, &world).await.unwrap();
    }
    let inspection = inspected(&played);
    assert!(inspection.faults.is_empty(), "{:?}", inspection.faults);
    assert_eq!(hashes(&inspection).len(), 6);
}

#[tokio::test]
async fn a_write_that_fails_with_or_without_its_effect_is_made_up_for() {
    let (played, world) = (Played::start().await, World::new());
    let function = function(&played, &world);
    function.sweep(&world, &world).await.unwrap();
    for status in [503, 500, 403] {
        world.pass(SignedDuration::from_mins(1));
        world.happen();
        // The second try of the same sweep fails too.
        played.inside.lock().unwrap().refuse = vec![status, 503];
        let failed = function.sweep(&world, &world).await;
        assert!(matches!(&failed, Err(Unkept::Notary(why)) if why.contains(&status.to_string())), "{failed:?}");
        function.sweep(&world, &world).await.unwrap();
    }
    let inspection = inspected(&played);
    assert!(inspection.faults.is_empty(), "{:?}", inspection.faults);
    assert_eq!(hashes(&inspection).len(), 3);
}

#[tokio::test]
async fn where_the_end_of_a_chain_cant_be_read_nothing_is_written_until_it_can() {
    let (played, world) = (Played::start().await, World::new());
    world.happen();
    function(&played, &world).sweep(&world, &world).await.unwrap();
    let before = played.inside.lock().unwrap().objects.len();
    world.pass(SignedDuration::from_mins(1));
    world.happen();
    played.inside.lock().unwrap().is_locked = true;
    let failed = function(&played, &world).sweep(&world, &world).await;
    let why = "S3 does not read a checkpoint: 403 AccessDenied";
    assert!(
        matches!(&failed, Err(Unkept::Notary(said)) if said.starts_with(why) && said.contains("otherKeys")),
        "{failed:?}"
    );
    assert_eq!(played.inside.lock().unwrap().objects.len(), before);
    played.inside.lock().unwrap().is_locked = false;
    function(&played, &world).sweep(&world, &world).await.unwrap();
    let inspection = inspected(&played);
    assert!(inspection.faults.is_empty(), "{:?}", inspection.faults);
    assert_eq!(hashes(&inspection).len(), 2, "in the same chain");
}

#[tokio::test]
async fn the_end_of_a_long_chain_is_found_in_a_few_calls() {
    for length in [999, 1_000, 1_001, 2_000, 40_123] {
        let (played, world) = (Played::start().await, World::new());
        let function = function(&played, &world);
        function.sweep(&world, &world).await.unwrap();
        lengthen(&played, length);
        played.calls();
        world.happen();
        let fresh = self::function(&played, &world);
        fresh.sweep(&world, &world).await.unwrap();
        let calls = played.calls();
        let lists = calls.iter().filter(|call| *call == "GET ").count();
        assert!(lists <= 16, "{length}: {lists} lists");
        assert!(
            calls.iter().any(|call| call.starts_with("PUT") && call.ends_with(&format!("/{:012}.json", length + 1))),
            "{length}: {calls:?}"
        );
    }
}

/// Puts copies of the first checkpoint up to this number into the bucket; only the last one is read, which is signed for its number.
fn lengthen(played: &Played, length: u64) {
    let first = played.names()[0].clone();
    let folder = first.rsplit_once('/').unwrap().0.to_owned();
    let content = played.inside.lock().unwrap().objects[&first].clone();
    let mut checkpoint: Checkpoint = serde_json::from_slice(&content).unwrap();
    for number in 2..=length {
        let content = if number + 30 < length {
            Vec::new()
        } else {
            checkpoint.number = number;
            played.sign(&mut checkpoint);
            serde_json::to_vec(&checkpoint).unwrap()
        };
        played.inside.lock().unwrap().objects.insert(format!("{folder}/{number:012}.json"), content);
    }
}

#[tokio::test]
async fn a_new_key_begins_a_new_chain_and_what_nobody_signed_is_told() {
    let (played, world) = (Played::start().await, World::new());
    function(&played, &world).sweep(&world, &world).await.unwrap();
    played.replace_key();
    world.pass(SignedDuration::from_mins(1));
    function(&played, &world).sweep(&world, &world).await.unwrap();
    let chains: Vec<_> = played.names().iter().map(|name| name.split('/').nth(1).unwrap().to_owned()).collect();
    assert!(chains.len() == 2 && chains[0] < chains[1], "{chains:?}");

    let last = played.names()[1].clone();
    let edited = String::from_utf8(played.inside.lock().unwrap().objects[&last].clone())
        .unwrap()
        .replace(r#""heads":[]"#, r#""heads": []"#)
        .replace("12:01:00", "12:02:00");
    played.inside.lock().unwrap().objects.insert(last.clone(), edited.into_bytes());
    let failed = function(&played, &world).sweep(&world, &world).await;
    assert!(
        matches!(&failed, Err(Unkept::Notary(why)) if why.contains("was not signed by the key that it names")),
        "{failed:?}"
    );
    played.inside.lock().unwrap().objects.insert(last, b"{}".to_vec());
    let failed = function(&played, &world).sweep(&world, &world).await;
    assert!(matches!(&failed, Err(Unkept::Notary(why)) if why.contains("is no checkpoint")), "{failed:?}");
    assert_eq!(played.names().len(), 2, "nothing goes on after it");
}
