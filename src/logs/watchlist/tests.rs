use super::*;

fn add(list: &mut Watchlist, indicator: Indicator) -> PutOutcome {
    list.put(indicator.into(), None, None)
}

fn found(list: &Watchlist, line: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let shown = list.matches(line, &mut Scratch::default(), |one| found.push(one));
    shown.expect("an event");
    found
}

#[test]
fn an_indicator_is_counted_until_it_is_replaced_or_removed() {
    let mut list = Watchlist::new(true, Meaning::default());
    let metrics = Metrics::default();
    let line = r#"{"host": "a.example"}"#;
    let limit = NonZeroU64::new(1);
    let claims = |list: &mut Watchlist, change: &dyn Fn(&mut Watchlist)| {
        change(list);
        let found = found(list, line);
        let claimed = found.iter().map(|one| one.watched.claim(limit, &metrics));
        claimed.collect::<Vec<bool>>()
    };
    for values in [&["a.example"][..], &["a.example", "b.example"]] {
        let one = Indicator::of_domains("1", values);
        let put = |list: &mut Watchlist| {
            add(list, one.clone());
        };
        assert_eq!(claims(&mut list, &put), [true]);
        // Another one with the same value, and a repetition.
        let other = |list: &mut Watchlist| {
            add(list, Indicator::of_domains("2", &["a.example"]));
            add(list, one.clone());
        };
        let mut both = claims(&mut list, &other);
        both.sort_unstable();
        assert_eq!(both, [false, true]);
        let remove = |list: &mut Watchlist| assert!(list.remove("1") && list.remove("2"));
        assert!(claims(&mut list, &remove).is_empty());
        // Its place is taken by one that has nothing to do with it.
        let next = |list: &mut Watchlist| {
            add(list, Indicator::of_domains("3", values));
        };
        assert_eq!(claims(&mut list, &next), [true]);
        assert_eq!(&*found(&list, line)[0].watched.indicator.id, "3");
        list.remove("3");
    }
    assert!(list.is_empty());
    assert!(
        list.watched
            .get_mut()
            .expect("no thread panicked")
            .is_empty()
    );
}

#[test]
fn sightings_are_claimed_up_to_the_limit() {
    let watched = Watched {
        collected: None,
        indicator: Indicator::of_domains("1", &["a"]).into(),
        reported: AtomicU64::new(0),
    };
    let limit = NonZeroU64::new(2);
    let metrics = Metrics::default();
    let claim = |limit| watched.claim(limit, &metrics);
    assert!(claim(limit) && claim(limit) && !claim(limit));
    assert!(claim(None));
    assert_eq!(metrics.indicators_matched.get(), 1);
}
