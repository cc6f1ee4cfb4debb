//! What a tenant has used.

use crate::{access::Caller, error::Result, state::App};
use axum::{Json, extract::State};
use fabric_store::ObjectPrefix;
use fabric_types::rest::node::{Usage, UsageLine};
use futures::TryStreamExt as _;

/// The tenant's usage.
#[utoipa::path(get, path = "/usage", tag = "usage", responses((status = 200, body = Usage)))]
pub async fn usage(State(app): State<App>, caller: Caller) -> Result<Json<Usage>> {
    let functions = app.services.index.usage(&caller.tenant).await?;
    let total = functions.iter().fold(UsageLine::default(), |mut sum, line| {
        sum.invocations += line.invocations;
        sum.failed += line.failed;
        sum.cancelled += line.cancelled;
        sum.cached += line.cached;
        sum.fuel = sum.fuel.saturating_add(line.fuel);
        sum.gpu_us = sum.gpu_us.saturating_add(line.gpu_us);
        sum.guest_us += line.guest_us;
        sum.bytes_in += line.bytes_in;
        sum.bytes_out += line.bytes_out;
        sum
    });
    let objects = app.services.store.objects(&caller.tenant).list_all(&ObjectPrefix::default(), None)?;
    let object_bytes = objects.try_fold(0u64, |sum, o| futures::future::ready(Ok(sum.saturating_add(o.size)))).await?;
    let storage = app.services.store.accounts().of(&caller.tenant);
    Ok(Json(Usage { tenant: caller.tenant, total, functions, object_bytes, storage }))
}
