//! The page on which a person plays the reviewer. It works without JavaScript; a few lines of it keep it fresh.

use jiff::Timestamp;

use crate::cloud::{
    Account, Call, ChangeRequest, Cloud, Deployment, DeploymentStatus, Gate, Reply, Role, Status, decode_form, encode,
};

/// How many change requests and deployments the page shows.
const SHOWN: usize = 30;

/// The page. `?as=` says who is looking, `?version=` which change request is meant, as in links of the real console.
pub(crate) fn show(cloud: &Cloud, now: Timestamp, call: &Call) -> Reply {
    let query = |name: &str| call.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let who = query("as").and_then(|login| cloud.account(login)).or_else(|| cloud.account("bob"));
    let who = who.or_else(|| cloud.accounts().next()).map_or("", |account| account.login.as_str());
    let meant = query("version").unwrap_or_default();

    let people: String = cloud.accounts().map(|account| person(cloud, account, account.login == who, meant)).collect();
    let notice = match query("said").filter(|text| !text.is_empty()) {
        Some(text) => format!("<p class=notice role=status>{}</p>", escape(text)),
        None => String::new(),
    };
    let requests = cloud.change_requests().iter().rev();
    let mut requests: Vec<&ChangeRequest> = requests.filter(|r| r.status != Status::Draft).collect();
    // What is meant comes first, then what still waits.
    requests.sort_by_key(|request| (request.id != meant, !request.status.is_open()));
    let cards: String = requests.iter().take(SHOWN).map(|r| card(cloud, r, who, r.id == meant)).collect();
    let unknown = match meant {
        "" => String::new(),
        meant if requests.iter().any(|request| request.id == meant) => String::new(),
        meant => format!("<p class=notice>There is no change request <code>{}</code> here.</p>", escape(meant)),
    };
    let cards = if cards.is_empty() { "<p class=none>Nothing has been asked for yet.</p>".to_owned() } else { cards };
    let deployments = cloud.deployments().iter().rev().take(SHOWN);
    let rows: String = deployments.map(|deployment| row(now, deployment)).collect();
    let table = match rows.as_str() {
        "" => "<p class=none>No deployments yet.</p>".to_owned(),
        rows => format!(
            "<div class=scroll><table><thead><tr><th>Stack<th>Status<th>No.<th>Operation<th>Started by<th>Asked for by\
             <th>Age</thead><tbody>{rows}</tbody></table></div>"
        ),
    };
    Reply::html(
        200,
        format!(
            "<!doctype html><html lang=en><head><meta charset=utf-8>\
             <meta name=viewport content='width=device-width, initial-scale=1'>\
             <title>Simulated Pulumi Cloud</title><style>{STYLE}</style></head><body>\
             <header><h1>Simulated Pulumi Cloud</h1><p>Not the real one: nothing is deployed, nobody is asked. \
             Choose who you are, then review.</p><nav aria-label='Who you are'>{people}</nav></header>\
             <main id=live>{notice}{unknown}<h2>Change requests</h2>{cards}<h2>Deployments</h2>{table}</main>\
             <script>{SCRIPT}</script></body></html>"
        ),
    )
}

/// A click on the page: does it, and leads back to the page, which says what came of it.
pub(crate) fn act(cloud: &mut Cloud, now: Timestamp, call: &Call) -> Reply {
    let form = decode_form(&String::from_utf8_lossy(&call.body));
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    let (who, id) = (field("as"), field("id"));
    let done = match (call.method.as_str(), call.path.as_str()) {
        ("POST", "/sim/page/approve") => cloud.approve(now, who, id).map(|()| "Approved"),
        ("POST", "/sim/page/unapprove") => cloud.unapprove(now, who, id, None).map(|()| "Approval withdrawn from"),
        ("POST", "/sim/page/apply") => cloud.apply_as(now, who, id).map(|()| "Applied"),
        ("POST", "/sim/page/close") => cloud.close_as(now, who, id, Some("closed on the page")).map(|()| "Closed"),
        _ => return Reply::error(404, "Not Found"),
    };
    let said = match done {
        Ok(done) => format!("{done} {}, as {who}.", cloud.change_request(id).map(about).unwrap_or_default()),
        Err(refusal) => format!("Refused: {}", refusal.message),
    };
    let (who, id, said) = (encode(who), encode(id), encode(&said));
    Reply::empty(303).header("location", &format!("/?as={who}&version={id}&said={said}"))
}

/// What a change request is about: its environment, and the stack that its description names, if it does.
fn about(request: &ChangeRequest) -> String {
    let stack = request.description.lines().find_map(|line| line.strip_prefix("stack: "));
    let stack = stack.map(|stack| format!(" for {stack}")).unwrap_or_default();
    format!("{}{stack}", request.qualified_name())
}

