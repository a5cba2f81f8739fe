//! The part of a policy that says what is added: parameters, templates, and what of it can be rendered in advance.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::templates::{Compiler, HelperTemplate};
use crate::expr::{Budget, Place, Scope, Template, Uses, Vocabulary};
use crate::field::FieldError;
use crate::params::Parameter;
use crate::policy::{Lifecycle, PolicySpec};
use crate::render::{self, Helper, Rendered};

/// What a policy renders.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) hash: String,
    pub(crate) allow_host_network: bool,
    pub(crate) parameters: Vec<Parameter>,
    helpers: Vec<HelperTemplate>,
    app: Template,
    pod: Template,
    uses: Uses,
    /// The whole policy with every parameter at its default, when it depends on nothing else.
    in_advance: Option<Rendered>,
    /// Of what is added to the application and to the Pod, the part without expressions.
    constants: Rendered,
    constant_names: Vec<String>,
    /// Where `in_advance` is none: the helpers that could be rendered all the same.
    known_helpers: Vec<Helper>,
}

/// Compiles the body of `spec`; `None` when there are errors.
pub(super) fn compile(
    spec: &PolicySpec,
    policy: &str,
    errors: &mut Vec<FieldError>,
    warnings: &mut Vec<String>,
) -> Option<Body> {
    super::sizes::check(spec, errors);
    let parameters = parameters(spec, errors);
    // Also those that are wrong: that they are is said once, not again wherever they are used.
    let declared = spec.parameters.iter();
    let names: Vec<_> = declared
        .map(|parameter| (parameter.name.as_str(), parameter.kind))
        .collect();
    let mut compiler = Compiler {
        vocabulary: Vocabulary { params: &names },
        errors,
        uses: Uses::default(),
    };
    let helpers = compiler.helpers(spec);
    let app = compiler.app(spec);
    let pod = compiler.whole(&spec.pod, "spec.pod", Place::Value);
    let uses = compiler.uses;
    let (Some(app), Some(pod), true) = (app, pod, errors.is_empty()) else {
        return None;
    };
    let constant_names = constant_names(spec);
    let hash = super::hash(spec);
    let allow_host_network = spec.allow_host_network;
    let mut body = Body {
        hash,
        allow_host_network,
        parameters,
        helpers,
        app,
        pod,
        uses,
        in_advance: None,
        constants: constants(spec),
        constant_names,
        known_helpers: Vec::new(),
    };
    try_out(&mut body, policy, errors, warnings);
    warn_of_late_ambassadors(spec, warnings);
    Some(body)
}

fn parameters(spec: &PolicySpec, errors: &mut Vec<FieldError>) -> Vec<Parameter> {
    Parameter::compile_all(&spec.parameters, "spec.parameters").unwrap_or_else(|found| {
        errors.extend(found.into_iter().map(FieldError::from));
        Vec::new()
    })
}

/// Renders the policy once while its author is still there to read the errors: the whole of it, or those parts that do
/// not depend on the Pod or on parameters without a default.
fn try_out(body: &mut Body, policy: &str, errors: &mut Vec<FieldError>, warnings: &mut Vec<String>) {
    let defaults = body.parameters.iter().filter_map(|parameter| {
        let default = parameter.default_value()?;
        Some((parameter.name().to_owned(), default.clone()))
    });
    let defaults: BTreeMap<String, Value> = defaults.collect();
    let scope = Scope::new().params(&defaults);
    let known = |uses: &Uses| !uses.reads_the_pod() && uses.params.iter().all(|name| defaults.contains_key(name));
    if !known(&body.uses) {
        match body.try_parts(policy, &scope, known) {
            Ok(helpers) => body.known_helpers = helpers,
            Err(error) => errors.push(error),
        }
        return;
    }
    match body.render(policy, &scope) {
        Ok(rendered) => {
            warn_of_large_files(&rendered, warnings);
            body.in_advance = Some(rendered);
        }
        Err(error) => errors.push(error),
    }
}

