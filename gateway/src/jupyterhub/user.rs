//! The Hub's description of the holder of a token: the answer of `GET /hub/api/user`.
//! <https://jupyterhub.readthedocs.io/en/stable/reference/rest-api.html>

use super::Refusal;
use serde::Deserialize;
use std::collections::BTreeSet;

/// Maximum bytes of a name. The Hub's own column has 255 characters.
const MAX_NAME: usize = 1020;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    kind: String,
    name: String,
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    groups: BTreeSet<String>,
    /// The permissions of the token, expanded.
    #[serde(default)]
    scopes: Vec<String>,
}

/// A user with a token that is valid for this service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) groups: BTreeSet<String>,
    pub(super) admin: bool,
}

/// Parses the answer. Returns `None` if it is not an answer of a Hub.
pub(super) fn read(bytes: &[u8], service: &str) -> Option<Result<User, Refusal>> {
    let answer: Answer = serde_json::from_slice(bytes).ok()?;
    if answer.name.is_empty() || answer.name.len() > MAX_NAME || answer.name.chars().any(char::is_control) {
        return None;
    }
    if answer.kind != "user" {
        return Some(Err(Refusal::NotAUser));
    }
    let wanted = format!("access:services!service={service}");
    if !answer.scopes.iter().any(|scope| *scope == wanted || scope == "access:services") {
        return Some(Err(Refusal::NoScope(wanted)));
    }
    Some(Ok(User { name: answer.name, groups: answer.groups, admin: answer.admin }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ask(answer: &serde_json::Value) -> Option<Result<User, Refusal>> {
        read(answer.to_string().as_bytes(), "fabric")
    }

    #[test]
    fn only_users_with_the_services_scope_are_taken() {
        let alice = json!({"kind": "user", "name": "alice", "admin": false, "groups": ["astro"], "scopes": ["access:services!service=fabric"]});
        assert_eq!(ask(&alice).unwrap().unwrap().name, "alice");
        let mut all = alice.clone();
        all["scopes"] = json!(["access:services"]);
        assert!(ask(&all).unwrap().is_ok());
        for scopes in [json!([]), json!(["access:services!service=fabric2"]), json!(["self", "access:servers"])] {
            let mut other = alice.clone();
            other["scopes"] = scopes;
            assert!(matches!(ask(&other), Some(Err(Refusal::NoScope(_)))));
        }
        let mut service = alice.clone();
        service["kind"] = json!("service");
        assert!(matches!(ask(&service), Some(Err(Refusal::NotAUser))));
        let mut old = alice;
        old.as_object_mut().unwrap().remove("scopes");
        assert!(matches!(ask(&old), Some(Err(Refusal::NoScope(_)))), "a Hub before 2.0 has no scopes");
    }

    #[test]
    fn anything_else_is_no_answer() {
        for rubbish in [
            "",
            "null",
            "[]",
            "{}",
            "{\"name\": 1}",
            "{\"name\": \"\"}",
            "{\"name\": \"a\\u0000\", \"kind\": \"user\"}",
        ] {
            assert!(read(rubbish.as_bytes(), "fabric").is_none(), "{rubbish}");
        }
    }
}
