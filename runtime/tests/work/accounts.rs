//! Accounts and users as NATS has them in operator mode: JWTs, each signed with the key of who is above.
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// An operator, and the accounts of the queue and of the system.
pub struct Accounts {
    operator: KeyPair,
    queue: KeyPair,
    system: KeyPair,
}

/// Seconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn jwt(issuer: &KeyPair, subject: &str, nats: &Value) -> String {
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = encode(json!({"typ": "JWT", "alg": "ed25519-nkey"}));
    let claims = json!({
        "jti": subject, "iat": now(), "iss": issuer.public_key(), "name": subject, "sub": subject, "nats": nats,
    });
    let signed = format!("{head}.{}", encode(claims));
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

impl Accounts {
    pub fn new() -> Accounts {
        Accounts {
            operator: KeyPair::new_operator(),
            queue: KeyPair::new_account(),
            system: KeyPair::new_account(),
        }
    }

    /// Lines of a server's configuration file; these users of the queue's account are let in no more.
    pub fn settings(&self, revoked: &[&KeyPair]) -> String {
        let of_operator = json!({"type": "operator", "version": 2});
        let operator = jwt(&self.operator, &self.operator.public_key(), &of_operator);
        // The system's account may have no streams.
        let account = |key: &KeyPair, storage: i64, revoked: &[&KeyPair]| {
            let revocations: serde_json::Map<_, _> = revoked
                .iter()
                .map(|user| (user.public_key(), json!(now() + 3600)))
                .collect();
            let limits = json!({
                "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
                "mem_storage": storage, "disk_storage": storage, "streams": storage, "consumer": storage,
            });
            let nats = json!({"type": "account", "version": 2, "limits": limits, "revocations": revocations});
            format!(
                "{}: \"{}\"",
                key.public_key(),
                jwt(&self.operator, &key.public_key(), &nats)
            )
        };
        format!(
            "operator: \"{operator}\"\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n{}\n{}\n}}\n",
            self.system.public_key(),
            account(&self.system, 0, &[]),
            account(&self.queue, -1, revoked),
        )
    }

    /// The text of a .creds file for a user of the queue's account.
    pub fn credentials(&self, user: &KeyPair) -> String {
        let nats = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
        let token = jwt(&self.queue, &user.public_key(), &nats);
        let seed = user.seed().unwrap();
        format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}
