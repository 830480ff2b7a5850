//! signoff on the command line.
fn main() {}
