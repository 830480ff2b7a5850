//! Checkpoints in a bucket: one object each, never overwritten, signed by a key in KMS that nobody can read.
//!
//! An object's name is `checkpoints/<chain>/<number>.json`. Its place in the chain is in it, so that of two functions that go on with the same chain at
//! once only one can write a number, and the other one reads anew where the chain stands. Chains and numbers sort by time, and each object is a line: all of
//! them in the order of their names are a file as `signoff audit verify --checkpoints` reads it.

use jiff::Timestamp;
use signoff_core::chain::DAWN;
use signoff_core::checkpoint::{Checkpoint, Checkpointer, Days, LATE, Notary, Resume, Unkept};
use signoff_core::host::Host;
use tokio::sync::Mutex;
use ulid::Ulid;

use super::VerifyingKey;
use super::calls::{Aws, PAGE, Put};

/// What the names of all checkpoints begin with.
const FOLDER: &str = "checkpoints/";
/// The most checkpoints that are read back to see what was kept lately. What is in none of them may be kept twice, which does no harm.
const MAX_BACK: u64 = 20;
/// How often the ledger is swept in one call where a chain begins: a table may hold days and days. What is left then, the next call goes on with.
const MAX_SWEEPS: usize = 20;

/// Writes the checkpoints of one table, a sweep at a time.
#[derive(Debug)]
pub struct BucketCheckpoints {
    aws: Aws,
    key: String,
    running: Mutex<Option<Checkpointer<BucketNotary>>>,
}

/// What signs with KMS and keeps in the bucket.
#[derive(Debug, Clone)]
pub(super) struct BucketNotary {
    aws: Aws,
    key: String,
    public: VerifyingKey,
}

impl BucketCheckpoints {
    /// Those in the bucket that `aws` knows, signed by the key of this ARN. Nothing is sent yet.
    pub fn new(aws: Aws, key: String) -> Self {
        Self { aws, key, running: Mutex::new(None) }
    }

    /// Writes what appeared since the last time, if anything did. Gives how many events it kept. The first time, and after anything went wrong, it goes on
    /// where the chain in the bucket ends.
    ///
    /// # Errors
    /// If the ledger can't be read, or a checkpoint not be signed or kept; or if the last one in the bucket is not what this key signed. Nothing is left out: the next
    /// call makes up for it.
    pub async fn sweep<D: Days, H: Host>(&self, days: &D, host: &H) -> Result<usize, Unkept> {
        let mut running = self.running.lock().await;
        if let Some(mut known) = running.take() {
            match to_its_end(&mut known, days, host).await {
                Ok(kept) => {
                    *running = Some(known);
                    return Ok(kept);
                }
                Err(error) => tracing::warn!(%error, "a checkpoint was not kept; where the chain ends is read anew"),
            }
        }
        let (notary, resume) = BucketNotary::open(&self.aws, &self.key, host.ulid()).await?;
        let mut fresh = Checkpointer::new(notary, resume)?;
        let kept = to_its_end(&mut fresh, days, host).await?;
        *running = Some(fresh);
        Ok(kept)
    }
}

async fn to_its_end<D: Days, H: Host>(
    checkpointer: &mut Checkpointer<BucketNotary>,
    days: &D,
    host: &H,
) -> Result<usize, Unkept> {
    let mut kept = checkpointer.sweep(days, host).await?;
    for _ in 1..MAX_SWEEPS {
        if checkpointer.has_caught_up() {
            break;
        }
        kept += checkpointer.sweep(days, host).await?;
    }
    Ok(kept)
}

impl BucketNotary {
    /// The notary, and where the last chain in the bucket goes on; `chain` names a new one, if there is none of this key.
    async fn open(aws: &Aws, key: &str, chain: Ulid) -> Result<(Self, Resume), Unkept> {
        let public = VerifyingKey::from_der(aws.public_key(key).await?);
        let public = public.ok_or_else(|| Unkept::Notary(format!("KMS gives no key on the curve P-256 for {key}")))?;
        let notary = Self { aws: aws.clone(), key: key.to_owned(), public };
        // What a table holds already is in the first checkpoints of a new chain.
        let begun = Resume::New { chain, since: DAWN };
        let Some(last) = notary.last().await? else {
            tracing::info!(key = notary.public.name(), "a new chain of checkpoints begins");
            return Ok((notary, begun));
        };
        if last.key != notary.public.name() {
            tracing::warn!(
                key = notary.public.name(),
                before = last.key,
                "the key was replaced: a new chain of checkpoints begins"
            );
            return Ok((notary, begun));
        }
        let message = last.message().map_err(|error| Unkept::Notary(error.to_string()))?;
        if !notary.public.is_signed(&message, &last.signature) {
            let why = format!(
                "checkpoint {} of {} was not signed by the key that it names: somebody else writes to the bucket",
                last.number, last.chain
            );
            return Err(Unkept::Notary(why));
        }
        let recent = notary.before(&last).await?;
        Ok((notary, Resume::After { last: Box::new(last), recent, since: DAWN }))
    }

