//! `shadowctl launch`: create, list, show, pause and resume launches.

mod create;
mod start;
mod target;
mod view;

use shadow_control::{Change, LaunchStatus};
use shadow_record::LaunchName;

use crate::commands::pause::{self, Wanted};
use crate::failure::Failure;
use crate::kafka::{Kafka, launch_of};
use crate::output::Output;

pub(crate) use create::{CreateArgs, create, share};
pub(crate) use start::StartAt;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum LaunchCommand {
    /// Create a launch: one candidate, rehearsed on the captured traffic of one service
    Create(Box<CreateArgs>),
    /// All launches
    List {
        #[command(flatten)]
        output: Output,
    },
    /// One launch in full
    Show {
        /// The launch
        name: LaunchName,
        #[command(flatten)]
        output: Output,
    },
    /// Stop one launch; it goes on where it stopped
    Pause(OneLaunch),
    /// Let a paused launch go on
    Resume(OneLaunch),
}

#[derive(Debug, clap::Args)]
pub(crate) struct OneLaunch {
    /// The launch
    name: LaunchName,
    #[command(flatten)]
    confirm: pause::ConfirmArgs,
}

pub(crate) async fn run(kafka: &Kafka, command: LaunchCommand) -> Result<(), Failure> {
    match command {
        LaunchCommand::Create(args) => {
            let output = args.output;
            let created = create(kafka, *args).await?;
            output.show(&created.launch, |_| created.to_string())
        }
        LaunchCommand::List { output } => {
            let state = kafka.control().await?;
            output.show(&view::list(&state), |list| view::table(list))
        }
        LaunchCommand::Show { name, output } => {
            let state = kafka.control().await?;
            output.show(&view::Shown::of(&state, launch_of(&state, &name)?), view::Shown::render)
        }
        LaunchCommand::Pause(OneLaunch { name, confirm }) => {
            pause::run(kafka, Wanted::Paused, pause::PauseArgs::for_launch(name, confirm)).await
        }
        LaunchCommand::Resume(OneLaunch { name, confirm }) => {
            pause::run(kafka, Wanted::Running, pause::PauseArgs::for_launch(name, confirm)).await
        }
    }
}

/// Who a change is by: the person at the terminal, also behind `sudo`.
pub(crate) fn change(why: Option<String>) -> Change {
    let name = |variable| std::env::var(variable).ok().filter(|name: &String| !name.is_empty());
    let by = name("SUDO_USER").or_else(|| name("USER")).or_else(|| name("LOGNAME"));
    Change::by(by.unwrap_or_else(|| "unknown".to_owned()), why.unwrap_or_default())
}

/// A status as the control topic spells it.
pub(crate) fn status_word(status: LaunchStatus) -> &'static str {
    match status {
        LaunchStatus::Active => "active",
        LaunchStatus::Paused => "paused",
        LaunchStatus::Promoted => "promoted",
        LaunchStatus::RolledBack => "rolled_back",
    }
}
