//! A ramp as it is written: `1%:10m,10%:30m,50%:1h,100%:1h`.

use std::str::FromStr;
use std::time::Duration;

use shadow_control::{OnFail, Step};
use shadow_runtime::units::HumanDuration;

use crate::words;

/// Most steps of a ramp: each is a record of the launch for as long as it lives.
const MOST: usize = 100;

/// Steps in order, each with a greater share than the one before.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Steps(pub(crate) Vec<Step>);

impl FromStr for Steps {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let steps: Vec<Step> = text.split(',').map(|step| parse(step.trim())).collect::<Result<_, _>>()?;
        if steps.len() > MOST {
            return Err(format!("a ramp has at most {MOST} steps"));
        }
        match steps.windows(2).find(|pair| pair[1].sample <= pair[0].sample) {
            Some([low, high]) => Err(format!(
                "a ramp climbs: {} does not come after {}",
                words::share(high.sample),
                words::share(low.sample)
            )),
            _ => Ok(Self(steps)),
        }
    }
}

fn parse(text: &str) -> Result<Step, String> {
    let form = || format!("{text:?} is no step: write share and shortest stay, such as 10%:30m");
    let (share, stay) = text.split_once(':').ok_or_else(form)?;
    let percent: f64 = share.trim().strip_suffix('%').and_then(|p| p.trim().parse().ok()).ok_or_else(form)?;
    if !(percent > 0.0 && percent <= 100.0) {
        return Err(format!("{share} is no share: above 0% and up to 100%"));
    }
    let stay: HumanDuration = stay.trim().parse().map_err(|_| form())?;
    Ok(Step { sample: percent / 100.0, at_least_s: stay.get().as_millis().div_ceil(1000) as u64 })
}

/// A step as it is written.
pub(super) fn text(step: &Step) -> String {
    let stay = HumanDuration::from(Duration::from_secs(step.at_least_s));
    format!(
        "{}:{}",
        words::share(step.sample).replace(' ', ""),
        if step.at_least_s == 0 { "0s".to_owned() } else { stay.to_string() }
    )
}

/// What is done when the verdict is fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OnFailArg {
    /// Withdraw the candidate: the launch ends
    RollBack,
    /// Pause the launch for a person to look at
    Pause,
}

impl From<OnFailArg> for OnFail {
    fn from(arg: OnFailArg) -> Self {
        match arg {
            OnFailArg::RollBack => Self::RollBack,
            OnFailArg::Pause => Self::Pause,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_read_back_as_they_are_shown() {
        for written in ["1%:10m,10%:30m,50%:1h,100%:1h", "0.5%:90s", "100%:0s"] {
            let Steps(steps) = written.parse().unwrap();
            assert_eq!(steps.iter().map(text).collect::<Vec<_>>().join(","), written);
        }
        let Steps(steps) = "1%: 10m, 12.5%:1h".parse().unwrap();
        assert_eq!((steps[0].sample, steps[0].at_least_s, steps[1].sample), (0.01, 600, 0.125));
    }

    #[test]
    fn what_is_no_ramp_is_refused_with_how_it_is_written() {
        for (bad, hint) in [
            ("", "10%:30m"),
            ("10%", "10%:30m"),
            ("0.1:10m", "10%:30m"),
            ("10%:soon", "10%:30m"),
            ("0%:1m", "above 0%"),
            ("101%:1m", "up to 100%"),
            ("NaN%:1m", "up to 100%"),
            ("10%:1m,10%:1m", "climbs"),
            ("10%:1m,1%:1m", "climbs"),
        ] {
            let error = bad.parse::<Steps>().unwrap_err();
            assert!(error.contains(hint), "{bad}: {error}");
        }
        let many = (1..=101).map(|n| format!("{}%:1s", f64::from(n) / 2.0)).collect::<Vec<_>>().join(",");
        assert!(many.parse::<Steps>().unwrap_err().contains("100 steps"));
    }
}
