//! The part of a policy that says what is added: parameters, templates, and what of it can be rendered in advance.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::FieldError;
use crate::expr::{Budget, Expression, Place, Scope, Template, Uses, Vocabulary};
use crate::params::Parameter;
use crate::policy::{FilesSpec, HelperSpec, Lifecycle, PlacementSpec, PolicySpec};
use crate::render::{self, Format, Kind, Parts, Rendered};

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
}

#[derive(Debug)]
struct HelperTemplate {
    kind: Kind,
    path: String,
    lifecycle: Lifecycle,
    placement: PlacementSpec,
    include_when: Option<Expression>,
    fields: Vec<(&'static str, Template)>,
    /// All of an endpoint but its `env`, and that.
    endpoints: Vec<(Template, Option<Template>)>,
    files: Vec<FileTemplate>,
}

#[derive(Debug)]
struct FileTemplate {
    name: String,
    path: String,
    format: Format,
    content: Template,
}

/// Compiles templates and parameters with what they may see.
struct Compiler<'a> {
    vocabulary: Vocabulary<'a>,
    errors: &'a mut Vec<FieldError>,
    uses: Uses,
}

/// Compiles the body of `spec`; `None` when there are errors.
pub(super) fn compile(
    spec: &PolicySpec,
    policy: &str,
    errors: &mut Vec<FieldError>,
    warnings: &mut Vec<String>,
) -> Option<Body> {
    check_sizes(spec, errors);
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
    };
    try_out(&mut body, policy, errors, warnings);
    warn_of_late_ambassadors(spec, warnings);
    Some(body)
}

/// Containers of one policy.
const MAX_HELPERS: usize = 32;
/// Items of any other list or map of a policy: each is looked up in each container of a Pod.
const MAX_ITEMS: usize = 256;

