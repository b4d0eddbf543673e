//! What the command line asks for.

use std::path::PathBuf;

/// Said when the arguments make no sense.
pub const USAGE: &str = "\
cargo bench -p shadow-tests --bench hotpath -- latency|faults|saturate|soak [MINUTES]|loris [options]

  --rounds N     interleaved rounds; six give an interval            (16)
  --seconds S    measured seconds of one leg in one round            (3)
  --rate R       requests/s of the open loop, or of the soak         (2000; soak 300)
  --legs a,b     only these legs; `direct` and `healthy` always run  (all)
  --json FILE    also writes every round's figures";

/// The parsed arguments.
#[derive(Clone, Debug)]
pub struct Args {
    /// `latency`, `faults`, ...
    pub command: String,
    /// The number behind `soak`.
    pub minutes: Option<u64>,
    /// Interleaved rounds.
    pub rounds: usize,
    /// Measured seconds of one leg in one round.
    pub seconds: u64,
    /// Requests a second, when given.
    pub rate: Option<u32>,
    /// The legs asked for; empty means all.
    pub legs: Vec<String>,
    /// Where the figures go as JSON.
    pub json: Option<PathBuf>,
}

impl Args {
    /// Parses the process's arguments; `cargo bench` adds a `--bench` of its own.
    pub fn parse(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self {
            command: String::new(),
            minutes: None,
            rounds: 16,
            seconds: 3,
            rate: None,
            legs: Vec::new(),
            json: None,
        };
        let mut args = args.filter(|arg| arg != "--bench");
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} needs a value"));
            match arg.as_str() {
                "--rounds" => parsed.rounds = number(&arg, &value()?)?,
                "--seconds" => parsed.seconds = number(&arg, &value()?)?,
                "--rate" => parsed.rate = Some(number(&arg, &value()?)?),
                "--legs" => parsed.legs = value()?.split(',').map(|leg| leg.trim().to_owned()).collect(),
                "--json" => parsed.json = Some(PathBuf::from(value()?)),
                word if word.starts_with('-') => return Err(format!("{word} is no option")),
                word if parsed.command.is_empty() => parsed.command = word.to_owned(),
                word => parsed.minutes = Some(number("minutes", word)?),
            }
        }
        if parsed.rounds == 0 || parsed.seconds == 0 || parsed.rate == Some(0) {
            return Err("rounds, seconds and rate are at least 1".to_owned());
        }
        Ok(parsed)
    }

    /// Whether a leg was asked for.
    pub fn wants(&self, leg: &str) -> bool {
        self.legs.is_empty() || self.legs.iter().any(|wanted| wanted == leg)
    }

    /// Ends the program over a leg that does not exist, which would otherwise silently measure nothing.
    pub fn check_legs(&self, known: &[&str]) {
        if let Some(leg) = self.legs.iter().find(|leg| !known.contains(&leg.as_str())) {
            eprintln!("there is no leg `{leg}`; there are {}", known.join(", "));
            std::process::exit(64);
        }
    }
}

fn number<N: std::str::FromStr>(name: &str, text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{name}: `{text}` is no number"))
}
