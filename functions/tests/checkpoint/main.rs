//! The file of the checkpoints, and the key that signs them.
#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod bucket;
mod played;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use jiff::Timestamp;
use signoff_core::checkpoint::{Checkpoint, GENESIS, Inspection, Notary, Resume, TYPE, Unkept, inspect};
use signoff_functions::checkpoint::{FileNotary, SigningKey, VerifyingKey};
use ulid::Ulid;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("signoff-checkpoint-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn key(&self) -> SigningKey {
        let path = self.0.join("key");
        if path.exists() { SigningKey::read(&path).unwrap() } else { SigningKey::create(&path).unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.0.join("checkpoints.jsonl")
    }

    fn open(&self) -> Result<(FileNotary, Resume), String> {
        FileNotary::open(&self.file(), self.key(), Ulid::from_parts(1, 1), Timestamp::UNIX_EPOCH)
    }

    fn inspect(&self) -> Inspection {
        let key = VerifyingKey::read(&self.0.join("key.pub")).unwrap();
        let text = fs::read_to_string(self.file()).unwrap();
        inspect(&text, key.name(), |message, signature| key.is_signed(message, signature))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What can't be removed is left to the system.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Signs and keeps the one after `before`.
async fn keep(notary: &FileNotary, before: Option<&Checkpoint>) -> Result<Checkpoint, Unkept> {
    let time = Timestamp::UNIX_EPOCH;
    let mut next = Checkpoint {
        kind: TYPE.to_owned(),
        chain: Ulid::from_parts(1, 1),
        number: before.map_or(0, |before| before.number) + 1,
        time,
        through: time,
        organizations: Vec::new(),
        previous: before.map_or(GENESIS.to_owned(), |before| before.hash().unwrap()),
        heads: Vec::new(),
        key: notary.key().to_owned(),
        signature: String::new(),
    };
    next.signature = notary.sign(&next.message().unwrap()).await?;
    notary.keep(&next).await?;
    Ok(next)
}

/// The last checkpoint that a chain goes on after.
fn last(resume: Resume) -> Checkpoint {
    match resume {
        Resume::After { last, .. } => *last,
        Resume::New { .. } => panic!("a new chain begins"),
    }
}

#[test]
fn a_key_is_read_as_it_was_made_and_its_owners_alone() {
    let folder = Folder::new();
    let key = folder.key();
    let signature = key.sign(b"message").unwrap();
    for name in ["key", "key.pub"] {
        let read = VerifyingKey::read(&folder.0.join(name)).unwrap();
        assert_eq!(&read, key.public());
        assert!(read.is_signed(b"message", &signature));
        assert!(!read.is_signed(b"massage", &signature) && !read.is_signed(b"message", &signature[2..]));
        assert!(!read.is_signed(b"message", "") && !read.is_signed(b"message", "no digits"));
    }
    assert_eq!(fs::metadata(folder.0.join("key")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(folder.key().public(), key.public());
    assert_ne!(Folder::new().key().public(), key.public());
}

#[test]
fn what_is_no_key_is_refused() {
    let folder = Folder::new();
    folder.key();
    assert!(SigningKey::read(&folder.0.join("key.pub")).is_err(), "a public key signs nothing");
    let path = folder.0.join("bad");
    for text in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "-----BEGIN PRIVATE KEY-----"] {
        fs::write(&path, text).unwrap();
        assert!(VerifyingKey::read(&path).is_err() && SigningKey::read(&path).is_err(), "{text}");
    }
    assert!(VerifyingKey::read(&folder.0.join("missing")).is_err());
}

#[tokio::test]
async fn a_chain_goes_on_where_it_was() {
    let folder = Folder::new();
    let (notary, resume) = folder.open().unwrap();
    assert!(matches!(resume, Resume::New { .. }));
    let first = keep(&notary, None).await.unwrap();
    let (notary, resume) = folder.open().unwrap();
    assert_eq!(last(resume), first);
    keep(&notary, Some(&first)).await.unwrap();
    let inspection = folder.inspect();
    assert_eq!((inspection.checkpoints.len(), inspection.faults.len(), inspection.torn.len()), (2, 0, 0));
}

#[tokio::test]
async fn a_line_that_was_cut_short_is_cut_off() {
    let folder = Folder::new();
    let (notary, _) = folder.open().unwrap();
    let first = keep(&notary, None).await.unwrap();
    let second = keep(&notary, Some(&first)).await.unwrap();
    let text = fs::read_to_string(folder.file()).unwrap();
    let whole = text.find('\n').unwrap() + 1;
    for length in whole + 1..text.len() {
        fs::write(folder.file(), &text[..length]).unwrap();
        let (notary, resume) = folder.open().unwrap();
        assert_eq!(last(resume), first, "{length} bytes");
        if length % 50 == 0 {
            keep(&notary, Some(&first)).await.unwrap();
            assert_eq!(folder.inspect().faults, []);
        }
    }
    // In the middle of the very first there is none to go on after.
    fs::write(folder.file(), &text[..whole - 1]).unwrap();
    assert!(matches!(folder.open().unwrap().1, Resume::New { .. }));
    drop(second);
}

#[tokio::test]
async fn a_chain_of_another_key_or_one_that_was_edited_is_not_gone_on_with() {
    let (folder, other) = (Folder::new(), Folder::new());
    let (notary, _) = other.open().unwrap();
    keep(&notary, None).await.unwrap();
    fs::copy(other.file(), folder.file()).unwrap();
    assert!(folder.open().err().unwrap().contains("signed by another key"));
    let text = fs::read_to_string(other.file()).unwrap();
    fs::write(other.file(), text.replace("1970", "1971")).unwrap();
    assert!(other.open().err().unwrap().contains("was edited"));
    fs::write(other.file(), "something else\n").unwrap();
    assert!(other.open().err().unwrap().contains("no checkpoint in it"));
}

#[tokio::test]
async fn what_is_cut_off_or_moved_away_while_it_runs_shows_as_missing() {
    for gone in [true, false] {
        let folder = Folder::new();
        let (notary, _) = folder.open().unwrap();
        let first = keep(&notary, None).await.unwrap();
        let second = keep(&notary, Some(&first)).await.unwrap();
        if gone {
            fs::remove_file(folder.file()).unwrap();
        } else {
            fs::write(folder.file(), "").unwrap();
        }
        keep(&notary, Some(&second)).await.unwrap();
        let faults: Vec<String> = folder.inspect().faults.iter().map(|fault| fault.flaw.to_string()).collect();
        assert_eq!(faults, ["checkpoint 3 stands where checkpoint 1 belongs"]);
    }
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_nothing_counts_as_kept() {
    let folder = Folder::new();
    std::os::unix::fs::symlink("/dev/full", folder.file()).unwrap();
    let (notary, _) = folder.open().unwrap();
    let said = keep(&notary, None).await.unwrap_err().to_string();
    assert!(said.contains("No space left"), "{said}");
    fs::remove_file(folder.file()).unwrap();
    keep(&notary, None).await.unwrap();
    assert_eq!(folder.inspect().faults, []);
}
