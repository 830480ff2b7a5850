//! A simulated Pulumi Cloud: the part of it that a deployment gate talks to.
//!
//! [`Cloud`] is the whole of it as a plain struct, deterministic, with the time as an argument: it can be driven by a
//! simulated clock in one thread. [`Sim`] puts it behind real HTTP on a loopback port, with a small page on which a
//! person plays the reviewer. [`seed::acme`] fills it with an organization to play with.

mod cloud;
mod http;
mod page;
pub mod seed;

pub use cloud::{
    Account, Answer, Approval, Call, ChangeRequest, Cloud, Delivery, Deployment, DeploymentStatus, Eligible,
    Environment, EnvironmentPermission, Fault, FaultPlan, Gate, GateVerdict, Grant, Happened, Hook, HookScope, LogLine,
    MachineToken, Organization, Pattern, Permission, Planned, Rate, Record, Refusal, Reply, Revision, Role, Ruleset,
    Stack, StackSetup, Status, Team, Timing, Token, Variable, WebhookFaults, signature,
};
pub use http::{Sim, SimConfig, SimError};
