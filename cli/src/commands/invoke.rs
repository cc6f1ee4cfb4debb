//! `fabric invoke`: calls a function.

use super::Ctx;
use crate::{complete, failure::Failure, number, params};
use base64::Engine as _;
use bytes::Bytes;
use fabric_client::{InvokeRequest, Upload};
use fabric_types::function::FunctionRef;
use std::path::Path;

/// Maximum size of a result in bytes with --json, which holds the result in memory.
const JSON_BODY_LIMIT: u64 = 64 << 20;

/// Flags of `fabric invoke`.
#[derive(Debug, clap::Args)]
pub struct InvokeArgs {
    /// The function, as NAME, NAME@VERSION or NAME:ALIAS
    #[arg(add = complete::functions())]
    pub function: FunctionRef,
    /// The body: text, @FILE, or - for standard input [default: empty]
    #[arg(long, short, value_name = "TEXT|@FILE|-", allow_hyphen_values = true)]
    pub data: Option<String>,
    /// Parameter, or a file with a JSON object of parameters; a value that is valid JSON is passed as JSON, unless the
    /// function expects text
    #[arg(long = "param", short, value_name = "NAME=VALUE|@FILE", value_parser = params::parse)]
    pub params: Vec<params::Param>,
    /// The body's media type
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    /// Write the invocation's id once it is accepted, and do not wait
    #[arg(long = "async")]
    pub detach: bool,
    /// With --async: wait for the invocation to end and write its result
    #[arg(long, requires = "detach")]
    pub wait: bool,
    /// Key for safe retries: a call with the same key within a day returns the stored answer
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
}

/// Calls the function and writes its result.
pub async fn run(args: &InvokeArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let client = ctx.client()?;
    let params = params::object(&args.params, &client, &args.function).await?;
    let (mut call, guessed) = match args.data.as_deref() {
        None => (InvokeRequest::new(Bytes::new()), "application/octet-stream"),
        Some("-") => (InvokeRequest::streamed(Upload::reader(tokio::io::stdin(), None)), "application/octet-stream"),
        Some(text) => match text.strip_prefix('@') {
            Some(file) => (InvokeRequest::streamed(Upload::file(Path::new(file)).await?), "application/octet-stream"),
            None if serde_json::from_str::<serde_json::Value>(text).is_ok() => {
                (InvokeRequest::new(text.to_owned()), "application/json")
            }
            None => (InvokeRequest::new(text.to_owned()), "text/plain; charset=utf-8"),
        },
    };
    call = call.content_type(args.content_type.as_deref().unwrap_or(guessed)).params(&params);
    if let Some(key) = &args.idempotency_key {
        call = call.idempotency_key(key);
    }
    let function = args.function.to_string();
    if args.detach {
        let accepted = client.invoke_async(&function, call).await;
        let accepted = accepted.map_err(|e| params::explained(e.into(), &args.params))?;
        if !args.wait {
            return ctx.out.show(&accepted, |out, i| out.line(i.id.as_str()));
        }
        ctx.note(format!("accepted as {}", accepted.id));
        return super::invocations::result(accepted, &client, ctx).await;
    }
    let answer = client.invoke(&function, call).await.map_err(|e| params::explained(e.into(), &args.params))?;
    if ctx.out.json {
        let kind = answer.body.content_type().map(ToOwned::to_owned);
        let (id, version, fuel, cached) = (answer.id, answer.version, answer.fuel, answer.cached);
        let bytes = answer.body.bytes(JSON_BODY_LIMIT).await?;
        let mut value = serde_json::json!({
            "invocation_id": id, "version": version, "fuel": fuel, "cached": cached,
            "content_type": kind, "bytes": bytes.len(),
        });
        if let Some(object) = value.as_object_mut() {
            match std::str::from_utf8(&bytes) {
                Ok(text) => object.insert("body".to_owned(), text.into()),
                Err(_) => object
                    .insert("body_base64".to_owned(), base64::engine::general_purpose::STANDARD.encode(&bytes).into()),
            };
        }
        return ctx.out.json(&value);
    }
    let remark = (answer.id.clone(), answer.fuel, answer.cached);
    ctx.out.body(answer.body).await?;
    if ctx.out.stderr_is_terminal {
        let (id, fuel, cached) = remark;
        let cached = if cached { ", from the cache" } else { "" };
        let fuel = fuel.map(|f| format!(", {} fuel", number::grouped(f))).unwrap_or_default();
        ctx.note(format!("invocation {}{fuel}{cached}", id.unwrap_or_default()));
    }
    Ok(())
}
