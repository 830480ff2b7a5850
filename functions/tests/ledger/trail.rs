//! An organization's events of a day, page by page.

use std::ops::Range;

use jiff::Timestamp;
use signoff_core::checkpoint::{Days, Place as Spot};
use signoff_core::ledger::{Ledger, LedgerError, LineChange, Page};

use crate::contract::samples::{STACK, at, created, opened, recorded, step, submitted};
use crate::place::Table;

const DAY: &str = "2026-11-23";
const ALWAYS: Range<Timestamp> = Timestamp::UNIX_EPOCH..Timestamp::MAX;

pub(crate) async fn a_day_is_read_page_by_page(place: &impl Table) {
    let ledger = place.ledger();
    let acme = "acme".parse().unwrap();
    let mut wanted = Vec::new();
    for stack in [STACK, "acme/api/prod", "other/web/prod"] {
        let request = created(&ledger, stack).await;
        let request = recorded(&ledger, &request, opened(), LineChange::Keep).await;
        let tomorrow = step(Some(&request), submitted(), at(24 * 3_600));
        ledger.record(&tomorrow, None, LineChange::Keep).await.unwrap();
        if !stack.starts_with("other") {
            wanted.extend(ledger.events(request.ask.id).await.unwrap().into_iter().take(2));
        }
    }
    wanted.sort_by_key(|event| (event.time, event.id));
    for limit in [1, 2, 3, 4, 100] {
        let (mut read, mut after) = (Vec::new(), None);
        loop {
            let page = ledger.events_of_day(&acme, DAY, &ALWAYS, after.as_deref(), limit).await.unwrap();
            assert!(!page.items.is_empty() && page.items.len() <= limit);
            read.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(read, wanted, "{limit} at a time");
    }
    assert_eq!(ledger.events_of_day(&acme, "2026-11-24", &ALWAYS, None, 10).await.unwrap().items.len(), 2);
    assert_eq!(
        ledger.events_of_day(&acme, "2026-11-25", &ALWAYS, None, 10).await,
        Ok(Page { items: Vec::new(), next: None })
    );
}

pub(crate) async fn of_a_day_a_span_is_read_alone(place: &impl Table) {
    let ledger = place.ledger();
    let acme = "acme".parse().unwrap();
    let mut request = created(&ledger, STACK).await;
    for (event, seconds) in [(opened(), 60), (submitted(), 120)] {
        let next = step(Some(&request), event, at(seconds));
        ledger.record(&next, None, LineChange::Keep).await.unwrap();
        request = next.request;
    }
    let all = ledger.events(request.ask.id).await.unwrap();
    let [first, second, third] = [0, 1, 2].map(|n: usize| all[n].time);
    let tick = jiff::SignedDuration::from_millis(1);
    let spans = [
        (first..third + tick, 3),
        (first + tick..third + tick, 2),
        (second..second, 1),
        (second + tick..third - tick, 0),
        (third + tick..Timestamp::MAX, 0),
        (Timestamp::UNIX_EPOCH..first - tick, 0),
    ];
    for (span, wanted) in spans {
        let page = ledger.events_of_day(&acme, DAY, &span, None, 10).await.unwrap();
        assert_eq!((page.items.len(), page.next), (wanted, None), "{span:?}");
    }
    let one = ledger.events_of_day(&acme, DAY, &(second..Timestamp::MAX), None, 1).await.unwrap();
    let after = one.next.unwrap();
    let rest = ledger.events_of_day(&acme, DAY, &(second..Timestamp::MAX), Some(&after), 1).await.unwrap();
    assert_eq!((one.items, rest.items), (vec![all[1].clone()], vec![all[2].clone()]));
    let elsewhere = ledger.events_of_day(&acme, DAY, &(third..Timestamp::MAX), Some(&after), 1).await;
    assert_eq!(elsewhere, Err(LedgerError::BadCursor), "a page's end is one of its span");
}

pub(crate) async fn a_page_that_nobody_handed_out_is_refused(place: &impl Table) {
    let ledger = place.ledger();
    let acme = "acme".parse().unwrap();
    let request = created(&ledger, STACK).await;
    recorded(&ledger, &request, opened(), LineChange::Keep).await;
    let good = ledger.events_of_day(&acme, DAY, &ALWAYS, None, 1).await.unwrap().next.unwrap();
    let lower = good.to_lowercase();
    for bad in ["", "x", "1.2.3.4", &good[1..], &lower, &format!("{good}."), &format!("{good}9999999999999999999999")] {
        assert_eq!(
            ledger.events_of_day(&acme, DAY, &ALWAYS, Some(bad), 1).await,
            Err(LedgerError::BadCursor),
            "{bad:?}"
        );
    }
    let otherday = ledger.events_of_day(&acme, "2026-11-24", &ALWAYS, Some(&good), 1).await;
    assert_eq!(otherday, Err(LedgerError::BadCursor));
}

pub(crate) async fn a_day_is_read_from_any_time_on(place: &impl Table) {
    let ledger = place.ledger();
    let acme = "acme".parse().unwrap();
    let mut request = created(&ledger, STACK).await;
    for event in [opened(), submitted()] {
        request = recorded(&ledger, &request, event, LineChange::Keep).await;
    }
    let all = ledger.events(request.ask.id).await.unwrap();
    let first = all[0].time;
    let second = jiff::SignedDuration::from_secs(1);
    let read = async |spot: Option<Spot>| ledger.after(&acme, DAY, spot.as_ref(), 10).await.unwrap();
    assert_eq!(read(None).await, all);
    assert_eq!(read(Some(Spot::before(first))).await, all, "from a time on, that time included");
    assert_eq!(read(Some(Spot::before(first - second))).await, all);
    assert_eq!(read(Some(Spot::before(all[2].time + second))).await, []);
    for (index, event) in all.iter().enumerate() {
        assert_eq!(read(Some(Spot::of(event))).await, all[index + 1..], "after event {}", index + 1);
    }
    assert_eq!(ledger.organizations().await.unwrap(), []);
}
