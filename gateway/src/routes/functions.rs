//! Routes of functions: deploy, list, delete, roll back.

use crate::{
    Error, body,
    caller::Caller,
    charged,
    error::Result,
    extract::{JsonBody, PathParams, QueryParams, collect, shared_body},
    functions::{DeployOutcome, NewVersion},
    state::App,
};
use axum::{
    Json,
    extract::{DefaultBodyLimit, FromRequest as _, Multipart, Request, State, multipart::Field},
};
use bytes::Bytes;
use fabric_api::function::{Alias, DeploymentResponse, FunctionQuery, FunctionSummary, Rollback};
use fabric_backend::maintenance::ROW_BYTES;
use fabric_types::{
    Code,
    digest::{InvalidDigest, ModuleDigest},
    id::FunctionName,
    manifest::Manifest,
    memory::{ChargedBuffer, Payer},
    parse_error::plain,
    rest::Page,
    storage::StorageKind,
};
use http::StatusCode;

/// Maximum bytes of a manifest.
const MAX_MANIFEST: usize = 1 << 20;
/// Maximum bytes of a form without its module.
const MAX_REST: usize = 2 << 20;

/// The parts of a deployment form.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "describes the form to OpenAPI")]
pub struct DeployForm {
    /// The manifest, as TOML or JSON.
    manifest: String,
    /// The WebAssembly module, by default at most 64 MiB.
    #[schema(format = Binary, content_media_type = "application/wasm")]
    module: Option<String>,
    /// Instead of the module, the SHA-256 of one that the tenant has deployed before, or of the server's Python runner.
    module_digest: Option<String>,
    /// A note from the deployer.
    note: Option<String>,
    /// `false` leaves `live` unchanged.
    promote: Option<String>,
}

async fn part(mut field: Field<'_>, name: &'static str, limit: usize, payer: &Payer) -> Result<Bytes> {
    let mut all = ChargedBuffer::with_limit(payer, limit);
    while let Some(chunk) = field.chunk().await.map_err(|e| Error::bad(format!("the form ended early: {e}")))? {
        if all.len() + chunk.len() > limit {
            return Err(Error::new(Code::TooLarge, format!("the part `{name}` has more than {limit} bytes")));
        }
        all.extend(&chunk)?;
    }
    Ok(Bytes::from_owner(all))
}

fn utf8(name: &str, bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Error::bad(format!("the part `{name}` is not UTF-8")))
}

fn manifest(bytes: &[u8]) -> Result<Manifest> {
    let invalid = |message: String| Error::new(Code::InvalidManifest, message);
    let text = utf8("manifest", bytes)?;
    if text.trim_start().starts_with('{') {
        let manifest: Manifest =
            serde_json::from_str(&text).map_err(|e| invalid(format!("manifest: {}", plain(&e.to_string()))))?;
        manifest.check().map_err(|e| invalid(e.to_string()))?;
        return Ok(manifest);
    }
    Manifest::from_toml(&text).map_err(|e| invalid(e.to_string()))
}

