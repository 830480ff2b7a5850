//! What people see: safe text, tables, colours, times.

pub(crate) mod event;
pub(crate) mod paint;
pub(crate) mod request;
pub(crate) mod screen;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod time;
