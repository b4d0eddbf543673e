//! Thousands of launches with known truth, each looked at again and again: are the intervals right as often as they say?
//!
//! The small runs are part of every test run; seeds are fixed, so they give the same result everywhere. The full runs make the
//! figures in `docs/verdict.md`:
//!
//! `cargo test --release -p shadow-verdict --test simulation -- --ignored --nocapture --test-threads 1`

use fastrand::Rng;
use libm::lgamma;
use shadow_verdict::{
    ErrorRate, Evidence, Gates, Interval, Latencies, PairedErrors, Pairs, Proportion, Quantile, Ranked, Ranks,
    Reference, ScopeEvidence, Spending, Wanted, judge,
};

/// Requests between two looks.
const LOOK: u64 = 100;
const ALPHA: f64 = 0.05;

/// Events among requests, told by the gap to the next one: many requests cost as little as few.
struct Coin {
    ln_other: f64,
    gap: u64,
}

impl Coin {
    fn new(rate: f64, rng: &mut Rng) -> Self {
        let ln_other = (-rate).ln_1p();
        Self { ln_other, gap: Self::gap(ln_other, rng) }
    }

    /// Requests without an event before the next one: geometric.
    fn gap(ln_other: f64, rng: &mut Rng) -> u64 {
        ((1.0 - rng.f64()).ln() / ln_other) as u64
    }

    /// Events among the next requests.
    fn events(&mut self, mut requests: u64, rng: &mut Rng) -> u64 {
        let mut events = 0;
        while self.gap < requests {
            events += 1;
            requests -= self.gap + 1;
            self.gap = Self::gap(self.ln_other, rng);
        }
        self.gap -= requests;
        events
    }
}

/// Launches whose true match rate was ever outside the sequence.
fn missed(match_rate: f64, launches: u64, requests: u64) -> u64 {
    let miss = |seed| {
        let mut rng = Rng::with_seed(seed);
        let mut coin = Coin::new(1.0 - match_rate, &mut rng);
        let mut events = 0;
        (1..=requests / LOOK).any(|look| {
            events += coin.events(LOOK, &mut rng);
            Proportion::new(look * LOOK, events).rules_out(1.0 - match_rate, ALPHA)
        })
    };
    (0..launches).filter(|seed| miss(*seed)).count() as u64
}

#[test]
fn true_match_rates_stay_inside_at_every_look() {
    for rate in [0.9, 0.99, 0.999, 0.9999] {
        let missed = missed(rate, 400, 10_000);
        assert!(missed <= 20, "{missed} of 400 launches of rate {rate}");
    }
}

#[test]
#[ignore = "makes figures; run in release"]
fn figures_for_match_rates() {
    println!("rate     launches  ever outside");
    for rate in [0.9, 0.99, 0.995, 0.999, 0.9995, 0.9999] {
        let missed = missed(rate, 10_000, 100_000);
        println!("{rate:<8} 10,000    {missed} ({:.2} %)", missed as f64 / 100.0);
        assert!(missed <= 500);
    }
    println!("rate     requests   sequence  exact for one look  factor");
    for rate in [0.9, 0.99, 0.999, 0.9999] {
        for requests in [1_000_u64, 10_000, 100_000, 1_000_000] {
            let events = (requests as f64 * (1.0 - rate)).round() as u64;
            let (mine, exact) = (Proportion::new(requests, events).interval(ALPHA).width(), exact(requests, events));
            println!(
                "{rate:<8} {requests:<10} {:.6}  {:.6}            {:.2}",
                mine,
                exact.width(),
                mine / exact.width()
            );
        }
    }
    let clean = (1..).find(|requests| Proportion::new(*requests, 0).interval(ALPHA).high <= 0.001);
    println!("clean requests that show 99.9 %: {clean:?}");
}