fn person(cloud: &Cloud, account: &Account, chosen: bool, meant: &str) -> String {
    let mark = if chosen { " aria-current=true" } else { "" };
    let admin = cloud.organizations().any(|o| cloud.role(&o.login, &account.login) == Role::Admin);
    let admin = if admin { "<small>admin</small>" } else { "" };
    let meant = if meant.is_empty() { String::new() } else { format!("&amp;version={}", encode(meant)) };
    format!("<a href='/?as={}{meant}'{mark}>{}{admin}</a>", encode(&account.login), escape(&account.login))
}

fn card(cloud: &Cloud, request: &ChangeRequest, who: &str, meant: bool) -> String {
    let status = request.strange_status.as_deref().unwrap_or(request.status.word());
    let rulesets: String = cloud
        .verdicts(request)
        .iter()
        .map(|verdict| {
            let mark = if verdict.satisfied { "ok" } else { "waits" };
            let by = match verdict.approvers.join(", ") {
                none if none.is_empty() && request.status.is_open() => "nobody yet".to_owned(),
                none if none.is_empty() => "nobody".to_owned(),
                names => names,
            };
            let eligible =
                if request.status.is_open() { eligible(cloud, &verdict.gate, request) } else { String::new() };
            format!(
                "<li class={mark}><b>{}</b> {} of {}: {}{}</li>",
                escape(&verdict.gate.ruleset.name),
                verdict.approvers.len(),
                verdict.gate.ruleset.required,
                escape(&by),
                escape(&eligible),
            )
        })
        .collect();
    let rulesets = if rulesets.is_empty() { "<li class=ok>no ruleset in force</li>".to_owned() } else { rulesets };
    let approves = cloud.verdicts(request).iter().any(|verdict| cloud.may_approve(&verdict.gate, request, who));
    let sees = cloud.visible_request(who, &request.id);
    let decides = sees.as_ref().is_ok_and(|at| cloud.has_access(who, *at).is_ok());
    let approved = request.approvals.iter().any(|approval| approval.login.eq_ignore_ascii_case(who));
    let review = match approved {
        true => ("unapprove", "Withdraw approval", sees.is_ok()),
        false => ("approve", "Approve", sees.is_ok() && approves),
    };
    let (apply, close) = (("apply", "Apply", decides), ("close", "Close", decides));
    let buttons: String = match request.status {
        Status::Draft | Status::Applied | Status::Closed => String::new(),
        Status::Pending => [review, close].map(|b| button(b, request, who)).concat(),
        Status::Ready => [review, apply, close].map(|b| button(b, request, who)).concat(),
    };
    let revision = request.revisions.last().copied();
    let times = revision.map_or(String::new(), |revision| {
        let (grant, access) = (span(revision.grant_seconds), span(revision.access_seconds));
        format!("to be opened within {grant} of apply, then open for {access}")
    });
    format!(
        "<article class='{status}{}'><h3><span class='tag {status}'>{status}</span> Open \
         <code>{}</code></h3><p class=by>asked for by <b>{}</b> · revision {} · {times}</p><pre>{}</pre>\
         <ul>{rulesets}</ul><div class=buttons>{buttons}</div><p class=id>{}</p></article>",
        if meant { " meant" } else { "" },
        escape(request.qualified_name()),
        escape(&request.created_by),
        request.latest_revision(),
        escape(&request.description),
        escape(&request.id),
        status = escape(status),
    )
}

/// Who may approve under a ruleset.
fn eligible(cloud: &Cloud, gate: &Gate, request: &ChangeRequest) -> String {
    let people = cloud.accounts().map(|account| account.login.as_str());
    let people: Vec<&str> = people.filter(|login| cloud.may_approve(gate, request, login)).collect();
    match people.as_slice() {
        [] => "; nobody may approve".to_owned(),
        people => format!("; {} may approve", people.join(", ")),
    }
}

/// A button for what a person may do, or one that can't be pressed.
fn button((action, label, may): (&str, &str, bool), request: &ChangeRequest, who: &str) -> String {
    let disabled = if may { "" } else { " disabled" };
    format!(
        "<form method=post action='/sim/page/{action}'><input type=hidden name=as value='{}'>\
         <input type=hidden name=id value='{}'><button class={action}{disabled}>{label}<span class=as> as {}</span></button></form>",
        escape(who),
        escape(&request.id),
        escape(who)
    )
}

