//! SQLite's write-ahead log, looked at before SQLite does. SQLite takes whatever stands behind damage in it for never written, and says nothing: what was
//! acknowledged would be gone. So damage that has more than one transaction behind it keeps the store from being opened. One may be what a crash left
//! half-written, and was acknowledged to nobody.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

const HEADER: usize = 32;
const FRAME: usize = 24;
/// The last bit says in which byte order the checksums are made.
const MAGIC: u32 = 0x377f_0682;
/// The largest page that SQLite knows, in bytes.
const MAX_PAGE: usize = 65_536;

/// Fails where the log at this path is damaged in a way that no crash leaves.
///
/// # Errors
/// What is wrong, for a person.
pub(super) fn check(path: &Path) -> Result<(), String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    let mut log = BufReader::with_capacity(1 << 20, file);
    let mut header = [0; HEADER];
    if !fill(&mut log, &mut header)? {
        // Shorter than its header: nothing was ever committed through it.
        return Ok(());
    }
    let magic = word(&header, 0);
    let sum = Sum { big_endian: magic & 1 == 1 };
    let page = word(&header, 8) as usize;
    let mut state = sum.add([0, 0], &header[..24]);
    if magic & !1 != MAGIC
        || state != [word(&header, 24), word(&header, 28)]
        || !page.is_power_of_two()
        || page > MAX_PAGE
    {
        return Err("its header is no header of a log".to_owned());
    }
    let salt = [word(&header, 16), word(&header, 20)];
    let mut frame = vec![0; FRAME + page];
    let (mut number, mut damaged, mut behind) = (0_u64, None, 0_u32);
    while fill(&mut log, &mut frame)? {
        number += 1;
        let is_ours = [word(&frame, 8), word(&frame, 12)] == salt;
        if damaged.is_none() {
            state = sum.add(sum.add(state, &frame[..8]), &frame[FRAME..]);
            if !is_ours || state != [word(&frame, 16), word(&frame, 20)] {
                damaged = Some(number);
            }
        }
        // The second word of a frame is not zero in the last frame of a transaction.
        if damaged.is_some() && is_ours && word(&frame, 4) != 0 {
            behind += 1;
        }
    }
    match damaged {
        Some(number) if behind > 1 => {
            Err(format!("its frame {number} is damaged, and {behind} transactions that were committed stand behind it"))
        }
        _ => Ok(()),
    }
}

/// Reads a whole piece; false where the file ends before.
fn fill(from: &mut impl Read, piece: &mut [u8]) -> Result<bool, String> {
    match from.read_exact(piece) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

/// A big-endian word; zero where there is none.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// The checksum of the log, which runs on from frame to frame.
struct Sum {
    big_endian: bool,
}

impl Sum {
    fn add(&self, [mut one, mut two]: [u32; 2], bytes: &[u8]) -> [u32; 2] {
        let read = |four: &[u8]| match (four.try_into(), self.big_endian) {
            (Ok(four), true) => u32::from_be_bytes(four),
            (Ok(four), false) => u32::from_le_bytes(four),
            (Err(_), _) => 0,
        };
        for pair in bytes.chunks_exact(8) {
            one = one.wrapping_add(read(&pair[..4])).wrapping_add(two);
            two = two.wrapping_add(read(&pair[4..])).wrapping_add(one);
        }
        [one, two]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    use rusqlite::Connection;

    /// The log of ten transactions, copied while the database is still open, as a crash leaves it.
    fn log(name: &str) -> (PathBuf, Vec<u8>, Connection) {
        let directory = std::env::temp_dir().join(format!("signoff-wal-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let connection = Connection::open(directory.join("a.db")).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        for n in 0..9 {
            connection.execute("INSERT INTO t VALUES (?1)", [n]).unwrap();
        }
        let bytes = std::fs::read(directory.join("a.db-wal")).unwrap();
        (directory, bytes, connection)
    }

    #[test]
    fn what_a_crash_leaves_passes_and_what_only_damage_does_is_refused() {
        let (directory, whole, connection) = log("damage");
        let path = directory.join("copy");
        let of = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            check(&path)
        };
        assert_eq!(of(&whole), Ok(()));
        assert_eq!(check(&directory.join("nowhere")), Ok(()));
        for cut in [0, 10, HEADER, whole.len() / 2, whole.len() - 1] {
            assert_eq!(of(&whole[..cut]), Ok(()), "cut at {cut}");
        }
        let with = |from: usize, length: usize| {
            let mut bytes = whole.clone();
            bytes[from..from + length].fill(0xa5);
            bytes
        };
        assert!(of(&with(0, 4)).unwrap_err().contains("header"));
        assert!(of(&with(16, 8)).unwrap_err().contains("header"));
        assert!(of(&with(HEADER + FRAME + 100, 1)).unwrap_err().contains("frame 1 is damaged, and 10 transactions"));
        assert!(of(&with(HEADER, 5000)).unwrap_err().contains("frame 1 is damaged"));
        assert_eq!(of(&with(whole.len() - 100, 1)), Ok(()), "the last may be half-written");
        drop(connection);
        std::fs::remove_dir_all(&directory).unwrap();
    }

    /// When the log begins anew, the frames of the round before stay behind the new ones.
    #[test]
    fn the_round_before_is_no_damage() {
        let (directory, _, connection) = log("round");
        connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
        connection.execute("INSERT INTO t VALUES ('more')", []).unwrap();
        let bytes = std::fs::read(directory.join("a.db-wal")).unwrap();
        std::fs::write(directory.join("copy"), &bytes).unwrap();
        assert!(bytes.len() > 3 * 4096, "the round before is still there");
        assert_eq!(check(&directory.join("copy")), Ok(()));
        drop(connection);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
