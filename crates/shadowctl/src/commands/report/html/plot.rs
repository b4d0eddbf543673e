//! Drawings as inline SVG. Colours are classes of the style sheet, so that they follow the reader's light or dark setting.

use maud::{Markup, html};
use shadow_verdict::{Asked, GateResult};

use super::findings::LEVELS;

/// Units of a drawing's own coordinates; the page scales them.
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 170.0;
/// Room for the numbers at the left and below.
const LEFT: f64 = 46.0;
const BELOW: f64 = 20.0;

/// One line of a plot: its class and a value for each of [`LEVELS`].
pub(super) struct Line<'a> {
    pub(super) class: &'static str,
    pub(super) values: &'a [f64],
}

/// A gate's interval against its limit: the good side is tinted, the dot is what was observed.
pub(super) fn interval(gate: &GateResult) -> Markup {
    const W: f64 = 210.0;
    const H: f64 = 26.0;
    let (limit, good_is_above) = match gate.asked {
        Asked::AtLeast(least) => (least, true),
        Asked::AtMost(most) => (most, false),
    };
    let known = [Some(limit), gate.estimate, Some(gate.interval.low), Some(gate.interval.high)];
    let known: Vec<f64> = known.into_iter().flatten().filter(|value| value.is_finite()).collect();
    let low = known.iter().copied().fold(f64::INFINITY, f64::min);
    let high = known.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let room = if high > low { (high - low) * 0.08 } else { high.abs().max(1.0) * 0.08 };
    let x = |value: f64| ((value - low + room) / (high - low + 2.0 * room) * W).clamp(0.0, W);
    let (from, to) = (x(gate.interval.low), x(gate.interval.high));
    let edge = x(limit);
    let (good, span) = if good_is_above { (edge, W - edge) } else { (0.0, edge) };
    let class = gate.decision.as_str();
    html! {
        svg.interval viewBox={ "0 0 " (W) " " (H) } role="img" aria-label=(gate.reason) {
            rect.good x=(n(good)) y="3" width=(n(span)) height=(H - 6.0) {}
            @if gate.sample > 0 {
                rect class={ "bar " (class) } x=(n(from)) y="10" width=(n((to - from).max(1.5))) height="6" rx="3" {}
            }
            line.limit x1=(n(edge)) y1="1" x2=(n(edge)) y2=(H - 1.0) {}
            @if let Some(estimate) = gate.estimate {
                circle class={ "dot " (class) } cx=(n(x(estimate))) cy="13" r="4.5" {}
            }
        }
    }
}

/// Latency by percentile, milliseconds on a logarithmic scale; the percentiles spread by nines, so that the tail is seen.
pub(super) fn percentiles(lines: &[Line<'_>]) -> Markup {
    let values = lines.iter().flat_map(|line| line.values).copied().filter(|ms| *ms > 0.0);
    let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), ms| (low.min(ms), high.max(ms)));
    if high <= 0.0 {
        return html! {};
    }
    let (bottom, top) = (low.log10() - 0.05, high.log10().max(low.log10() + 0.3) + 0.05);
    let y = |ms: f64| (HEIGHT - BELOW) * (1.0 - (ms.max(low).log10() - bottom) / (top - bottom));
    frame(lines, y, &decades(low, high), &|ms| format!("{ms} ms"))
}

/// Differences by percentile, milliseconds on an even scale around zero.
pub(super) fn differences(line: &Line<'_>) -> Markup {
    let (low, high) = line.values.iter().fold((0.0_f64, 0.0_f64), |(low, high), ms| (low.min(*ms), high.max(*ms)));
    let room = ((high - low) * 0.06).max(0.01);
    let y = |ms: f64| (HEIGHT - BELOW) * (high + room - ms) / (high - low + 2.0 * room);
    let mut ticks = vec![0.0];
    ticks.extend([low, high].into_iter().filter(|ms| ms.abs() > (high - low) * 0.15));
    frame(std::slice::from_ref(line), y, &ticks, &|ms| format!("{} ms", round3(ms)))
}

