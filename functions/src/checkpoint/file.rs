//! Checkpoints in a file: one line each, only ever appended.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use signoff_core::checkpoint::{Checkpoint, LATE, MAX_HEADS, Notary, Resume, Unkept};
use ulid::Ulid;

use super::SigningKey;

/// The longest line that a checkpoint makes, in bytes, with room to spare: a head has some 250.
const MAX_LINE: u64 = 400 * MAX_HEADS as u64;
/// How much of the file's end is read to see where it stands.
const TAIL: u64 = 16 * MAX_LINE;

/// A file of checkpoints, and the key that signs them.
pub struct FileNotary {
    key: SigningKey,
    file: Arc<Appended>,
}

/// A file that grows, as far as we know.
struct Appended {
    path: PathBuf,
    /// How long it was after our last write.
    length: AtomicU64,
}

impl FileNotary {
    /// The file at `path`, which is made if it is not there; and where its chain goes on. `chain` names a new one; there is no event before `since`.
    /// A last line whose writing was cut short is cut off.
    ///
    /// # Errors
    /// If the file can't be read and written, or does not end with a checkpoint of this key: it was tampered with, or the key is another one. In a sentence.
    pub fn open(path: &Path, key: SigningKey, chain: Ulid, since: Timestamp) -> Result<(Self, Resume), String> {
        let failed = |error: io::Error| format!("the checkpoints {}: {error}", path.display());
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        let mut length = file.metadata().map_err(failed)?.len();
        let start = length.saturating_sub(TAIL);
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let mut bytes = Vec::new();
        (&mut file).take(length - start).read_to_end(&mut bytes).map_err(failed)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole < bytes.len() {
            let torn = bytes.len() - whole;
            bytes.truncate(whole);
            length = mend(&mut file, length, torn as u64).map_err(failed)?;
            tracing::warn!(path = %path.display(), bytes = torn, "the last checkpoint was not written to its end; it is cut off and made up for");
        }
        // Where the tail begins in the middle of a line, that line is not looked at.
        let begin = if start == 0 { 0 } else { bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1) };
        let text = String::from_utf8_lossy(&bytes[begin..]);
        let resume = resume(&text, &key, chain, since).map_err(|why| format!("{}: {why}", path.display()))?;
        if matches!(resume, Resume::New { .. }) {
            tracing::info!(path = %path.display(), key = key.public().name(), "a new chain of checkpoints begins");
        }
        let file = Arc::new(Appended { path: path.to_owned(), length: AtomicU64::new(length) });
        Ok((Self { key, file }, resume))
    }
}

/// Takes the last bytes off a file; if it may only be appended to, ends their line. Gives its length.
fn mend(file: &mut File, length: u64, torn: u64) -> io::Result<u64> {
    if file.set_len(length - torn).and_then(|()| file.sync_all()).is_ok() {
        return Ok(length - torn);
    }
    file.write_all(b"\n")?;
    Ok(length + 1)
}

/// Where the chain whose last lines these are goes on.
fn resume(text: &str, key: &SigningKey, chain: Ulid, since: Timestamp) -> Result<Resume, String> {
    let mut last: Option<Checkpoint> = None;
    let mut recent = Vec::new();
    for line in text.lines().rev() {
        // One that was cut short where nothing can be cut off.
        let Ok(checkpoint) = serde_json::from_str::<Checkpoint>(line) else { continue };
        let Some(last) = &last else {
            let message = checkpoint.message().map_err(|error| error.to_string())?;
            if !key.public().is_signed(&message, &checkpoint.signature) {
                return Err(format!(
                    "checkpoint {} was edited, or signed by another key ({}; this one is {}). Bring the key back, or move the file away and \
                     keep it: a new one is begun then",
                    checkpoint.number,
                    checkpoint.key,
                    key.public().name()
                ));
            }
            recent.extend(checkpoint.heads.iter().cloned());
            last = Some(checkpoint);
            continue;
        };
        if checkpoint.time < last.through.saturating_sub(LATE).unwrap_or(Timestamp::MIN) {
            break;
        }
        recent.extend(checkpoint.heads);
    }
    match last {
        Some(last) => Ok(Resume::After { last: Box::new(last), recent, since }),
        None if text.trim().is_empty() => Ok(Resume::New { chain, since }),
        None => Err("there is no checkpoint in it; move the file away, and a new one is begun".to_owned()),
    }
}

impl Notary for FileNotary {
    fn key(&self) -> &str {
        self.key.public().name()
    }

    async fn sign(&self, message: &[u8]) -> Result<String, Unkept> {
        self.key.sign(message).ok_or_else(|| Unkept::Notary("a checkpoint can't be signed".to_owned()))
    }

    async fn keep(&self, checkpoint: &Checkpoint) -> Result<(), Unkept> {
        let failed = |error: &dyn std::fmt::Display| Unkept::Notary(format!("{}: {error}", self.file.path.display()));
        let mut line = serde_json::to_string(checkpoint).map_err(|error| failed(&error))?;
        line.push('\n');
        let file = Arc::clone(&self.file);
        let written = tokio::task::spawn_blocking(move || file.append(line.as_bytes())).await;
        written.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }
}

impl Appended {
    /// Appends a line, whole or not at all as far as that can be had, and waits until it is on the disk.
    fn append(&self, line: &[u8]) -> io::Result<()> {
        // Opened each time: who moves the file away finds the next checkpoints in a new one, and not in a file that nobody sees.
        let mut file = match OpenOptions::new().append(true).open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                tracing::error!(path = %self.path.display(), "the checkpoints are gone; they go on in a new file, which shows that those before are missing");
                OpenOptions::new().append(true).create_new(true).open(&self.path)?
            }
            opened => opened?,
        };
        let before = file.metadata()?.len();
        let known = self.length.load(Ordering::Relaxed);
        if before != known && before != 0 {
            tracing::error!(path = %self.path.display(), known, found = before, "somebody else wrote to the checkpoints, or cut them");
        }
        let written = file.write_all(line).and_then(|()| file.sync_data());
        if let Err(error) = written {
            let torn = file.metadata()?.len().saturating_sub(before);
            let length = if torn == 0 { before } else { mend(&mut file, before + torn, torn)? };
            self.length.store(length, Ordering::Relaxed);
            return Err(error);
        }
        self.length.store(before + line.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}
