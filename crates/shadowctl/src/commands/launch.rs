//! `shadowctl launch`: launches from their creation to their end.

mod create;
mod delete;
mod end;
mod forget;
mod reverse;
mod rewrite;
mod set;
mod start;
mod target;
mod view;

use shadow_control::{Change, Launch, LaunchStatus};
use shadow_record::{LaunchName, Timestamp};

use crate::commands::pause::{self, Wanted};
use crate::failure::Failure;
use crate::kafka::{Kafka, launch_of};
use crate::output::Output;
use crate::sql::Sql;

pub(crate) use create::{CreateArgs, create, share, timeout};
pub(crate) use rewrite::rewrite;
pub(crate) use start::StartAt;
pub(crate) use target::{host_port, parse as parse_url};

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
    /// Change what may change while it runs: sample, filters, isolation, limits
    Set(Box<set::SetArgs>),
    /// End it: the candidate went live
    #[command(after_help = "\
Returns when every member has stopped.

Example:
  shadowctl verdict checkout-v2 && shadowctl launch promote checkout-v2 --why 'live since 14:00'")]
    Promote(OneLaunch),
    /// End it: the candidate was withdrawn
    #[command(after_help = "\
Returns when every member has stopped.

Example:
  shadowctl launch rollback checkout-v2 --why 'totals are missing, see ticket 4711'")]
    Rollback(OneLaunch),
    /// After a promotion, let the old version answer in the shadow of the new one
    Reverse(Box<reverse::ReverseArgs>),
    /// Take an ended launch off the control topic
    Delete(delete::DeleteArgs),
    /// Remove the rows of a deleted launch from ClickHouse
    Forget(forget::ForgetArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct OneLaunch {
    /// The launch
    name: LaunchName,
    #[command(flatten)]
    confirm: pause::ConfirmArgs,
}

pub(crate) async fn run(
    kafka: &Kafka,
    sql: impl Fn() -> Result<Sql, Failure>,
    command: LaunchCommand,
) -> Result<(), Failure> {
    match command {
        LaunchCommand::Create(args) => {
            let output = args.output;
            let created = create(kafka, *args).await?;
            output.show(&created.launch, |_| created.to_string())
        }
        LaunchCommand::List { output } => {
            let state = kafka.control().await?;
            let board = kafka.board().await?;
            output.show(&view::list(&state, &board, Timestamp::now()), |list| view::table(list))
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
        LaunchCommand::Set(args) => set::run(kafka, *args).await,
        LaunchCommand::Promote(args) => end::run(kafka, args, LaunchStatus::Promoted).await,
        LaunchCommand::Rollback(args) => end::run(kafka, args, LaunchStatus::RolledBack).await,
        LaunchCommand::Reverse(args) => reverse::run(kafka, *args).await,
        LaunchCommand::Delete(args) => delete::run(kafka, args).await,
        LaunchCommand::Forget(args) => forget::run(kafka, &sql()?, args).await,
    }
}

/// Whether it was promoted or rolled back.
pub(crate) fn is_ended(launch: &Launch) -> bool {
    launch.status.is_ended()
}

/// # Errors
/// When the launch has ended.
pub(crate) fn refuse_ended(launch: &Launch, remedy: &str) -> Result<(), Failure> {
    if !is_ended(launch) {
        return Ok(());
    }
    Err(Failure::negative(format!("launch {} has ended: {}", launch.name, status_word(launch.status)), remedy))
}

/// Who a change is by: the person at the terminal, also behind `sudo`.
pub(crate) fn change(why: Option<String>) -> Change {
    let name = |variable| std::env::var(variable).ok().filter(|name: &String| !name.is_empty());
    let by = name("SUDO_USER").or_else(|| name("USER")).or_else(|| name("LOGNAME"));
    Change::by(by.unwrap_or_else(|| "unknown".to_owned()), why.unwrap_or_default())
}

/// A status as the control topic spells it.
pub(crate) fn status_word(status: LaunchStatus) -> &'static str {
    status.as_str()
}