/// Clopper and Pearson's interval for one look at a sample whose size was fixed beforehand, by its definition.
fn exact(trials: u64, events: u64) -> Interval {
    let ln_choose = |k: u64| lgamma(trials as f64 + 1.0) - lgamma(k as f64 + 1.0) - lgamma((trials - k) as f64 + 1.0);
    let probability =
        |k: u64, rate: f64| (ln_choose(k) + k as f64 * rate.ln() + (trials - k) as f64 * (-rate).ln_1p()).exp();
    let at_most = |rate: f64| (0..=events).map(|k| probability(k, rate)).sum::<f64>();
    let border = |mut low: f64, mut high: f64, above: &dyn Fn(f64) -> bool| {
        for _ in 0..50 {
            let middle = f64::midpoint(low, high);
            if above(middle) { high = middle } else { low = middle }
        }
        low
    };
    let low = if events == 0 {
        0.0
    } else {
        border(0.0, 1.0, &|rate| 1.0 - (at_most(rate) - probability(events, rate)) > ALPHA / 2.0)
    };
    Interval { low, high: border(0.0, 1.0, &|rate| at_most(rate) < ALPHA / 2.0) }
}

#[test]
fn looking_at_any_time_costs_little_more_than_twice_the_width_of_one_exact_look() {
    let Interval { low, high } = exact(100, 10);
    assert!((low - 0.049_005).abs() < 1e-5 && (high - 0.176_223).abs() < 1e-5, "the tables' interval: {low} {high}");
    for (requests, events) in [(1_000, 100), (10_000, 100), (10_000, 10), (10_000, 1), (10_000, 0)] {
        let factor = Proportion::new(requests, events).interval(ALPHA).width() / exact(requests, events).width();
        assert!(factor > 1.0 && factor < 2.1, "{events} of {requests}: {factor}");
    }
}

/// Launches of forty routes, each exactly as good as its gates ask, in which any route ever fails its match rate or errors.
fn false_alarms(launches: u64, requests: u64, routes: u64) -> u64 {
    let gates = Gates::default();
    let (spending, per_route) = (Spending::new(ALPHA), gates.route("").count());
    let parts: Vec<f64> = (0..routes as usize).map(|order| spending.route(order, per_route)).collect();
    let launch = spending.launch(gates.launch().count());
    // Traffic as it is: the second route has half of the first one's, the third a third, and so on.
    let whole: f64 = (1..=routes).map(|k| 1.0 / k as f64).sum();
    let falsely = |seed| {
        let mut rng = Rng::with_seed(seed);
        let mut traffic: Vec<Traffic> = (1..=routes).map(|k| Traffic::new(1.0 / k as f64 / whole, &mut rng)).collect();
        (0..requests / LOOK).any(|_| {
            let mut all = (0, 0, 0, 0);
            let mut failed = false;
            for (route, part) in traffic.iter_mut().zip(&parts) {
                route.advance(&mut rng);
                let Traffic { requests, differing, mine, theirs, .. } = *route;
                all = (all.0 + requests, all.1 + differing, all.2 + mine, all.3 + theirs);
                failed |= fails(requests, differing, mine, theirs, *part);
            }
            failed || fails(all.0, all.1, all.2, all.3, launch)
        })
    };
    (0..launches).filter(|seed| falsely(*seed)).count() as u64
}

fn fails(requests: u64, differing: u64, mine: u64, theirs: u64, part: f64) -> bool {
    let rate = Proportion::new(requests, differing);
    let above = differing as f64 > 0.001 * requests as f64;
    (above && rate.rules_out(0.001, part)) || PairedErrors::new(requests, mine, theirs).shows_increase(part)
}

struct Traffic {
    per_look: f64,
    due: f64,
    requests: u64,
    differing: u64,
    mine: u64,
    theirs: u64,
    coins: [Coin; 3],
}

impl Traffic {
    fn new(share: f64, rng: &mut Rng) -> Self {
        let coins = [0.001, 0.002, 0.002].map(|rate| Coin::new(rate, rng));
        Self { per_look: share * LOOK as f64, due: 0.0, requests: 0, differing: 0, mine: 0, theirs: 0, coins }
    }

