//! Before rows are stored: their effects settle. Reads the service's effects as far as the rows' windows reach and joins what they come to.
//!
//! A batch waits here until the window of its last row has passed, while the next one is collected; with rows of the past, which is what catching
//! up means, nothing waits but for the broker. Where the service has no effects, nothing waits at all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shadow_control::{Comparison, Launch};
use shadow_diff::Rules;
use shadow_effects::{Feed, Reached};
use shadow_record::{Side, SideEffect, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::effects::{Judge, Served, join};
use crate::metrics::Metrics;
use crate::shared::Shared;
use crate::store::ExchangeRow;

/// Rows captured within this time are settled together, so that what is held at a time does not grow with how far partitions are apart.
const TOGETHER: Duration = Duration::from_secs(30);
/// How long rows are judged before others get their turn.
const TURN: Duration = Duration::from_millis(20);
/// How long a batch whose window has not passed still tries when the pipeline stops: as long as it takes to learn that there are no effects.
const HURRY: Duration = Duration::from_millis(500);

/// A row of a batch and what settling it needs.
pub(super) type Unsettled = Vec<(usize, Box<Served>)>;

/// Settles the effects of one launch.
#[derive(Clone)]
pub(super) struct Effects {
    primary: Feed,
    shadow: Feed,
    judge: Judge,
    settle: Duration,
    launch: String,
    metrics: Metrics,
}

impl Effects {
    /// Of a launch; `None` where effects are not compared. Reads nothing yet, and as long as there is somebody to ask: a drain still does.
    pub(super) fn of(shared: &Shared, launch: &Launch, rules: &Arc<Rules>) -> Option<Self> {
        let settle = shared.settings.effects_settle.get();
        if settle.is_zero() || launch.comparison == Comparison::Off {
            return None;
        }
        let name = launch.name.clone();
        let primary = |effect: &mut SideEffect| {
            effect.response = None;
            effect.side == Side::Primary
        };
        let shadow = move |effect: &mut SideEffect| {
            effect.response = None;
            effect.side != Side::Primary && effect.launch.as_ref().is_none_or(|launch| *launch == name)
        };
        let bytes = shared.settings.effects_memory.as_len() / 2;
        let never = CancellationToken::new();
        Some(Self {
            primary: Feed::spawn(shared.kafka.clone(), &launch.service, primary, bytes, never.clone()),
            shadow: Feed::spawn(shared.kafka.clone(), &launch.service, shadow, bytes, never.clone()),
            judge: Judge::new(launch.name.clone(), rules.clone(), settle),
            settle,
            launch: launch.name.to_string(),
            metrics: shared.metrics.clone(),
        })
    }

    /// Settles the effects of `rows`. `false` when it was given up: then nothing may be stored or committed, so that everything is read again.
    pub(super) async fn settle(
        &self,
        rows: &mut [ExchangeRow],
        unsettled: Unsettled,
        hurry: &CancellationToken,
    ) -> bool {
        let hurried = async {
            hurry.cancelled().await;
            tokio::time::sleep(HURRY).await;
            let last = unsettled.iter().map(|(_, served)| served.settled_at(self.settle)).max();
            if last.is_none_or(|last| last <= Timestamp::now()) {
                std::future::pending::<()>().await;
            }
        };
        let waiting = self.metrics.effects_wait(&self.launch, unsettled.len());
        let settled = tokio::select! {
            settled = self.settle_all(rows, &unsettled) => settled,
            () = hurried => false,
        };
        drop(waiting);
        settled
    }

    async fn settle_all(&self, rows: &mut [ExchangeRow], unsettled: &Unsettled) -> bool {
        let mut order: Vec<_> =
            unsettled.iter().map(|(row, served)| (served.primary_window(self.settle), *row, served)).collect();
        order.sort_by_key(|(window, ..)| window.from);
        let mut rest = order.as_slice();
        while let Some((first, ..)) = rest.first() {
            let end = first.from.plus(TOGETHER);
            let (together, later) = rest.split_at(rest.partition_point(|(window, ..)| window.from <= end));
            rest = later;
            let until = together.iter().map(|(window, ..)| window.until).max().unwrap_or(end);
            let shadow = together.iter().filter_map(|(.., served)| Some(served.sent.as_ref()?.window(self.settle)));
            let shadow = shadow.reduce(|one, other| one.and(other));
            let reached = tokio::join!(self.primary.reach(first.from, until), async {
                match shadow {
                    Some(window) => self.shadow.reach(window.from, window.until).await,
                    None => Reached::Complete,
                }
            });
            match reached {
                (Reached::Stopped, _) | (_, Reached::Stopped) => return false,
                (Reached::NoTopic, _) | (_, Reached::NoTopic) => return true,
                (Reached::Complete, Reached::Complete) => {}
            }
            by_turns(together, TURN, |(_, row, served)| self.settle_one(&mut rows[*row], served)).await;
            self.primary.forget_before(first.from);
            if let Some(window) = shadow {
                self.shadow.forget_before(window.from);
            }
            self.metrics.effects_held(&self.launch, self.primary.bytes() + self.shadow.bytes());
        }
        true
    }

    fn settle_one(&self, row: &mut ExchangeRow, served: &Served) {
        let judged = self.judge.judge(served, &self.primary, &self.shadow);
        if let Some(candidate) = &judged.candidate {
            self.metrics.effects_settled(&self.launch, candidate.result);
        }
        join(row, judged);
    }
}

/// Does each of these one after the other; whenever that took `turn`, whoever else waits for this thread or in this task goes first.
async fn by_turns<T>(all: impl IntoIterator<Item = T>, turn: Duration, mut each: impl FnMut(T)) {
    let mut begun = Instant::now();
    for one in all {
        each(one);
        if begun.elapsed() >= turn {
            tokio::task::yield_now().await;
            begun = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How often somebody in the same task had a turn while 100 were done.
    async fn turns_of_others(turn: Duration) -> usize {
        let (done, turns) = (Cell::new(0), Cell::new(0));
        let work = by_turns(0..100, turn, |_| done.set(done.get() + 1));
        let other = async {
            while done.get() < 100 {
                turns.set(turns.get() + 1);
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(work, other);
        turns.get()
    }

    #[tokio::test]
    async fn others_have_their_turn_while_rows_are_judged() {
        assert!(turns_of_others(Duration::ZERO).await >= 99, "one after each but the last");
        // Who of the two begins is not said.
        assert!(turns_of_others(Duration::MAX).await <= 1);
    }
}