/// Deploys a version.
#[utoipa::path(post, path = "/functions", tag = "functions", request_body(content = DeployForm, content_type = "multipart/form-data"), responses((status = 201, body = DeploymentResponse), (status = 200, description = "The newest version is the same", body = DeploymentResponse)))]
pub async fn deploy(
    State(app): State<App>,
    caller: Caller,
    mut request: Request,
) -> Result<(StatusCode, Json<DeploymentResponse>)> {
    if crate::extract::media_type(request.headers()) != "multipart/form-data" {
        return Err(crate::Error::unsupported_media_type("multipart/form-data"));
    }
    let payer = charged::payer(request.extensions());
    let max_module = usize::try_from(app.services.node.max_module_bytes()).unwrap_or(usize::MAX);
    DefaultBodyLimit::max(max_module.saturating_add(MAX_REST)).apply(&mut request);
    let (request, rest) = shared_body(request);
    let mut form = Multipart::from_request(request, &()).await.map_err(|e| Error::bad(e.body_text()))?;
    let (mut given, mut module, mut digest, mut note, mut promote) = (None, None, None, String::new(), true);
    while let Some(field) = form.next_field().await.map_err(|e| Error::bad(e.body_text()))? {
        match field.name().unwrap_or_default() {
            // Only once: each is read in full.
            "manifest" if given.is_some() => return Err(Error::bad("the form has the part `manifest` twice")),
            "manifest" => {
                let text = part(field, "manifest", MAX_MANIFEST, &payer).await?;
                given = Some(body::read(&app.checks, &caller.tenant, text, manifest).await?);
            }
            "module" => module = Some(part(field, "module", max_module, &payer).await?),
            "module_digest" => {
                let text = utf8("module_digest", &part(field, "module_digest", 64, &payer).await?)?;
                digest = Some(text.parse().map_err(|e: InvalidDigest| Error::bad(e.to_string()))?);
            }
            "note" => note = utf8("note", &part(field, "note", 4096, &payer).await?)?,
            "promote" => {
                promote = match &*part(field, "promote", 16, &payer).await? {
                    b"true" => true,
                    b"false" => false,
                    _ => return Err(Error::bad("`promote` is `true` or `false`")),
                }
            }
            other => {
                let name: String = other.chars().take(80).collect();
                return Err(Error::bad(format!("the form has an unknown part `{name}`"))
                    .hint("send manifest, module or module_digest, and optionally note and promote"));
            }
        }
    }
    let mut manifest = given.ok_or_else(|| Error::bad("the form has no part `manifest`"))?;
    if module.is_some() == digest.is_some() {
        return Err(Error::bad("the form needs one of the parts `module` and `module_digest`"));
    }
    // Before anything is compiled.
    let lowered = app.services.node.policies().fresh(&caller.tenant).await?.admit(&caller.tenant, &manifest)?;
    // Before the module is compiled, which takes longer.
    if let Some(schema) = &manifest.params {
        app.functions.check_schema(&caller.tenant, schema).await?;
    }
    // The reader of a form stops at its last line. The server detects that the caller disconnects, and cancels the
    // compilation, only after the body was read to its end.
    rest.drain().await;
    let module = match (module, digest) {
        (Some(module), _) => module,
        (None, Some(digest)) => known_module(&app, &caller, digest, &payer).await?,
        (None, None) => return Err(Error::bad("the form has no module")),
    };
    let module_bytes = module.len() as u64;
    let uploaded = app.services.node.upload(&caller.tenant, module).await?;
    manifest.params = manifest.params.or(uploaded.params);
    if manifest.function.description.is_empty()
        && let Some(description) = uploaded.description
    {
        manifest.function.description = description.chars().take(1024).collect();
    }
    let record = serde_json::to_vec(&manifest).map_or(0, |bytes| bytes.len() as u64) + note.len() as u64 + ROW_BYTES;
    let accounts = app.services.store.accounts();
    let room = accounts.reserve(&caller.tenant, StorageKind::Functions, record).await?;
    let new = NewVersion { manifest, module: uploaded.module, module_bytes, entry: uploaded.entry, note, promote };
    let DeployOutcome { deployment, created, live_before, live } = app.functions.deploy(&caller.tenant, new).await?;
    if created {
        room.keep(0);
    }
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    let mut warnings = uploaded.warnings;
    warnings.extend(lowered);
    if let Err(fault) = app.services.node.warm(&std::sync::Arc::new(deployment.clone())).await {
        warnings.push(format!("its first call will be slow: {fault}"));
    }
    let deployed =
        DeploymentResponse { deployment, created, live, live_before, compile_ms: uploaded.compile_ms, warnings };
    Ok((status, Json(deployed)))
}

/// Returns a module by its digest: one of the tenant's, or the Python runner of the server.
async fn known_module(app: &App, caller: &Caller, digest: ModuleDigest, payer: &Payer) -> Result<Bytes> {
    let max_bytes = app.services.node.max_module_bytes();
    let modules = app.services.store.modules(&caller.tenant);
    if let Some(bytes) = modules.size(&digest).await? {
        let charge = payer.charge(bytes)?;
        return Ok(charged::held(modules.get(&digest, max_bytes).await?, charge));
    }
    match &app.services.python_runner {
        Some(runner) if runner.digest() == digest => {
            let charge = payer.charge(runner.size())?;
            Ok(charged::held(runner.read().await?, charge))
        }
        _ => Err(Error::not_found("module", digest).hint("send the module itself, in the part `module`")),
    }
}

/// Lists functions, ordered by name.
#[utoipa::path(get, path = "/functions", tag = "functions", params(FunctionQuery), responses((status = 200, body = Page<FunctionSummary>)))]
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    QueryParams(ask): QueryParams<FunctionQuery>,
) -> Result<Json<Page<FunctionSummary>>> {
    let limit = ask.items();
    let (q, tag, cursor) = (ask.q.as_deref(), ask.tag.as_deref(), ask.cursor.as_deref());
    app.functions.list(&caller.tenant, q, tag, cursor, limit).await.map(Json)
}

/// Returns one function.
#[utoipa::path(get, path = "/functions/{f}", tag = "functions", params(("f" = String, Path)), responses((status = 200, body = FunctionSummary)))]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    PathParams(f): PathParams<FunctionName>,
) -> Result<Json<FunctionSummary>> {
    app.functions.summary(&caller.tenant, &f).await.map(Json)
}

/// Deletes a function. Its jobs keep running.
#[utoipa::path(delete, path = "/functions/{f}", tag = "functions", params(("f" = String, Path)), responses((status = 204)))]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    PathParams(f): PathParams<FunctionName>,
) -> Result<StatusCode> {
    app.functions.delete(&caller.tenant, &f).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Points `live` at an older version.
#[utoipa::path(post, path = "/functions/{f}/rollback", tag = "functions", params(("f" = String, Path)), request_body = Rollback, responses((status = 200, body = Alias)))]
pub async fn rollback(
    State(app): State<App>,
    caller: Caller,
    PathParams(f): PathParams<FunctionName>,
    request: Request,
) -> Result<Json<Alias>> {
    // An empty body selects the previous version.
    let (parts, body) = request.into_parts();
    let bytes = collect(body, 64 * 1024).await?;
    let wanted = if bytes.is_empty() {
        Rollback::default()
    } else {
        JsonBody::<Rollback>::from_request(Request::from_parts(parts, bytes.into()), &()).await?.0
    };
    app.functions.rollback(&caller.tenant, &f, wanted.to).await.map(Json)
}