/// What of the policy can be told without any Pod, even if the rest depends on one. What is not valid is left out: the
/// rendered policy has it, and says so.
fn constants(spec: &PolicySpec) -> Rendered {
    let fixed = |items: &[Value]| -> Vec<Value> {
        let once = items
            .iter()
            .enumerate()
            .filter(|(index, item)| !items[..*index].contains(item));
        let fixed = once.filter(|(_, item)| !item.to_string().contains("${"));
        fixed.map(|(_, item)| item.clone()).collect()
    };
    let pairs = |map: &Map<String, Value>| -> Map<String, Value> {
        let fixed = map.iter().filter(|(_, value)| !value.to_string().contains("${"));
        fixed.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let endpoints = spec.ambassadors.iter().flat_map(|ambassador| &ambassador.endpoints);
    let variables = endpoints.filter_map(|endpoint| endpoint.get("env")?.as_array());
    let variables: Vec<Value> = variables.flatten().chain(&spec.app.env).cloned().collect();
    let app = json!({"env": fixed(&variables), "volumeMounts": fixed(&spec.app.volume_mounts)});
    let (labels, annotations) = (pairs(&spec.pod.labels), pairs(&spec.pod.annotations));
    let pod = json!({"labels": labels, "annotations": annotations, "volumes": fixed(&spec.pod.volumes)});
    Rendered {
        helpers: Vec::new(),
        app: render::app(&app, "spec.app").unwrap_or_default(),
        pod: render::pod(&pod, "spec.pod").unwrap_or_default(),
    }
}

fn constant_names(spec: &PolicySpec) -> Vec<String> {
    let helpers = spec
        .sidecars
        .iter()
        .chain(&spec.ambassadors)
        .chain(&spec.adapters)
        .chain(&spec.init_containers);
    let names = helpers.filter_map(|helper| helper.container.get("name").and_then(Value::as_str));
    names.filter(|name| !name.contains("${")).map(String::from).collect()
}

fn warn_of_large_files(rendered: &Rendered, warnings: &mut Vec<String>) {
    let bytes = rendered.file_bytes();
    if bytes > render::WARN_FILE_BYTES {
        warnings.push(format!(
            "its files come to {bytes} bytes of the 256 KiB that all annotations of a Pod may have; keep them short"
        ));
    }
}

fn warn_of_late_ambassadors(spec: &PolicySpec, warnings: &mut Vec<String>) {
    for (index, ambassador) in spec.ambassadors.iter().enumerate() {
        if ambassador.lifecycle != Lifecycle::Container && !ambassador.container.contains_key("startupProbe") {
            warnings.push(format!(
                "spec.ambassadors[{index}].container: without a startupProbe the application may start before it; write one"
            ));
        }
    }
}

impl Body {
    /// Its helpers, as far as they can be told without a Pod.
    pub(crate) fn helpers(&self) -> &[HelperTemplate] {
        &self.helpers
    }

    /// Which variables rendering reads.
    pub(crate) fn uses(&self) -> &Uses {
        &self.uses
    }

    /// The whole policy with every parameter at its default, when it depends on nothing else.
    pub(crate) fn in_advance(&self) -> Option<&Rendered> {
        self.in_advance.as_ref()
    }

    /// As much as can be told, without a Pod, of what the policy adds.
    pub(crate) fn known_additions(&self) -> &Rendered {
        self.in_advance.as_ref().unwrap_or(&self.constants)
    }

    /// Helpers that are the same in every Pod though the policy as a whole is not.
    pub(crate) fn known_helpers(&self) -> &[Helper] {
        &self.known_helpers
    }

    /// The names of containers that are the same in every Pod.
    pub(crate) fn constant_names(&self) -> &[String] {
        &self.constant_names
    }

    /// Renders what can be rendered without a Pod, and checks the types of the rest as far as it is constant.
    fn try_parts(
        &self,
        policy: &str,
        scope: &Scope<'_>,
        known: impl Fn(&Uses) -> bool,
    ) -> Result<Vec<Helper>, FieldError> {
        let mut helpers = Vec::new();
        for template in &self.helpers {
            if known(&template.uses()) {
                let helper = template.render(policy, 0, scope, &mut Budget::default())?;
                let included = template.include_when.as_ref().map(|when| when.evaluate_bool(scope));
                helpers.extend((included != Some(Ok(false))).then_some(helper));
            } else {
                template.check_constants()?;
            }
        }
        if known(self.app.uses()) {
            let app = self.app.render(scope, &mut Budget::default())?;
            render::app(&app.unwrap_or_default(), "spec.app")?;
        }
        if known(self.pod.uses()) {
            let pod = self.pod.render(scope, &mut Budget::default())?;
            render::pod(&pod.unwrap_or_default(), "spec.pod")?;
        }
        Ok(helpers)
    }

    /// What the policy renders.
    ///
    /// # Errors
    /// The path of the field, and why it cannot be rendered or would not be valid in a Pod.
    pub(crate) fn render(&self, policy: &str, scope: &Scope<'_>) -> Result<Rendered, FieldError> {
        let mut budget = Budget::default();
        let mut rendered = Rendered::default();
        let mut files_before = 0;
        for template in &self.helpers {
            if let Some(condition) = &template.include_when {
                let path = || format!("{}.includeWhen", template.path);
                if !condition
                    .evaluate_bool(scope)
                    .map_err(|message| FieldError::new(path(), message))?
                {
                    continue;
                }
            }
            let helper = template.render(policy, files_before, scope, &mut budget)?;
            files_before += helper.annotations.len();
            if rendered.helpers.iter().any(|other| other.name == helper.name) {
                let message = format!("two containers are named \"{}\"; names must differ", helper.name);
                return Err(FieldError::new(format!("{}.container.name", template.path), message));
            }
            rendered.helpers.push(helper);
        }
        rendered.app = render::app(&self.app.render(scope, &mut budget)?.unwrap_or_default(), "spec.app")?;
        rendered.pod = render::pod(&self.pod.render(scope, &mut budget)?.unwrap_or_default(), "spec.pod")?;
        rendered.check_together()?;
        Ok(rendered)
    }
}