    /// The last checkpoint of the last chain.
    async fn last(&self) -> Result<Option<Checkpoint>, Unkept> {
        let mut chain: Option<Ulid> = None;
        let mut after = FOLDER.to_owned();
        loop {
            let folders = self.aws.list(FOLDER, &after, true).await?;
            let chains =
                folders.iter().filter_map(|name| name.strip_prefix(FOLDER)?.strip_suffix('/')?.parse::<Ulid>().ok());
            chain = chains.max().max(chain);
            match folders.last() {
                // Behind everything in that folder.
                Some(last) if folders.len() >= PAGE => after = format!("{last}~"),
                _ => break,
            }
        }
        let Some(chain) = chain else { return Ok(None) };
        let Some(number) = self.last_number(chain).await? else { return Ok(None) };
        Ok(Some(self.read(chain, number).await?.ok_or_else(|| missing(chain, number))?))
    }

    /// The highest number of a chain. A list goes forward only, so it is looked for with strides that double, and then by halves.
    async fn last_number(&self, chain: Ulid) -> Result<Option<u64>, Unkept> {
        let (mut low, mut high, mut stride) = (0_u64, None::<u64>, 0_u64);
        loop {
            let probe = match high {
                Some(high) => low + (high - low) / 2,
                None => low + stride,
            };
            let names = self.aws.list(&folder(chain), &name(chain, probe), false).await?;
            match names.iter().filter_map(|name| number_in(name)).max() {
                Some(found) if names.len() < PAGE => return Ok(Some(found)),
                Some(found) => low = found,
                None if probe == low => return Ok((low > 0).then_some(low)),
                None => high = Some(probe),
            }
            stride = (stride * 2).max(PAGE as u64);
        }
    }

    async fn read(&self, chain: Ulid, number: u64) -> Result<Option<Checkpoint>, Unkept> {
        let name = name(chain, number);
        let Some(content) = self.aws.get(&name).await? else { return Ok(None) };
        let checkpoint = serde_json::from_slice::<Checkpoint>(&content).ok();
        let checkpoint = checkpoint.filter(|one| one.chain == chain && one.number == number);
        checkpoint.map(Some).ok_or_else(|| {
            Unkept::Notary(format!("{name} is no checkpoint of that number: somebody else writes to the bucket"))
        })
    }

    /// What the last checkpoints say of the time that is looked through again.
    async fn before(&self, last: &Checkpoint) -> Result<Vec<signoff_core::checkpoint::Head>, Unkept> {
        let since = last.through.saturating_sub(LATE).unwrap_or(Timestamp::MIN);
        let mut recent = last.heads.clone();
        for number in (last.number.saturating_sub(MAX_BACK).max(1)..last.number).rev() {
            let one = self.read(last.chain, number).await?.ok_or_else(|| missing(last.chain, number))?;
            if one.time < since {
                break;
            }
            recent.extend(one.heads);
        }
        Ok(recent)
    }
}

impl Notary for BucketNotary {
    fn key(&self) -> &str {
        self.public.name()
    }

    async fn sign(&self, message: &[u8]) -> Result<String, Unkept> {
        let signature = hex::encode(self.aws.sign(&self.key, message).await?);
        if self.public.is_signed(message, &signature) {
            return Ok(signature);
        }
        Err(Unkept::Notary("KMS gave a signature that does not fit".to_owned()))
    }

    async fn keep(&self, checkpoint: &Checkpoint) -> Result<(), Unkept> {
        let mut line = serde_json::to_string(checkpoint).map_err(|error| Unkept::Notary(error.to_string()))?;
        line.push('\n');
        match self.aws.put(&name(checkpoint.chain, checkpoint.number), line.as_bytes()).await? {
            Put::Done => Ok(()),
            Put::Exists => {
                Err(Unkept::Notary(format!("checkpoint {} was written by another function already", checkpoint.number)))
            }
        }
    }
}

fn missing(chain: Ulid, number: u64) -> Unkept {
    Unkept::Notary(format!("checkpoint {number} of {chain} is not in the bucket, and later ones are"))
}

fn folder(chain: Ulid) -> String {
    format!("{FOLDER}{chain}/")
}

/// The name of a checkpoint's object. Twelve digits, so that names sort as numbers do.
fn name(chain: Ulid, number: u64) -> String {
    format!("{}{number:012}.json", folder(chain))
}

fn number_in(name: &str) -> Option<u64> {
    name.rsplit('/').next()?.strip_suffix(".json")?.parse().ok()
}
