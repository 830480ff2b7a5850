//! Lists of requests, newest first, page by page.

use std::collections::VecDeque;

use axum::Json;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use signoff_core::asking::Permission;
use signoff_core::cloud::Role;
use signoff_core::host::Host;
use signoff_core::ledger::{Ledger, Listing, Loaded, sound};
use signoff_core::names::{Login, Organization, RequestId, StackName};
use signoff_core::request::State;

use super::callers::{Caller, Callers};
use super::problem::Problem;
use super::query::{Parameters, Raw};
use super::view::RequestsView;
use super::{Served, cursor};

/// The most requests on one page.
const MAX_LIMIT: usize = 100;
/// How many requests are on a page if nobody says.
const DEFAULT_LIMIT: usize = 20;
/// How many requests are read for one page, whatever it finds.
const MAX_READ: usize = 500;
/// How many requests are read at once.
const CHUNK: usize = 100;
/// How many open requests are looked through by their ids; if there are more, the listing of all is.
const MAX_OPEN: usize = 1_000;
/// How many stacks of which nothing is known Pulumi Cloud is asked about for one page.
const MAX_LOOKUPS: usize = 20;

/// The states that are listed.
#[derive(Debug, Clone, Copy)]
enum States {
    All,
    Open,
    One(State),
}

/// Which requests are wanted.
struct Filter {
    organization: Organization,
    stack: Option<StackName>,
    states: States,
    requester: Option<Login>,
}

impl Filter {
    fn takes(&self, loaded: &Loaded) -> bool {
        let (ask, state) = (&loaded.request.ask, loaded.request.status.state);
        ask.stack.organization == self.organization
            && self.stack.as_ref().is_none_or(|stack| *stack == ask.stack)
            && self.requester.as_ref().is_none_or(|login| *login == ask.requester.login)
            && match self.states {
                States::All => true,
                States::Open => !state.is_terminal(),
                States::One(wanted) => state == wanted,
            }
    }

    /// Whether it takes whatever the organization has.
    fn takes_all(&self) -> bool {
        self.stack.is_none() && self.requester.is_none() && matches!(self.states, States::All)
    }

    /// What tells this listing from others, for its cursors.
    fn describe(&self) -> String {
        let stack = self.stack.as_ref().map(ToString::to_string).unwrap_or_default();
        let requester = self.requester.as_ref().map(Login::folded).unwrap_or_default();
        format!("{}\n{stack}\n{:?}\n{requester}", self.organization, self.states)
    }
}

/// Where candidates come from.
enum Source {
    /// Ids of open requests, newest first.
    Ids(VecDeque<RequestId>),
    /// The organization's listing: what was read of it, and before which request to read on, unless it is at its end.
    Listing { read: VecDeque<Listing>, before: Option<RequestId>, chunk: usize, is_over: bool },
}

/// What one answer holds.
struct Page {
    found: Vec<Loaded>,
    /// Those among them that can't be read.
    unreadable: Vec<RequestId>,
    /// The request after which the next page begins, if there may be more.
    last: Option<RequestId>,
}

/// What came of the attempt to get a candidate.
enum Next {
    Candidate(Box<Loaded>),
    /// One of the organization's that can't be read.
    Unreadable(RequestId),
    /// One that is gone, or of which nothing can be told.
    Nothing,
    End,
}

