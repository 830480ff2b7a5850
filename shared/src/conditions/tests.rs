use super::*;

fn zone(name: &str) -> Zone {
    Zone::try_from(name.to_owned()).unwrap()
}

fn window(text: &str) -> Window {
    Window::try_from(text.to_owned()).unwrap()
}

fn freeze(from: &str, to: &str) -> Freeze {
    serde_json::from_value(serde_json::json!({"from": from, "to": to, "reason": "Year end\nsee the wiki"})).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// When something goes through: the moment itself, or when it opens.
fn opens(zone_name: &str, windows: &[&str], freezes: &[(&str, &str)], moment: &str) -> String {
    let (zone, windows) = (zone(zone_name), windows.iter().map(|text| window(text)).collect::<Vec<_>>());
    let freezes: Vec<_> = freezes.iter().map(|(from, to)| freeze(from, to)).collect();
    let calendar = Calendar { zone: &zone, windows: &windows, freezes: freezes.iter().collect() };
    let closed = calendar.closed(at(moment), &BTreeSet::new());
    if let Some(closed) = &closed {
        // It is closed until then, and open from then on.
        assert!(calendar.closed(closed.opens, &BTreeSet::new()).is_none(), "{closed:?}");
        let just_before = closed.opens - SignedDuration::from_millis(1);
        assert!(calendar.closed(just_before, &BTreeSet::new()).is_some(), "{closed:?}");
    }
    closed.map_or_else(|| moment.to_owned(), |closed| closed.opens.to_string())
}

#[test]
fn windows_are_days_and_hours_of_the_wall_clock() {
    let office = &["mon-fri 09:00-17:00"][..];
    for (moment, goes_through) in [
        // 2026-11-24 is a Tuesday; Berlin is one hour ahead.
        ("2026-11-24T08:00:00Z", "2026-11-24T08:00:00Z"),
        ("2026-11-24T07:59:59.999Z", "2026-11-24T08:00:00Z"),
        ("2026-11-24T15:59:59.999Z", "2026-11-24T15:59:59.999Z"),
        ("2026-11-24T16:00:00Z", "2026-11-25T08:00:00Z"),
        ("2026-11-27T16:00:00Z", "2026-11-30T08:00:00Z"),
        ("2026-11-28T12:00:00Z", "2026-11-30T08:00:00Z"),
    ] {
        assert_eq!(opens("Europe/Berlin", office, &[], moment), goes_through, "{moment}");
    }
    assert_eq!(opens("UTC", &["sun 00:00-00:01"], &[], "2026-11-29T00:01:00Z"), "2026-12-06T00:00:00Z");
    assert_eq!(opens("UTC", &["sat-mon 23:00-24:00"], &[], "2026-11-24T12:00:00Z"), "2026-11-28T23:00:00Z");
    let night = &["fri 22:00-24:00", "sat 00:00-06:00"];
    assert_eq!(opens("UTC", night, &[], "2026-11-28T03:00:00Z"), "2026-11-28T03:00:00Z");
    assert_eq!(opens("Pacific/Auckland", &["daily 06:00-07:00"], &[], "2026-11-24T18:00:00Z"), "2026-11-25T17:00:00Z");
}

#[test]
fn clocks_that_go_forward_or_back_shift_windows_with_them() {
    // In Berlin 2026-03-29 has no 02:00 to 03:00, and 2026-10-25 has it twice.
    let office = &["daily 09:00-17:00"];
    assert_eq!(opens("Europe/Berlin", office, &[], "2026-03-28T20:00:00Z"), "2026-03-29T07:00:00Z");
    assert_eq!(opens("Europe/Berlin", office, &[], "2026-03-27T20:00:00Z"), "2026-03-28T08:00:00Z");
    assert_eq!(opens("Europe/Berlin", office, &[], "2026-10-24T20:00:00Z"), "2026-10-25T08:00:00Z");
    let missing = &["daily 02:15-02:45"];
    assert_eq!(opens("Europe/Berlin", missing, &[], "2026-03-29T00:00:00Z"), "2026-03-30T00:15:00Z");
    // What has no such hour this Sunday opens on the next one.
    let weekly = &["sun 02:00-03:00"];
    assert_eq!(opens("Europe/Berlin", weekly, &[], "2026-03-24T10:00:00Z"), "2026-04-05T00:00:00Z");
    let until = &[("2026-03-20T00:00", "2026-03-24T00:00")];
    assert_eq!(opens("Europe/Berlin", weekly, until, "2026-03-21T10:00:00Z"), "2026-04-05T00:00:00Z");
    let cut = &["daily 02:30-03:30"];
    assert_eq!(opens("Europe/Berlin", cut, &[], "2026-03-29T00:00:00Z"), "2026-03-29T01:00:00Z");
    let twice = &["daily 02:15-02:45"];
    assert_eq!(opens("Europe/Berlin", twice, &[], "2026-10-25T00:00:00Z"), "2026-10-25T00:15:00Z");
    assert_eq!(opens("Europe/Berlin", twice, &[], "2026-10-25T00:45:00Z"), "2026-10-25T01:15:00Z");
    assert_eq!(opens("Europe/Berlin", twice, &[], "2026-10-25T01:45:00Z"), "2026-10-26T01:15:00Z");
    let over = &["daily 01:30-02:30"];
    assert_eq!(opens("Europe/Berlin", over, &[], "2026-10-25T00:30:00Z"), "2026-10-25T01:00:00Z");
}

#[test]
fn a_freeze_wins_and_is_the_longer_one_where_clocks_change() {
    let days = &[("2026-12-20T00:00", "2027-01-04T00:00")][..];
    assert_eq!(opens("Europe/Berlin", &[], days, "2026-12-19T22:59:59Z"), "2026-12-19T22:59:59Z");
    assert_eq!(opens("Europe/Berlin", &[], days, "2026-12-19T23:00:00Z"), "2027-01-03T23:00:00Z");
    assert_eq!(opens("Europe/Berlin", &["mon-fri 09:00-17:00"], days, "2026-12-21T10:00:00Z"), "2027-01-04T08:00:00Z");
    let chain = &[("2026-12-20T00:00", "2026-12-22T00:00"), ("2026-12-21T00:00", "2026-12-24T00:00")];
    assert_eq!(opens("UTC", &[], chain, "2026-12-20T10:00:00Z"), "2026-12-24T00:00:00Z");
    let twice = &[("2026-10-25T02:00", "2026-10-25T02:30")];
    assert_eq!(opens("Europe/Berlin", &[], twice, "2026-10-25T00:00:00Z"), "2026-10-25T01:30:00Z");
    let never = &[("2026-03-29T02:10", "2026-03-29T02:20")];
    assert_eq!(opens("Europe/Berlin", &[], never, "2026-03-29T00:10:00Z"), "2026-03-29T01:20:00Z");
}

#[test]
fn the_end_of_time_is_found_at_once() {
    assert_eq!(closes_for_ever("9999-12-30T20:00:00Z"), Some(Timestamp::MAX));
    assert_eq!(closes_for_ever("2026-12-30T20:00:00Z"), Some(at("2027-01-04T09:00:00Z")));
}

fn closes_for_ever(moment: &str) -> Option<Timestamp> {
    let windows = [window("mon 09:00-10:00")];
    let calendar = Calendar { zone: &Zone::UTC, windows: &windows, freezes: Vec::new() };
    calendar.closed(at(moment), &BTreeSet::new()).map(|closed| closed.opens)
}

#[test]
fn what_is_lifted_does_not_count() {
    let (zone, windows) = (zone("Europe/Berlin"), [window("mon 09:00-17:00")]);
    let freezes = [freeze("2026-12-20T00:00", "2027-01-04T00:00")];
    let calendar = Calendar { zone: &zone, windows: &windows, freezes: freezes.iter().collect() };
    let closed = |lifted: &[Lift]| calendar.closed(at("2026-12-22T10:00:00Z"), &lifted.iter().copied().collect());
    let frozen = closed(&[]).unwrap();
    assert_eq!(
        (frozen.kind, frozen.detail.as_str()),
        (
            BlockerKind::Freeze,
            "nothing is applied until 2027-01-04 00:00 Europe/Berlin: Year end (and after that something else holds it up until 2027-01-04 09:00 Europe/Berlin)"
        )
    );
    let outside = closed(&[Lift::Freeze, Lift::Wait, Lift::Line]).unwrap();
    assert_eq!(
        (outside.kind, outside.detail.as_str()),
        (BlockerKind::Window, "it is applied within mon 09:00-17:00; that opens at 2026-12-28 09:00 Europe/Berlin")
    );
    assert_eq!(closed(&[Lift::Window]).unwrap().opens, at("2027-01-03T23:00:00Z"));
    assert_eq!(closed(&[Lift::Window, Lift::Freeze]), None);
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    for (text, says) in [
        ("mon-fri", "a window is days and hours"),
        ("Mon 09:00-17:00", "a window is days and hours"),
        ("mon 9:00-17:00", "a window is days and hours"),
        ("mon 09:00-24:01", "a window is days and hours"),
        ("mon 09:60-10:00", "a window is days and hours"),
        ("mon,,tue 09:00-10:00", "a window is days and hours"),
        ("mon  09:00-10:00", "a window is days and hours"),
        ("mon 09:00-10:00 ", "a window is days and hours"),
        ("", "a window is days and hours"),
        ("mon 09:00-09:00", "has no length"),
        ("mon 22:00-06:00", "ends before it begins; give two for a night"),
    ] {
        let said = Window::try_from(text.to_owned()).unwrap_err().0;
        assert!(said.contains(says), "{text:?}: {said}");
    }
    for text in ["Berlin", "", "Factory", "etc/unknown", "+01:00", "CET+1", "Europe/Berlin "] {
        assert!(Zone::try_from(text.to_owned()).unwrap_err().0.starts_with("there is no time zone"), "{text:?}");
    }
    for text in [
        "2026-12-20",
        "2026-12-20T18:00:00",
        "2026-12-20 18:00",
        "2026-12-20T18:00Z",
        "2026-02-30T18:00",
        "2026-12-20T24:00",
    ] {
        assert!(Local::try_from(text.to_owned()).is_err(), "{text:?}");
    }
    let backwards = serde_json::from_value::<Freeze>(
        serde_json::json!({"from": "2026-12-21T00:00", "to": "2026-12-20T00:00", "reason": "x"}),
    );
    assert!(backwards.unwrap_err().to_string().contains("ends before it begins"));
    assert!(window("mon,wed 09:00-12:00").overlaps(&window("wed-fri 11:00-13:00")));
    assert!(!window("mon,wed 09:00-12:00").overlaps(&window("wed-fri 12:00-13:00")));
    assert!(!window("mon 09:00-12:00").overlaps(&window("tue 09:00-12:00")));
}