fn frame(lines: &[Line<'_>], y: impl Fn(f64) -> f64, ticks: &[f64], label: &dyn Fn(f64) -> String) -> Markup {
    // From p1 to p99.9 by the logarithm of what is above.
    let reach = nines(LEVELS[LEVELS.len() - 1]);
    let x = |level: f64| LEFT + (WIDTH - LEFT - 8.0) * nines(level) / reach;
    html! {
        svg.plot viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" {
            @for tick in ticks {
                line.grid x1=(LEFT) x2=(WIDTH) y1=(n(y(*tick))) y2=(n(y(*tick))) {}
                text.tick x=(LEFT - 4.0) y=(n((y(*tick) + 3.0).max(8.0))) text-anchor="end" { (label(*tick)) }
            }
            @for (level, name) in [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9")] {
                line.grid x1=(n(x(level))) x2=(n(x(level))) y1="0" y2=(HEIGHT - BELOW) {}
                text.tick x=(n(x(level))) y=(HEIGHT - 6.0) text-anchor=(if level > 0.99 { "end" } else { "middle" }) { (name) }
            }
            @for line in lines {
                @let points = LEVELS.iter().zip(line.values).map(|(level, ms)| format!("{},{}", n(x(*level)), n(y(*ms))));
                polyline class={ "line " (line.class) } points=(points.collect::<Vec<_>>().join(" ")) {}
            }
        }
    }
}

/// 0 at 0, 1 at 0.9, 2 at 0.99.
fn nines(level: f64) -> f64 {
    -(1.0 - level).log10()
}

/// 1, 2 and 5 times powers of ten within a range.
fn decades(low: f64, high: f64) -> Vec<f64> {
    let exponents = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let all = exponents.flat_map(|exponent| [1.0, 2.0, 5.0].map(|digit| round3(digit * 10_f64.powi(exponent))));
    let within: Vec<f64> = all.filter(|tick| *tick >= low && *tick <= high).collect();
    let every = within.len().div_ceil(6).max(1);
    within.into_iter().step_by(every).collect()
}

/// Columns in time; each is a share of one with a title, `None` where nothing was compared.
pub(super) fn columns(shares: &[(Option<f64>, String)]) -> Markup {
    const W: f64 = 720.0;
    const H: f64 = 120.0;
    let top = shares.iter().filter_map(|(share, _)| *share).fold(0.0, f64::max).max(0.001);
    let step = W / shares.len().max(1) as f64;
    html! {
        svg.columns viewBox={ "0 0 " (W) " " (H) } role="img" aria-label="share of differing requests over time" {
            @for (i, (share, title)) in shares.iter().enumerate() {
                @if let Some(share) = share {
                    @let height = (share / top * (H - 6.0)).max(1.0);
                    @let width = (step - 2.0).clamp(1.0, 40.0);
                    rect.column x=(n(i as f64 * step)) y=(n(H - height)) width=(n(width)) height=(n(height)) rx="1.5" {
                        title { (title) }
                    }
                }
            }
            line.axis x1="0" x2=(W) y1=(H) y2=(H) {}
        }
    }
}

/// Counts in time, small enough for a line of text.
pub(super) fn spark(counts: &[u64]) -> Markup {
    const W: f64 = 120.0;
    const H: f64 = 20.0;
    let top = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let step = W / counts.len().max(1) as f64;
    html! {
        svg.spark viewBox={ "0 0 " (W) " " (H) } role="img" aria-label="over time" {
            @for (i, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                @let height = (*count as f64 / top * H).max(1.5);
                rect.column x=(n(i as f64 * step)) y=(n(H - height)) width=(n((step - 1.0).clamp(1.0, 12.0))) height=(n(height)) {}
            }
            line.axis x1="0" x2=(W) y1=(H) y2=(H) {}
        }
    }
}

/// A bar of parts `(class, count, name)`, each as long as its share.
pub(super) fn stack(parts: &[(&str, i64, &str)]) -> Markup {
    let whole: i64 = parts.iter().map(|(_, count, _)| count.max(&0)).sum();
    html! {
        div.stack {
            @for (class, count, name) in parts.iter().filter(|(_, count, _)| *count > 0) {
                @let share = *count as f64 / whole as f64 * 100.0;
                span class=(class) style={ "flex-grow:" (n(share)) } title={ (name) ": " (count) } {}
            }
        }
    }
}

/// Coordinates need no more than hundredths.
fn n(value: f64) -> String {
    format!("{value:.2}")
}

fn round3(value: f64) -> f64 {
    let scale = 10_f64.powf(2.0 - value.abs().max(1e-9).log10().floor());
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_few_and_round() {
        assert_eq!(decades(3.0, 90.0), [5.0, 10.0, 20.0, 50.0]);
        assert!(decades(0.01, 10_000.0).len() <= 7);
        assert_eq!([round3(1.234_56), round3(12_345.6), round3(0.0)], [1.23, 12_300.0, 0.0]);
    }

    #[test]
    fn nothing_measured_draws_nothing_and_nothing_infinite_is_drawn() {
        assert_eq!(percentiles(&[Line { class: "primary", values: &[] }]).into_string(), "");
        for drawn in [columns(&[]), spark(&[]), differences(&Line { class: "candidate", values: &[] })] {
            let text = drawn.into_string();
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        }
    }
}
