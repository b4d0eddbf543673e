use proptest::prelude::*;

use super::*;

#[test]
fn nothing_is_known_without_a_trial() {
    assert_eq!(Proportion::default().interval(0.05), Interval { low: 0.0, high: 1.0 });
    assert_eq!(Proportion::default().estimate(), None);
}

#[test]
fn a_match_rate_of_three_nines_is_shown_by_four_thousand_clean_requests_and_not_by_three_thousand() {
    let high = |trials| Proportion::new(trials, 0).interval(0.05).high;
    assert!(high(3_000) > 0.001);
    assert!(high(4_000) < 0.001);
}

#[test]
fn a_billion_requests_are_as_exact_as_a_thousand() {
    let Interval { low, high } = Proportion::new(1_000_000_000, 1_000_000).interval(0.05);
    // The half width of a normal interval, times sqrt((ln 20 + ln of the mixture's cost) * 2) / 1.96; both sides alike.
    assert!(low < 0.001 && high > 0.001);
    assert!(((0.001 - low) / (high - 0.001) - 1.0).abs() < 0.02, "{low} {high}");
    assert!((high - low) / 2.0 < 6.0e-6 && (high - low) / 2.0 > 2.0e-6, "{low} {high}");
}

#[test]
fn impossible_counts_are_taken_as_the_nearest_possible_ones() {
    assert_eq!(Proportion::new(3, 9).estimate(), Some(1.0));
    assert_eq!(Proportion::of_sum(3, f64::NAN).estimate(), Some(1.0));
    assert_eq!(Proportion::of_sum(3, -1.0).estimate(), Some(0.0));
}

proptest! {
    #[test]
    fn what_is_ruled_out_is_what_is_outside(trials in 1_u64..2_000_000, share in 0.0..=1.0_f64, rate in 0.000_001..0.999_999_f64) {
        let proportion = Proportion::new(trials, (trials as f64 * share * share * share) as u64);
        let interval = proportion.interval(0.05);
        // Next to an end rounding decides.
        let near = |end: f64| (rate - end).abs() < 1e-9 + end.min(1.0 - end).abs() * 1e-6;
        prop_assume!(!near(interval.low) && !near(interval.high));
        prop_assert_eq!(!interval.contains(rate), proportion.rules_out(rate, 0.05));
    }

    #[test]
    fn an_interval_holds_the_observed_rate_and_widens_with_confidence(trials in 1_u64..u64::from(u32::MAX), events in 0_u64..5_000_000) {
        let proportion = Proportion::new(trials, events);
        let (wide, narrow) = (proportion.interval(0.000_1), proportion.interval(0.05));
        prop_assert!(narrow.contains(proportion.estimate().unwrap()));
        prop_assert!(wide.low <= narrow.low && narrow.high <= wide.high);
        prop_assert!(0.0 <= wide.low && wide.high <= 1.0);
    }
}
