//! `shadowctl ramp resume`: back onto the ramp after a person set the sample, or after it failed.

use shadow_control::Launch;
use shadow_record::{LaunchName, Timestamp};

use super::decide::with_ramp;
use super::in_full;
use crate::commands::launch::{change, refuse_ended, rewrite};
use crate::failure::Failure;
use crate::kafka::Kafka;
use crate::output::Output;
use crate::words;

#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    /// The launch
    launch: LaunchName,
    /// Why, for whoever looks at it later
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(kafka: &Kafka, args: ResumeArgs) -> Result<(), Failure> {
    let by = change(args.why);
    let resumed = rewrite(kafka, &args.launch, |launch| {
        refuse_ended(launch, "create another launch")?;
        Ok(Some(rejoined(with_ramp(launch)?, by.clone())))
    })
    .await?;
    args.output.show(&resumed.after, |launch| {
        let (now, was) = (words::share(launch.sample), words::share(resumed.before.sample));
        format!("launch {} is on its ramp again, at {now} (was {was})\n{}", launch.name, in_full(launch))
    })
}

fn rejoined(launch: &Launch, by: shadow_control::Change) -> Launch {
    let mut after = Launch { change: by, ..launch.clone() };
    if let Some(ramp) = &mut after.ramp {
        ramp.rejoin(launch.sample, Timestamp::now());
        ramp.why = format!("resumed by {}", after.change.by);
        after.sample = ramp.step().map_or(launch.sample, |step| step.sample);
    }
    after
}
