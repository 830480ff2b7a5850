//! What is wrong with the store's file, in a sentence that names it and says what to do.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

/// The number by which `file` and others tell the store from other SQLite files; written to find out whether anything can be.
const APPLICATION: i32 = 0x5349_474e;

/// What keeps the store from being read and written: it is tried. `None` if nothing does.
pub(super) fn trouble(connection: &Connection, path: &Path) -> Option<String> {
    let written = connection.pragma_update(None, "application_id", APPLICATION);
    let error = written.err().or_else(|| check(connection).err())?;
    Some(explain(&error, path))
}

/// Whether the file is whole: SQLite's own check, which reads all of it.
pub(super) fn check(connection: &Connection) -> rusqlite::Result<()> {
    let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if said == "ok" {
        return Ok(());
    }
    Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), Some(said)))
}

/// An error of the store's as a sentence for whoever runs it.
pub(super) fn explain(error: &rusqlite::Error, path: &Path) -> String {
    let shown = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => format!(
            "the store {shown} can't be written: {error}. Free some space there: nothing that was acknowledged is lost, and it goes on by itself."
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            format!("the store {shown} can't be written: {error}. Let signoff write to it and to its directory.")
        }
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => format!(
            "the store {shown} can't be read or written: {error}. See whether its disk is full, failing or gone; nothing that was acknowledged was changed."
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!("the store {shown} is locked: {error}. Close whatever else has it open.")
        }
        _ => damaged(path, &error.to_string()),
    }
}

/// That the store is damaged.
pub(super) fn damaged(path: &Path, why: &str) -> String {
    format!(
        "the store {} can't be opened: {why}. If it is damaged, restore it from a backup; nothing was changed.",
        path.display()
    )
}