/// What a policy holds bounds what one admission costs.
fn check_sizes(spec: &PolicySpec, errors: &mut Vec<FieldError>) {
    let mut check = |path: String, count: usize, most: usize| {
        if count > most {
            errors.push(FieldError::new(
                path,
                format!("has {count} items; {most} are allowed, so make it two policies"),
            ));
        }
    };
    let lists = [
        ("ambassadors", &spec.ambassadors),
        ("sidecars", &spec.sidecars),
        ("adapters", &spec.adapters),
        ("initContainers", &spec.init_containers),
    ];
    check(
        "spec".into(),
        lists.iter().map(|(_, list)| list.len()).sum(),
        MAX_HELPERS,
    );
    for (name, list) in lists {
        for (index, helper) in list.iter().enumerate() {
            let path = format!("spec.{name}[{index}]");
            check(format!("{path}.sharedVolumes"), helper.shared_volumes.len(), MAX_ITEMS);
            check(format!("{path}.endpoints"), helper.endpoints.len(), MAX_ITEMS);
            check(
                format!("{path}.files.items"),
                helper.files.as_ref().map_or(0, |files| files.items.len()),
                MAX_ITEMS,
            );
        }
    }
    for (path, count) in [
        ("spec.parameters", spec.parameters.len()),
        ("spec.app.containers", spec.app.containers.len()),
        ("spec.app.env", spec.app.env.len()),
        ("spec.app.volumeMounts", spec.app.volume_mounts.len()),
        ("spec.pod.labels", spec.pod.labels.len()),
        ("spec.pod.annotations", spec.pod.annotations.len()),
        ("spec.pod.volumes", spec.pod.volumes.len()),
        ("spec.pod.imagePullSecrets", spec.pod.image_pull_secrets.len()),
        ("spec.pod.hostAliases", spec.pod.host_aliases.len()),
    ] {
        check(path.to_owned(), count, MAX_ITEMS);
    }
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
        return errors.extend(body.try_parts(policy, &scope, known).err());
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

impl Compiler<'_> {
    fn template(&mut self, value: &Value, path: &str, place: Place) -> Option<Template> {
        match Template::compile(value, path, &self.vocabulary, place) {
            Ok(template) => {
                self.uses.merge(template.uses());
                Some(template)
            }
            Err(found) => {
                self.errors.extend(found.into_iter().map(FieldError::from));
                None
            }
        }
    }

    fn whole<T: serde::Serialize>(&mut self, spec: &T, path: &str, place: Place) -> Option<Template> {
        let value = serde_json::to_value(spec).unwrap_or_default();
        self.template(&value, path, place)
    }

    /// `app` is one template for each field, because `$(` is escaped in them differently.
    fn app(&mut self, spec: &PolicySpec) -> Option<Template> {
        // Compiled as a container: `env` and `volumeMounts` stand where a container has them.
        self.whole(&spec.app, "spec.app", Place::Container)
    }

    fn helpers(&mut self, spec: &PolicySpec) -> Vec<HelperTemplate> {
        // Ambassadors before adapters before sidecars, so that equal wishes for a place end in one order.
        let lists = [
            (Kind::Ambassador, "ambassadors", &spec.ambassadors),
            (Kind::Sidecar, "sidecars", &spec.sidecars),
            (Kind::Adapter, "adapters", &spec.adapters),
            (Kind::Init, "initContainers", &spec.init_containers),
        ];
        let mut helpers = Vec::new();
        for (kind, name, list) in lists {
            for (index, helper) in list.iter().enumerate() {
                helpers.extend(self.helper(kind, format!("spec.{name}[{index}]"), helper));
            }
        }
        helpers
    }

    fn helper(&mut self, kind: Kind, path: String, spec: &HelperSpec) -> Option<HelperTemplate> {
        self.refuse_misplaced(kind, &path, spec);
        let mut fields = Vec::new();
        let mut field = |compiler: &mut Self, name: &'static str, value: &Value, place| {
            if !value.is_null() {
                fields.extend(
                    compiler
                        .template(value, &format!("{path}.{name}"), place)
                        .map(|template| (name, template)),
                );
            }
        };
        field(
            self,
            "container",
            &Value::Object(spec.container.clone()),
            Place::Container,
        );
        field(
            self,
            "serviceAccountToken",
            spec.service_account_token.as_ref().unwrap_or(&Value::Null),
            Place::Value,
        );
        field(
            self,
            "metrics",
            spec.metrics.as_ref().unwrap_or(&Value::Null),
            Place::Value,
        );
        field(
            self,
            "sharedVolumes",
            &Value::Array(spec.shared_volumes.clone()),
            Place::Value,
        );
        if let Some(files) = &spec.files {
            field(self, "files", &mount(files), Place::Value);
        }
        let include_when = spec
            .include_when
            .as_ref()
            .and_then(|source| self.include_when(source, &path));
        let endpoints = self.endpoints(&spec.endpoints, &path);
        let files = spec
            .files
            .as_ref()
            .map(|files| self.files(files, &path))
            .unwrap_or_default();
        let (lifecycle, placement) = (spec.lifecycle, spec.placement.clone());
        Some(HelperTemplate {
            kind,
            path,
            lifecycle,
            placement,
            include_when,
            fields,
            endpoints,
            files,
        })
    }

    fn refuse_misplaced(&mut self, kind: Kind, path: &str, spec: &HelperSpec) {
        let mut refuse =
            |field: &str, message: &str| self.errors.push(FieldError::new(format!("{path}.{field}"), message));
        if kind != Kind::Ambassador && !spec.endpoints.is_empty() {
            refuse("endpoints", "belong to an ambassador; move the entry to ambassadors");
        }
        if kind != Kind::Adapter && spec.metrics.is_some() {
            refuse("metrics", "belong to an adapter; move the entry to adapters");
        }
        if kind == Kind::Init && spec.lifecycle != Lifecycle::Auto {
            refuse(
                "lifecycle",
                "is for helpers that run beside the application; drop it, or move the entry to sidecars",
            );
        }
        if spec.files.as_ref().is_some_and(|files| files.items.is_empty()) {
            refuse("files.items", "is empty; write a file, or drop files");
        }
    }

    fn include_when(&mut self, source: &str, path: &str) -> Option<Expression> {
        let inner = source.trim().strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        let compiled = match inner {
            Some(inner) => Expression::compile(inner, &self.vocabulary),
            None => Err(format!("\"{source}\" is not one expression; write \"${{…}}\"")),
        };
        match compiled {
            Ok(expression) => {
                self.uses.merge(expression.uses());
                Some(expression)
            }
            Err(message) => {
                self.errors
                    .push(FieldError::new(format!("{path}.includeWhen"), message));
                None
            }
        }
    }

    fn endpoints(&mut self, endpoints: &[Value], path: &str) -> Vec<(Template, Option<Template>)> {
        let mut templates = Vec::with_capacity(endpoints.len());
        for (index, endpoint) in endpoints.iter().enumerate() {
            let path = format!("{path}.endpoints[{index}]");
            let mut rest = endpoint.clone();
            let env = rest.as_object_mut().and_then(|members| members.shift_remove("env"));
            let env = env.and_then(|env| self.template(&env, &format!("{path}.env"), Place::Env));
            templates.extend(self.template(&rest, &path, Place::Value).map(|rest| (rest, env)));
        }
        templates
    }

    fn files(&mut self, files: &FilesSpec, path: &str) -> Vec<FileTemplate> {
        let mut templates = Vec::with_capacity(files.items.len());
        for (name, content) in &files.items {
            let path = format!("{path}.files.items[\"{name}\"]");
            let format = match render::file_format(name, content) {
                Ok(format) => format,
                Err(message) => {
                    self.errors.push(FieldError::new(path, message));
                    continue;
                }
            };
            let place = if format == Format::Text {
                Place::Text
            } else {
                Place::Value
            };
            let name = name.clone();
            templates.extend(self.template(content, &path, place).map(|content| FileTemplate {
                name,
                path,
                format,
                content,
            }));
        }
        // Numbered by name, whatever order the policy's keys arrive in.
        templates.sort_by(|a, b| a.name.cmp(&b.name));
        templates
    }
}

