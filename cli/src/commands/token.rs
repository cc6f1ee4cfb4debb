//! `fabric token`: lists, creates and revokes tokens.

use super::Ctx;
use crate::{failure::Failure, table::Table, times};
use fabric_api::token::NewToken;
use fabric_client::PageOptions;
use fabric_types::{id::TenantId, rest::token::Role};
use std::time::Duration;

/// Flags of `fabric token`.
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    /// List tokens, without their secrets (the default)
    List,
    /// Create a token and write its secret, which is shown once
    Create {
        /// Display name
        name: String,
        /// Role: invoker, developer, tenant-admin or admin
        #[arg(long, default_value = "developer", value_parser = role)]
        role: Role,
        /// Tenant that owns it [default: your tenant]; only an admin may name another
        #[arg(long = "for", value_name = "TENANT")]
        owner: Option<TenantId>,
        /// Lifetime, such as 12h or 30d [default: until it is revoked]
        #[arg(long, value_name = "TIME", value_parser = fabric_types::duration::parse)]
        ttl: Option<Duration>,
    },
    /// Revoke a token
    Revoke {
        /// Id of the token, as shown by `fabric token list`
        id: String,
    },
}

fn role(text: &str) -> Result<Role, String> {
    serde_json::from_value(text.into()).map_err(|_| "use invoker, developer, tenant-admin or admin".to_owned())
}

/// Formats the expiry of a token for the list.
fn expiry(expires_ms: Option<u64>, now_ms: u64) -> String {
    match expires_ms {
        None => "never".to_owned(),
        Some(at) if at <= now_ms => format!("expired {}", times::format_age(at, now_ms)),
        Some(at) => times::format_timestamp(at),
    }
}

/// Runs `fabric token`.
pub async fn run(args: TokenArgs, ctx: &Ctx<'_>) -> Result<(), Failure> {
    let client = ctx.client()?;
    match args.command.unwrap_or(Sub::List) {
        Sub::List => {
            let page = PageOptions::collect(10_000, async |paging| client.tokens(&paging).await).await?;
            ctx.out.show(&page, |out, page| {
                let mut table = Table::new(&["ID", "NAME", "TENANT", "ROLE", "CREATED", "EXPIRES"]);
                for t in &page.items {
                    table.row([
                        t.id.clone(),
                        t.name.clone(),
                        t.tenant.to_string(),
                        t.role.to_string(),
                        times::format_age(t.created_ms, times::now_ms()),
                        expiry(t.expires_ms, times::now_ms()),
                    ]);
                }
                out.table(&table)
            })
        }
        Sub::Create { name, role, owner, ttl } => {
            let made =
                client.create_token(&NewToken { name, tenant: owner, role, ttl_s: ttl.map(|t| t.as_secs()) }).await?;
            if !ctx.out.json {
                ctx.note(format!(
                    "token {} for tenant {}; the secret is not shown again",
                    made.token.id, made.token.tenant
                ));
            }
            ctx.out.show(&made, |out, made| out.line(&made.secret))
        }
        Sub::Revoke { id } => {
            client.revoke_token(&id).await?;
            ctx.note(format!("revoked {id}"));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::expiry;

    #[test]
    fn an_expired_token_is_marked() {
        let now = 1_700_000_000_000;
        assert_eq!(expiry(None, now), "never");
        assert!(expiry(Some(now), now).starts_with("expired "));
        assert!(!expiry(Some(now + 1), now).contains("expired"));
    }
}
