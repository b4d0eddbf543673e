//! How a service ends: the exit codes that scripts and orchestrators may rely on.

/// Everything went well, or a stop was asked for and carried out.
pub const OK: u8 = 0;
/// The service failed while it ran.
pub const FAILURE: u8 = 1;
/// The command line or the configuration is wrong (`EX_USAGE`); trying again will not help.
pub const USAGE: u8 = 64;
/// Something the service needs could not be reached (`EX_UNAVAILABLE`); trying again may help.
pub const UNREACHABLE: u8 = 69;
/// A second signal cut the orderly stop short (128 + SIGINT).
pub const INTERRUPTED: u8 = 130;

/// The lines of `--help` that explain the codes.
pub(crate) const HELP: &str = "\
Exit codes:
    0  ended as asked (also: --check found nothing wrong)
    1  failed while running; the log says why
   64  wrong command line or configuration; trying again will not help
   69  Kafka, ClickHouse or another service it needs could not be reached
  130  a second signal cut the orderly stop short";

/// Something needed at start did not answer. Anywhere in the error chain of a service it makes the exit code
/// [`UNREACHABLE`].
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be reached: {cause}; {remedy}")]
pub struct Unreachable {
    /// What was tried, with its address: `kafka at 10.0.0.1:9092`.
    pub what: String,
    /// What happened.
    pub cause: String,
    /// What to do about it, as an imperative.
    pub remedy: String,
}

/// The code for an error that ended a service.
pub fn code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<Unreachable>() {
            return UNREACHABLE;
        }
        if cause.is::<crate::ConfigError>() || cause.is::<crate::admin::RefusedListen>() {
            return USAGE;
        }
    }
    FAILURE
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_code_follows_the_cause_wherever_it_stands_in_the_chain() {
        let unreachable = || Unreachable { what: "kafka".into(), cause: "refused".into(), remedy: "start it".into() };
        let error = Err::<(), _>(unreachable()).context("starting the consumer").unwrap_err();
        assert_eq!(code(&error), UNREACHABLE);
        assert_eq!(code(&anyhow::anyhow!("else")), FAILURE);
        let error = anyhow::Error::from(crate::ConfigError::from(crate::Problem::key("a.b", "is wrong", "mend it")));
        assert_eq!(code(&error.context("loading")), USAGE);
    }
}