/// Everything of `files` but the files.
fn mount(files: &FilesSpec) -> Value {
    let mut mount = Map::new();
    mount.insert("mountPath".into(), files.mount_path.clone());
    if let Some(mode) = &files.mode {
        mount.insert("mode".into(), mode.clone());
    }
    Value::Object(mount)
}

impl Body {
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

    /// The names of containers that are the same in every Pod.
    pub(crate) fn constant_names(&self) -> &[String] {
        &self.constant_names
    }

    /// Renders what can be rendered without a Pod, and checks the types of the rest as far as it is constant.
    fn try_parts(&self, policy: &str, scope: &Scope<'_>, known: impl Fn(&Uses) -> bool) -> Result<(), FieldError> {
        for template in &self.helpers {
            if known(&template.uses()) {
                template.render(policy, 0, scope, &mut Budget::default())?;
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
        Ok(())
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

impl HelperTemplate {
    fn uses(&self) -> Uses {
        let mut uses = Uses::default();
        let endpoints = self
            .endpoints
            .iter()
            .flat_map(|(rest, env)| [Some(rest), env.as_ref()])
            .flatten();
        let files = self.files.iter().map(|file| &file.content);
        let templates = self
            .fields
            .iter()
            .map(|(_, template)| template)
            .chain(endpoints)
            .chain(files);
        templates.for_each(|template| uses.merge(template.uses()));
        self.include_when
            .iter()
            .for_each(|condition| uses.merge(condition.uses()));
        uses
    }

    /// Types that are wrong whatever the expressions come to.
    fn check_constants(&self) -> Result<(), FieldError> {
        for (name, template) in self.fields.iter().filter(|(name, _)| *name == "container") {
            render::check_container_types(&template.constants(), &format!("{}.{name}", self.path))?;
        }
        Ok(())
    }

    fn render(
        &self,
        policy: &str,
        files_before: usize,
        scope: &Scope<'_>,
        budget: &mut Budget,
    ) -> Result<render::Helper, FieldError> {
        let mut value = Map::new();
        for (name, template) in &self.fields {
            if let Some(rendered) = template.render(scope, budget)? {
                value.insert((*name).to_owned(), rendered);
            }
        }
        let mut endpoints = Vec::with_capacity(self.endpoints.len());
        for (rest, env) in &self.endpoints {
            let mut endpoint = rest.render(scope, budget)?.unwrap_or_default();
            if let (Some(env), Some(members)) = (env, endpoint.as_object_mut()) {
                members.insert("env".into(), env.render(scope, budget)?.unwrap_or_default());
            }
            endpoints.push(endpoint);
        }
        value.insert("endpoints".into(), Value::Array(endpoints));
        let mut files = Vec::with_capacity(self.files.len());
        for file in &self.files {
            let content = file.content.render(scope, budget)?.unwrap_or_default();
            let text =
                render::file_text(&content, file.format).map_err(|message| FieldError::new(&file.path, message))?;
            files.push((file.name.clone(), text));
        }
        render::helper(&Parts {
            policy,
            kind: self.kind,
            path: &self.path,
            lifecycle: self.lifecycle,
            placement: &self.placement,
            value: &Value::Object(value),
            files: &files,
            files_before,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(spec: Value) -> Vec<String> {
        let policy = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionPolicy",
            "metadata": {"name": "large"}, "spec": spec});
        let policy = crate::compile(&policy).unwrap();
        policy
            .errors()
            .iter()
            .map(|error| format!("{}: {}", error.path, error.message))
            .collect()
    }

    #[test]
    fn a_policy_holds_so_much_and_no_more() {
        let helpers = |count| {
            (0..count)
                .map(|i| json!({"container": {"name": format!("a{i}"), "image": "b"}}))
                .collect::<Value>()
        };
        let env = |count| (0..count).map(|i| json!({"name": format!("A{i}")})).collect::<Value>();
        assert_eq!(
            errors(json!({"sidecars": helpers(32), "app": {"env": env(256)}})),
            Vec::<String>::new()
        );
        assert_eq!(
            errors(json!({"sidecars": helpers(33), "app": {"env": env(257)}})),
            [
                "spec: has 33 items; 32 are allowed, so make it two policies",
                "spec.app.env: has 257 items; 256 are allowed, so make it two policies",
            ]
        );
    }
}