    fn advance(&mut self, rng: &mut Rng) {
        self.due += self.per_look;
        let new = self.due as u64 - self.requests;
        self.requests += new;
        let [differing, mine, theirs] = self.coins.each_mut().map(|coin| coin.events(new, rng));
        self.differing += differing;
        self.mine += mine;
        self.theirs += theirs;
    }
}

#[test]
fn forty_routes_that_keep_to_their_gates_hardly_ever_fail() {
    let failed = false_alarms(100, 10_000, 40);
    assert!(failed <= 5, "{failed} of 100 launches");
}

#[test]
#[ignore = "makes figures; run in release"]
fn figures_for_forty_routes() {
    for routes in [1, 40, 200] {
        let failed = false_alarms(10_000, 50_000, routes);
        println!("{routes} routes: {failed} of 10,000 launches ({:.2} %) ever failed a gate", failed as f64 / 100.0);
        assert!(failed <= 500);
    }
}

/// Milliseconds with a tail so heavy that it has no mean, on a clock of tenths.
fn latency(rng: &mut Rng) -> f64 {
    let tail = 5.0 / (1.0 - rng.f64());
    (tail * 10.0).round() / 10.0
}

/// The true quantile of [`latency`].
fn true_latency(quantile: Quantile) -> f64 {
    (5.0 / (1.0 - quantile.level()) * 10.0).round() / 10.0
}

fn quantiles_missed(quantile: Quantile, launches: u64, requests: usize) -> u64 {
    let truth = true_latency(quantile);
    // Ranks follow from the count alone.
    let ranks: Vec<Ranks> = (1..=requests as u64 / LOOK).map(|look| quantile.ranks(look * LOOK, ALPHA)).collect();
    let miss = |seed| {
        let mut rng = Rng::with_seed(seed);
        let (mut below, mut up_to) = (0_u64, 0_u64);
        (1..=requests).any(|n| {
            let value = latency(&mut rng);
            below += u64::from(value < truth);
            up_to += u64::from(value <= truth);
            if !(n as u64).is_multiple_of(LOOK) {
                return false;
            }
            // The order statistic of a rank is above the truth when fewer values than the rank are up to it, and below the
            // truth when as many values are below it.
            let ranks = ranks[n / LOOK as usize - 1];
            ranks.low.is_some_and(|low| up_to < low) || ranks.high.is_some_and(|high| below >= high)
        })
    };
    (0..launches).filter(|seed| miss(*seed)).count() as u64
}

#[test]
fn true_quantiles_of_a_heavy_tail_stay_inside_at_every_look() {
    for quantile in [Quantile::P50, Quantile::P99] {
        let missed = quantiles_missed(quantile, 100, 5_000);
        assert!(missed <= 5, "{missed} of 100 launches at {quantile:?}");
    }
}

/// Launches in which the increase of errors, zero or not, was ever outside or falsely called one.
fn increases_missed(mine: f64, theirs: f64, launches: u64, requests: u64) -> (u64, u64) {
    let (mut outside, mut alarms) = (0, 0);
    for seed in 0..launches {
        let mut rng = Rng::with_seed(seed);
        let mut coins = [mine, theirs].map(|rate| Coin::new(rate, &mut rng));
        let (mut only, mut missed, mut alarm) = ([0_u64; 2], false, false);
        for look in 1..=requests / LOOK {
            let new = coins.each_mut().map(|coin| coin.events(LOOK, &mut rng));
            only = [only[0] + new[0], only[1] + new[1]];
            let errors = PairedErrors::new(look * LOOK, only[0], only[1]);
            missed |= errors.rules_out(mine - theirs, ALPHA);
            alarm |= mine <= theirs && errors.shows_increase(ALPHA);
        }
        outside += u64::from(missed);
        alarms += u64::from(alarm);
    }
    (outside, alarms)
}

