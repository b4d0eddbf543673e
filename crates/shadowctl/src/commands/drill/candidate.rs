//! The candidate's own count of what it has served, at the begin and at the end of the hold.

use std::time::Duration;

use url::Url;

use crate::failure::Failure;
use crate::kafka::MEMBER_PATIENCE;

/// What is on its way when the last member confirms has this long to arrive before the candidate's count is taken.
const ARRIVAL: Duration = Duration::from_millis(250);
/// A number has no more digits.
const LONGEST: usize = 64;

/// Asks twice; `None` without a URL.
pub(super) async fn count_twice(url: Option<&Url>, hold: Duration) -> Result<Option<(u64, u64)>, Failure> {
    let Some(url) = url else { return Ok(None) };
    // Before the client, which asks for a TLS provider even where it speaks none; whoever came first did the same.
    drop(rustls::crypto::ring::default_provider().install_default());
    tokio::time::sleep(ARRIVAL.min(hold / 2)).await;
    let before = count(url).await?;
    tokio::time::sleep(hold.saturating_sub(ARRIVAL.min(hold / 2))).await;
    Ok(Some((before, count(url).await?)))
}

async fn count(url: &Url) -> Result<u64, Failure> {
    let unusable = |cause: String| {
        Failure::unreachable(
            format!("{url} does not tell how many requests the candidate has served: {cause}"),
            "--candidate-count takes a URL whose whole answer is one number",
        )
    };
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(MEMBER_PATIENCE)
        .build()
        .map_err(|error| unusable(error.to_string()))?;
    let answer = client.get(url.clone()).send().await.and_then(reqwest::Response::error_for_status);
    let mut answer = answer.map_err(|error| unusable(error.to_string()))?;
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| unusable(error.to_string()))? {
        text.extend_from_slice(&chunk);
        if text.len() > LONGEST {
            return Err(unusable("the answer is no number".to_owned()));
        }
    }
    let text = String::from_utf8_lossy(&text);
    text.trim().parse().map_err(|_| unusable("the answer is no number".to_owned()))
}
