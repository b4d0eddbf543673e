//! placeholder
use crate::failure::Failure;
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {}
pub(crate) async fn run(_: DemoArgs) -> Result<(), Failure> {
    Ok(())
}
