//! The route of a tenant's usage.

use crate::{
    caller::Caller,
    clock,
    error::{Error, Result},
    extract::QueryParams,
    state::App,
};
use axum::{Json, extract::State};
use fabric_api::usage::UsageParams;
use fabric_index::usage::DAY_MS;
use fabric_store::ObjectPrefix;
use fabric_types::rest::node::{Usage, UsageLine};
use futures::TryStreamExt as _;

fn day(ms: u64) -> u32 {
    u32::try_from(ms / DAY_MS).unwrap_or(u32::MAX)
}

/// Returns the tenant's usage by function, and its stored bytes.
#[utoipa::path(get, path = "/usage", tag = "usage", params(UsageParams), responses((status = 200, body = Usage)))]
pub async fn usage(
    State(app): State<App>,
    caller: Caller,
    QueryParams(span): QueryParams<UsageParams>,
) -> Result<Json<Usage>> {
    let first = span.since_ms.map(day);
    let after = span.until_ms.map(|ms| day(ms).saturating_add(1));
    let days = first.unwrap_or(0)..after.unwrap_or(u32::MAX);
    if days.is_empty() {
        return Err(Error::bad("`since_ms` is after `until_ms`"));
    }
    if first.is_some_and(|first| first > day(clock::now_ms())) {
        return Err(Error::bad("`since_ms` is in the future"));
    }
    let mut functions = app.services.index.usage(&caller.tenant, days).await?;
    let mut total = functions.iter().fold(UsageLine::default(), |mut sum, line| {
        sum.invocations += line.invocations;
        sum.failed += line.failed;
        sum.cancelled += line.cancelled;
        sum.cached += line.cached;
        sum.cost.add(&line.cost);
        sum
    });
    let prices = app.services.prices.clone();
    if let Some(prices) = &prices {
        for line in functions.iter_mut().chain([&mut total]) {
            line.price = Some(prices.of(line.cost.fuel, line.cost.gpu_us));
        }
    }
    let objects = app.services.store.objects(&caller.tenant).list_all(&ObjectPrefix::default(), None)?;
    let object_bytes = objects.try_fold(0u64, |sum, o| futures::future::ready(Ok(sum.saturating_add(o.size)))).await?;
    let storage = app.services.store.accounts().of(&caller.tenant);
    let start = |day: u32| u64::from(day) * DAY_MS;
    Ok(Json(Usage {
        tenant: caller.tenant,
        since_ms: first.map(start),
        until_ms: after.map(start),
        prices,
        total,
        functions,
        object_bytes,
        storage,
    }))
}
