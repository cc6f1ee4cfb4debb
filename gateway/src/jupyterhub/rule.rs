//! Rules of the operator that map a user of the Hub to a tenant and a role. The first that matches wins.

use super::{safe_name, user::User};
use fabric_types::{id::TenantId, rest::token::Role};
use std::{fmt, str::FromStr};

/// The placeholder for the user's name in a tenant's name.
const USER: &str = "{user}";

/// The users that a rule matches.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    User(String),
    Group(String),
    Admins,
    Everyone,
}

/// A rule `WHO=TENANT/ROLE`. WHO is `user:NAME`, `group:NAME`, `admins` or `everyone`; `{user}` in TENANT stands for
/// the user's name in a safe form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    who: Subject,
    tenant: String,
    role: Role,
}

const FORM: &str = "write WHO=TENANT/ROLE, such as group:astro=astro/developer; WHO is user:NAME, group:NAME, admins or everyone, ROLE is invoker, developer, tenant-admin or admin";

impl Rule {
    /// Returns the rules that apply if the operator gives none: each user is a developer in a separate tenant.
    #[must_use]
    pub fn default_rules() -> Vec<Self> {
        vec![Self { who: Subject::Everyone, tenant: format!("hub-{USER}"), role: Role::Developer }]
    }

    /// Returns the tenant and role of a user that the rule matches.
    pub(super) fn apply(&self, user: &User) -> Option<(TenantId, Role)> {
        let fits = match &self.who {
            Subject::User(name) => user.name == *name,
            Subject::Group(name) => user.groups.contains(name),
            Subject::Admins => user.admin,
            Subject::Everyone => true,
        };
        // Checked with the longest name when the rule was parsed.
        let tenant = fits.then(|| TenantId::new(self.tenant.replace(USER, &safe_name::of(&user.name))))?;
        tenant.ok().map(|tenant| (tenant, self.role))
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || format!("`{text}`: {FORM}");
        let (who, what) = text.rsplit_once('=').ok_or_else(form)?;
        let (tenant, role) = what.split_once('/').ok_or_else(form)?;
        let who = match who.split_once(':') {
            Some(("user", name)) if !name.is_empty() => Subject::User(name.to_owned()),
            Some(("group", name)) if !name.is_empty() => Subject::Group(name.to_owned()),
            None if who == "admins" => Subject::Admins,
            None if who == "everyone" => Subject::Everyone,
            _ => return Err(form()),
        };
        let roles = [Role::Invoker, Role::Developer, Role::TenantAdmin, Role::Admin];
        let role = roles.into_iter().find(|r| r.to_string() == role).ok_or_else(form)?;
        TenantId::new(tenant.replace(USER, &"x".repeat(safe_name::LONGEST)))
            .map_err(|e| format!("`{text}`: with a long name for {USER} the tenant would not be valid: {}", e.rule))?;
        if tenant.starts_with(USER) {
            return Err(format!(
                "`{text}`: a tenant that consists only of a user's name could be another's; add a prefix, such as hub-{USER}"
            ));
        }
        Ok(Self { who, tenant: tenant.to_owned(), role })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.who {
            Subject::User(name) => write!(f, "user:{name}"),
            Subject::Group(name) => write!(f, "group:{name}"),
            Subject::Admins => f.write_str("admins"),
            Subject::Everyone => f.write_str("everyone"),
        }?;
        write!(f, "={}/{}", self.tenant, self.role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, groups: &[&str], admin: bool) -> User {
        User { name: name.to_owned(), groups: groups.iter().map(|g| (*g).to_owned()).collect(), admin }
    }

    #[test]
    fn a_rule_is_written_as_it_is_read() {
        for text in [
            "user:a=b@c=t/invoker",
            "group:astro=astro/developer",
            "admins=default/admin",
            "everyone=hub-{user}/tenant-admin",
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        for rule in Rule::default_rules() {
            assert_eq!(rule.to_string().parse::<Rule>().unwrap(), rule);
        }
    }

    #[test]
    fn mistakes_are_refused_with_the_form() {
        for bad in [
            "",
            "everyone",
            "everyone=t",
            "everyone=t/king",
            "group:=t/admin",
            "team:x=t/admin",
            "everyone=T/admin",
            "everyone=/admin",
        ] {
            let problem = bad.parse::<Rule>().unwrap_err();
            assert!(problem.contains(bad), "{problem}");
        }
        let long = format!("everyone={}-{{user}}/developer", "t".repeat(30));
        assert!(long.parse::<Rule>().unwrap_err().contains("long name"));
        assert!("everyone={user}/developer".parse::<Rule>().unwrap_err().contains("hub-{user}"));
    }

    #[test]
    fn a_rule_fits_whom_it_names() {
        let rule = |text: &str| text.parse::<Rule>().unwrap();
        let alice = user("alice", &["astro"], false);
        let lands = |text: &str| rule(text).apply(&alice).map(|(t, r)| (t.to_string(), r));
        assert_eq!(lands("user:alice=t/invoker"), Some(("t".to_owned(), Role::Invoker)));
        assert_eq!(lands("user:bob=t/invoker"), None);
        assert_eq!(lands("group:astro=t-{user}/developer"), Some(("t-alice".to_owned(), Role::Developer)));
        assert_eq!(lands("group:bio=t/developer"), None);
        assert_eq!(lands("admins=t/admin"), None);
        assert!(rule("admins=t/admin").apply(&user("root", &[], true)).is_some());
        assert!(lands("everyone=t/invoker").is_some());
    }
}
