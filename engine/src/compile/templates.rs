//! The templates of a policy: values with `${…}`, compiled, and rendered for one Pod.

use serde_json::{Map, Value};

use crate::expr::{Budget, Expression, Place, Scope, Template, Uses, Vocabulary};
use crate::field::FieldError;
use crate::pod::List;
use crate::policy::{FilesSpec, HelperSpec, Lifecycle, PlacementSpec, PolicySpec};
use crate::render::{self, Format, Kind, Parts};
use crate::settings::Settings;

/// One entry of `sidecars`, `ambassadors`, `adapters` or `initContainers`.
#[derive(Debug)]
pub(crate) struct HelperTemplate {
    kind: Kind,
    pub(super) path: String,
    lifecycle: Lifecycle,
    placement: PlacementSpec,
    pub(super) include_when: Option<Expression>,
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
pub(super) struct Compiler<'a> {
    pub(super) vocabulary: Vocabulary<'a>,
    pub(super) errors: &'a mut Vec<FieldError>,
    /// What all templates together read.
    pub(super) uses: Uses,
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

    /// A part of the policy as one template.
    pub(super) fn whole<T: serde::Serialize>(&mut self, spec: &T, path: &str, place: Place) -> Option<Template> {
        let value = serde_json::to_value(spec).unwrap_or_default();
        self.template(&value, path, place)
    }

    /// `spec.app`.
    pub(super) fn app(&mut self, spec: &PolicySpec) -> Option<Template> {
        // Compiled as a container: `env` and `volumeMounts` stand where a container has them.
        self.whole(&spec.app, "spec.app", Place::Container)
    }

    pub(super) fn helpers(&mut self, spec: &PolicySpec) -> Vec<HelperTemplate> {
        let mut helpers = Vec::new();
        for (kind, list) in lists(spec) {
            for (index, helper) in list.iter().enumerate() {
                helpers.extend(self.helper(kind, format!("spec.{}[{index}]", kind.list()), helper));
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
            if !endpoint.is_object() {
                let message = "must be an object; write name, port, protocol, env";
                self.errors.push(FieldError::new(path, message));
                continue;
            }
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
            // What expressions add to an object comes in order too, so that nothing is left to be sorted for each Pod.
            let content = render::sorted(content);
            templates.extend(self.template(&content, &path, place).map(|content| FileTemplate {
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

impl HelperTemplate {
    /// Whether it is in every Pod that gets the policy.
    pub(crate) fn is_certain(&self) -> bool {
        let certain = |when: &Expression| when.uses().is_empty() && when.evaluate_bool(&Scope::new()) == Ok(true);
        self.include_when.as_ref().is_none_or(certain)
    }

    /// The list of the Pod that it goes into, and whether as a native sidecar.
    pub(crate) fn slot(&self, settings: &Settings) -> (List, bool) {
        render::slot(self.kind, self.lifecycle, settings)
    }

    /// A field of the container that has no expression in it.
    pub(crate) fn constant(&self, field: &str) -> Option<&Value> {
        let (_, container) = self.fields.iter().find(|(name, _)| *name == "container")?;
        container.constant_field(field)
    }

    /// Whether the container can have this field.
    pub(crate) fn may_have(&self, field: &str) -> bool {
        let container = self.fields.iter().find(|(name, _)| *name == "container");
        container.is_some_and(|(_, container)| container.may_have_field(field))
    }

    /// What all of it reads.
    pub(super) fn uses(&self) -> Uses {
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
    pub(super) fn check_constants(&self) -> Result<(), FieldError> {
        for (name, template) in self.fields.iter().filter(|(name, _)| *name == "container") {
            render::check_container_types(&template.constants(), &format!("{}.{name}", self.path))?;
        }
        Ok(())
    }

    pub(super) fn render(
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

/// The lists of helpers, in one order, so that equal wishes for a place end in one too.
pub(super) fn lists(spec: &PolicySpec) -> [(Kind, &[HelperSpec]); 4] {
    Kind::ALL.map(|kind| {
        let list = match kind {
            Kind::Ambassador => &spec.ambassadors,
            Kind::Sidecar => &spec.sidecars,
            Kind::Adapter => &spec.adapters,
            Kind::Init => &spec.init_containers,
        };
        (kind, list.as_slice())
    })
}
