//! The whole, end to end: the real binary, its real store, a simulated Pulumi Cloud, and the referee between them. A module for each feature.

#![expect(clippy::expect_used, reason = "a test that can't go on fails, and says why")]

mod approvals;
mod asking;
mod attacks;
mod chaos;
mod command_line;
mod conditions;
mod crashes;
mod ending;
mod fail_closed;
mod imports;
mod line;
mod notices;
mod outages;
mod pushes;
mod rescues;
mod starting;
mod store_faults;
mod tampering;
mod walkthroughs;