fn row(now: Timestamp, deployment: &Deployment) -> String {
    let status = deployment.status.word();
    let mark = deployment.variables().remove("SIGNOFF_REQUEST_ID").filter(|variable| !variable.secret);
    let mark = mark.map_or("–".to_owned(), |variable| variable.value);
    let why = match deployment.status {
        DeploymentStatus::Failed => deployment.log.last().map(|line| line.line.as_str()).unwrap_or_default(),
        _ => "",
    };
    format!(
        "<tr><td><code>{}</code><td><span class='tag {status}'>{status}</span> <small>{}</small><td>{}<td>{}\
         <td>{}<td><code>{}</code><td>{}",
        escape(&deployment.stack),
        escape(why),
        deployment.version,
        escape(&deployment.operation),
        escape(&deployment.created_by),
        escape(&mark),
        span(now.duration_since(deployment.created_at).as_secs())
    )
}

fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{} s", seconds.max(0)),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2330;--soft:#5b6576;--line:#d9dee7;--back:#f5f7fa;--card:#fff;--accent:#4b3fb5}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--soft:#9aa4b5;--line:#343c4a;--back:#151a22;--card:#1d242f;--accent:#a79cff}}
*{box-sizing:border-box}body{margin:0;font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back)}
header{background:var(--card);border-bottom:1px solid var(--line);padding:1rem max(1rem,calc(50vw - 30rem))}
main{padding:.5rem max(1rem,calc(50vw - 30rem)) 3rem}h1{font-size:1.35rem;margin:0}h2{font-size:1.1rem;margin:1.5rem 0 .6rem}
header p{margin:.2rem 0 .7rem;color:var(--soft)}nav{display:flex;flex-wrap:wrap;gap:.4rem}
nav a{padding:.2rem .8rem;border:1px solid var(--line);border-radius:2rem;color:inherit;text-decoration:none}
nav a[aria-current]{background:var(--accent);border-color:var(--accent);color:var(--card);font-weight:600}nav small{opacity:.7;margin-left:.4rem}
article{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.9rem 1.1rem;margin:0 0 .8rem}
article.meant{outline:2px solid var(--accent)}article.applied,article.closed{background:transparent}
h3{font-size:1rem;margin:0}.by,.id{margin:.2rem 0;color:var(--soft);font-size:.9rem}.id{font:.75rem ui-monospace,monospace;margin:.6rem 0 0}
pre{margin:.5rem 0;padding:.6rem .8rem;background:var(--back);border:1px solid var(--line);border-radius:.4rem;white-space:pre-wrap;overflow-wrap:anywhere;font:.85rem/1.5 ui-monospace,monospace}
ul{margin:.4rem 0;padding:0;list-style:none}li::before{display:inline-block;width:1.4em;content:'○'}li.ok::before{content:'✓';color:#1a8a4a}
.buttons{display:flex;flex-wrap:wrap;gap:.5rem}form{margin:.3rem 0 0}
button{font:inherit;padding:.3rem .9rem;border-radius:.4rem;border:1px solid var(--line);background:var(--card);color:inherit;cursor:pointer}
button:disabled{opacity:.45;cursor:not-allowed}
button.approve,button.apply{background:#1a7f45;border-color:#1a7f45;color:#fff}button.close{color:#b3261e;border-color:currentcolor}
@media(prefers-color-scheme:dark){button.close{color:#ff9b93}}.as{font-size:.85em}
.tag{display:inline-block;padding:0 .6rem;border-radius:1rem;font-size:.8rem;font-weight:600;background:#8883;white-space:nowrap}
.tag.pending,.tag.not-started,.tag.accepted{background:#f0b42955}.tag.ready,.tag.running{background:#3b82f655}.tag.applied,.tag.succeeded{background:#22a35a55}.tag.failed,.tag.closed{background:#e5484d55}
.scroll{overflow-x:auto}table{width:100%;border-collapse:collapse;background:var(--card);border:1px solid var(--line);font-size:.9rem}
th,td{text-align:left;padding:.4rem .7rem;border-bottom:1px solid var(--line);vertical-align:top}th{color:var(--soft);font-weight:600}
code{font:.9em ui-monospace,monospace}.none{color:var(--soft)}.notice{padding:.5rem .8rem;border-left:4px solid var(--accent);background:var(--card)}";

/// Fetches the page again and again, and swaps what changed; not while somebody is on a button.
const SCRIPT: &str = "
setInterval(async()=>{const live=document.getElementById('live');
if(document.hidden||live.contains(document.activeElement))return;
try{const page=new DOMParser().parseFromString(await(await fetch(location.href)).text(),'text/html');
const next=page.getElementById('live');if(next.innerHTML!==live.innerHTML)live.innerHTML=next.innerHTML}catch{}},1500)";