#[test]
fn true_increases_of_errors_stay_inside_at_every_look() {
    for (mine, theirs) in [(0.01, 0.01), (0.02, 0.01)] {
        let (outside, alarms) = increases_missed(mine, theirs, 60, 5_000);
        assert!(outside <= 3 && alarms <= 3, "{outside} and {alarms} of 60 launches at {mine} and {theirs}");
    }
}

#[test]
#[ignore = "makes figures; run in release"]
fn figures_for_quantiles_and_errors() {
    for quantile in [Quantile::P50, Quantile::P95, Quantile::P99] {
        let missed = quantiles_missed(quantile, 10_000, 20_000);
        println!("{quantile:?}: {missed} of 10,000 launches ({:.2} %) ever outside", missed as f64 / 100.0);
        assert!(missed <= 500);
    }
    for (mine, theirs) in [(0.000_5, 0.000_5), (0.01, 0.01), (0.02, 0.01), (0.1, 0.1)] {
        let (outside, alarms) = increases_missed(mine, theirs, 10_000, 20_000);
        let [outside, alarms] = [outside, alarms].map(|missed| missed as f64 / 100.0);
        println!("errors {mine} and {theirs}: {outside:.2} % ever outside, {alarms:.2} % ever called an increase");
        assert!(outside <= 5.0 && alarms <= 5.0);
    }
}

/// Whole verdicts, as `shadowctl verdict` makes them: latencies at exactly twice the control's.
fn false_latency_alarms(launches: u64, requests: usize) -> u64 {
    let text = "[launch]\nmatch_rate = 'off'\nerror_rate = 'off'\np50_ratio = 'off'\n\
                [routes]\nmatch_rate = 'off'\nerror_rate = 'off'\nlatency_slack_ms = 0";
    let gates = Gates::parse(text).expect("these gates are right");
    let falsely = |seed| {
        let mut rng = Rng::with_seed(seed);
        let (mut candidate, mut reference) = (Vec::new(), Vec::new());
        (0..requests / LOOK as usize).any(|_| {
            for _ in 0..LOOK {
                candidate.push(2.0 * latency(&mut rng));
                reference.push(latency(&mut rng));
            }
            let evidence = of_latencies(&gates, &candidate, &reference);
            judge(&gates, &evidence).decision == shadow_verdict::Decision::Fail
        })
    };
    (0..launches).filter(|seed| falsely(*seed)).count() as u64
}

fn of_latencies(gates: &Gates, candidate: &[f64], reference: &[f64]) -> Evidence {
    let n = candidate.len() as u64;
    let wanted = Wanted::for_route(gates, "GET /", 0, n);
    let ranked = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        Ranked::of_sorted(&values, &wanted)
    };
    let difference = candidate.iter().zip(reference).map(|(mine, theirs)| mine - theirs).collect();
    let latencies = Latencies {
        against: Reference::Control,
        candidate: ranked(candidate.to_vec()),
        reference: ranked(reference.to_vec()),
        difference: ranked(difference),
    };
    let scope = ScopeEvidence {
        sent: n,
        answered: n,
        compared: n,
        pairs: Pairs { pairs: n, ..Pairs::default() },
        latencies: Some(latencies),
        ..ScopeEvidence::default()
    };
    Evidence { balanced: Some(true), captured: n, launch: scope.clone(), routes: vec![("GET /".to_owned(), scope)] }
}

#[test]
fn a_route_exactly_twice_as_slow_hardly_ever_fails() {
    let failed = false_latency_alarms(40, 1_000);
    assert!(failed <= 2, "{failed} of 40 launches");
}

#[test]
fn the_default_gates_are_those_that_are_simulated() {
    assert_eq!(Gates::default().route("").match_rate, Some(0.999));
    assert_eq!(Gates::default().route("").error_rate, Some(ErrorRate { allowed: 0.0, margin: 0.001 }));
}