impl<L: Ledger, C: Callers, H: Host> Served<L, C, H> {
    /// `GET /v1/requests`
    pub(super) async fn list(&self, headers: &HeaderMap, query: Raw) -> Result<Response, Problem> {
        let caller = self.caller(headers).await?;
        let parameters = Parameters::of(query, &["organization", "stack", "state", "requester", "limit", "cursor"])?;
        let (stack, requester) = (parameters.parse::<StackName>("stack")?, parameters.parse("requester")?);
        let of_stack = stack.as_ref().map(|stack| &stack.organization).filter(|name| caller.role(name).is_some());
        let named = parameters.text("organization").or(of_stack.map(Organization::as_str));
        let (organization, role) = self.organization(&caller, named).await?;
        let states = match parameters.text("state") {
            None => States::All,
            Some("open") => States::Open,
            Some(text) => States::One(text.parse().map_err(|error| {
                Problem::malformed(format!("state: {error}; or open, which is all that are not over."))
            })?),
        };
        let limit = parameters.parse::<usize>("limit")?.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::malformed(format!("limit: a page has 1 to {MAX_LIMIT} requests.")));
        }
        let filter = Filter { organization, stack, states, requester };
        let listing = filter.describe();
        let before = parameters.text("cursor").map(|text| cursor::read(text, &listing)).transpose()?;
        let Page { found, unreadable, last } = self.page(&caller, role, &filter, before, limit).await?;
        let requests = found.iter().map(|loaded| self.view(loaded)).collect();
        let cursor = last.map(|last| cursor::write(last, &listing));
        Ok(Json(RequestsView { requests, unreadable, cursor }).into_response())
    }

    /// One page.
    async fn page(
        &self,
        caller: &Caller,
        role: Role,
        filter: &Filter,
        before: Option<RequestId>,
        limit: usize,
    ) -> Result<Page, Problem> {
        let mut source = self.source(filter, before, limit).await?;
        let mut page = Page { found: Vec::new(), unreadable: Vec::new(), last: before };
        let mut lookups = 0;
        for _ in 0..MAX_READ {
            let loaded = match self.next(&mut source, &filter.organization).await? {
                Next::Candidate(loaded) => *loaded,
                Next::Unreadable(id) => {
                    // Who sees single stacks only is not told of what may be another stack's.
                    page.unreadable.extend(matches!(role, Role::Admin | Role::Member).then_some(id));
                    page.last = Some(id);
                    continue;
                }
                Next::Nothing => continue,
                Next::End => return Ok(Page { last: None, ..page }),
            };
            let id = loaded.request.ask.id;
            if filter.takes(&loaded) {
                let stack = &loaded.request.ask.stack;
                let may_read = match (role, self.door.known_permission(&*self.api.host, caller, stack)) {
                    (Role::Admin | Role::Member, _) => true,
                    (_, Some(known)) => known >= Permission::Read,
                    (_, None) if lookups == MAX_LOOKUPS => return Ok(page),
                    (_, None) => {
                        lookups += 1;
                        let (callers, host) = (&*self.api.callers, &*self.api.host);
                        self.door.permission(callers, host, caller, stack).await? >= Permission::Read
                    }
                };
                if may_read {
                    if page.found.len() == limit {
                        return Ok(page);
                    }
                    page.found.push(loaded);
                }
            }
            page.last = Some(id);
        }
        Ok(page)
    }

    async fn source(&self, filter: &Filter, before: Option<RequestId>, limit: usize) -> Result<Source, Problem> {
        let is_open = match filter.states {
            States::Open => true,
            States::One(state) => !state.is_terminal(),
            States::All => false,
        };
        if is_open {
            let mut ids = self.api.ledger.open(MAX_OPEN).await?;
            if ids.len() < MAX_OPEN {
                ids.retain(|id| before.is_none_or(|before| *id < before));
                ids.sort_unstable_by(|one, other| other.cmp(one));
                ids.dedup();
                return Ok(Source::Ids(ids.into()));
            }
        }
        // One more than the page holds tells whether there is another.
        let chunk = if filter.takes_all() { limit.saturating_add(1) } else { CHUNK };
        Ok(Source::Listing { read: VecDeque::new(), before, chunk, is_over: false })
    }

    async fn next(&self, source: &mut Source, organization: &Organization) -> Result<Next, Problem> {
        match source {
            Source::Ids(ids) => match ids.pop_front() {
                // Of one that makes no sense not even whose it is can be told: it must not hide what is anybody's.
                Some(id) => match sound(self.api.ledger.load(id).await, id) {
                    Ok(loaded) => Ok(loaded.map_or(Next::Nothing, |loaded| Next::Candidate(Box::new(loaded)))),
                    Err(error) => Err(Problem::of_request(&error, id)),
                },
                None => Ok(Next::End),
            },
            Source::Listing { read, before, chunk, is_over } => {
                if read.is_empty() && !*is_over {
                    let more = self.api.ledger.list(organization, *before, *chunk).await?;
                    *is_over = more.len() < *chunk;
                    let id = |one: &Listing| one.as_ref().map_or_else(|id| *id, |loaded| loaded.request.ask.id);
                    *before = more.last().map(id).or(*before);
                    read.extend(more);
                }
                Ok(match read.pop_front() {
                    Some(Ok(loaded)) => Next::Candidate(Box::new(loaded)),
                    Some(Err(id)) => Next::Unreadable(id),
                    None => Next::End,
                })
            }
        }
    }
}
