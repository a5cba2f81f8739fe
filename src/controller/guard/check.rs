//! One ValidatingAdmissionPolicy with its binding, put together within what the API server stores.
use super::{Facts, cel};
use outrigger_engine::Snapshot;
use serde_json::{Map, Value, json};

/// The name of the object, and of its binding, about Pods that name a policy.
pub const REQUESTED: &str = "outrigger-requested";
/// The name of the object, and of its binding, about `Required` policies.
pub const REQUIRED: &str = "outrigger-required";

/// As long as one object may be, in bytes of its `spec`. etcd takes 1.5 MiB, of which the record of who set which field
/// needs some.
const SPEC_BYTES: usize = 768 * 1024;
/// As long as one expression may be: the API server's parser takes 100,000 characters.
pub(super) const EXPRESSION_BYTES: usize = 90_000;

/// One of the guard's objects with its binding.
#[derive(Debug)]
pub struct Check {
    /// The ValidatingAdmissionPolicy.
    pub policy: Value,
    /// The ValidatingAdmissionPolicyBinding.
    pub binding: Value,
    /// Policies that it says nothing of.
    pub left_out: Vec<LeftOut>,
    owners: Owners,
}

/// A policy that the guard says nothing of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name; with its namespace, where it has one.
    pub policy: String,
    /// Why.
    pub why: &'static str,
}

/// Whose each variable and each validation is.
#[derive(Debug, Default)]
struct Owners {
    variables: Vec<Option<String>>,
    validations: Vec<Option<String>>,
}

impl Check {
    /// The policy that a field of the object belongs to, for example `spec.variables[3].expression`.
    pub fn owner(&self, field: &str) -> Option<&str> {
        let (list, rest) = field.strip_prefix("spec.")?.split_once('[')?;
        let owners = match list {
            "variables" => &self.owners.variables,
            "validations" => &self.owners.validations,
            _ => return None,
        };
        let index: usize = rest.split(']').next()?.parse().ok()?;
        owners.get(index)?.as_deref()
    }
}

/// A validation of the object.
#[derive(Debug, Default)]
pub(super) struct Validation {
    pub(super) expression: String,
    /// Said as it is where there is no `message_expression`: those are evaluated for each Pod, also for one that passes.
    pub(super) message: String,
    pub(super) message_expression: Option<String>,
    /// `Forbidden` or `Invalid`.
    pub(super) reason: &'static str,
}

/// An object while it is put together.
#[derive(Debug)]
pub(super) struct Draft {
    name: &'static str,
    variables: Vec<Value>,
    validations: Vec<Value>,
    owners: Owners,
    bytes: usize,
    pub(super) left_out: Vec<LeftOut>,
}

/// What one policy adds to an object: all of it, or nothing.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) variables: Vec<(String, String)>,
    pub(super) validation: Validation,
}

impl Draft {
    pub(super) fn new(name: &'static str) -> Draft {
        Draft {
            name,
            variables: Vec::new(),
            validations: Vec::new(),
            owners: Owners::default(),
            bytes: 0,
            left_out: Vec::new(),
        }
    }

    /// A variable that others may use which come later.
    pub(super) fn variable(&mut self, name: &str, expression: impl Into<String>) {
        self.put_variable(name, expression.into(), None);
    }

    pub(super) fn validation(&mut self, validation: Validation) {
        self.put_validation(validation, None);
    }

    /// Adds what belongs to one policy, or says that it is left out.
    pub(super) fn part(&mut self, policy: &str, part: Part) -> bool {
        let longest = part.variables.iter().map(|(_, expression)| expression.len()).max();
        let sizes = part
            .variables
            .iter()
            .map(|(name, expression)| name.len() + expression.len() + 64);
        let bytes = sizes.sum::<usize>() + part.validation.expression.len() + part.validation.message.len() + 128;
        if longest.is_some_and(|longest| longest > EXPRESSION_BYTES) {
            self.leave_out(policy, "its match is too long for an expression of the API server");
            return false;
        }
        if self.bytes + bytes > SPEC_BYTES {
            self.leave_out(policy, "there are more policies than fit into one object");
            return false;
        }
        for (name, expression) in part.variables {
            self.put_variable(&name, expression, Some(policy));
        }
        self.put_validation(part.validation, Some(policy));
        true
    }

    pub(super) fn leave_out(&mut self, policy: &str, why: &'static str) {
        let policy = policy.to_owned();
        self.left_out.push(LeftOut { policy, why });
    }

    fn put_variable(&mut self, name: &str, expression: String, owner: Option<&str>) {
        self.bytes += name.len() + expression.len() + 64;
        self.variables.push(json!({"name": name, "expression": expression}));
        self.owners.variables.push(owner.map(str::to_owned));
    }

    fn put_validation(&mut self, validation: Validation, owner: Option<&str>) {
        self.bytes += validation.expression.len() + validation.message.len() + 128;
        let mut fields = Map::new();
        fields.insert("expression".into(), validation.expression.into());
        fields.insert("message".into(), validation.message.into());
        if let Some(expression) = validation.message_expression {
            fields.insert("messageExpression".into(), expression.into());
        }
        fields.insert("reason".into(), validation.reason.into());
        self.validations.push(Value::Object(fields));
        self.owners.validations.push(owner.map(str::to_owned));
    }

    pub(super) fn finish(self, snapshot: &Snapshot, facts: &Facts) -> Check {
        let mut protected: Vec<&str> = snapshot
            .settings()
            .protected_namespaces
            .iter()
            .chain(&facts.namespace)
            .map(String::as_str)
            .collect();
        protected.sort_unstable();
        protected.dedup();
        let outside = json!({"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": protected},
        ]});
        let not_a_mirror = "!('kubernetes.io/config.mirror' in object.metadata.?annotations.orValue({}))";
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": self.name},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "matchPolicy": "Equivalent",
                    "namespaceSelector": outside,
                    "resourceRules": [
                        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["pods"]},
                    ],
                },
                "matchConditions": [{"name": "not-a-mirror", "expression": not_a_mirror}],
                "variables": self.variables,
                "validations": self.validations,
            },
        });
        let binding = binding(self.name);
        Check {
            policy,
            binding,
            left_out: self.left_out,
            owners: self.owners,
        }
    }
}

/// The binding of the object of this name.
pub(super) fn binding(name: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    })
}

/// Variables that both objects use.
pub(super) fn common(draft: &mut Draft, facts: &Facts) {
    draft.variable("annotations", "object.metadata.?annotations.orValue({})");
    draft.variable(
        "oldAnnotations",
        "request.operation == 'UPDATE' ? oldObject.metadata.?annotations.orValue({}) : {}",
    );
    let injector = facts.injector.as_deref();
    let by_injector = injector.map(|name| format!("request.userInfo.username == {}", cel::text(name)));
    draft.variable("byInjector", by_injector.unwrap_or_else(|| "false".to_owned()));
    draft.variable("injected", record("variables.annotations"));
}

/// The names in the record `outrigger.dev/injected` among these annotations.
pub(super) fn record(annotations: &str) -> String {
    format!(
        "{annotations}[?'outrigger.dev/injected'].orValue('').split(',').map(t, t.trim()).filter(t, t.matches('^[a-z0-9-]+@[a-z0-9-]+$')).map(t, t.split('@')[0])"
    )
}
