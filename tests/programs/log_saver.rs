//! The policy log-saver: fluent-bit cannot be had here, so its configuration is compared with the documentation.
use crate::kubelet::Container;
use crate::options::Options;
use crate::pods::{admit, container};
use serde_json::Value;
use std::fs;

/// What is wrong with the options of a list of plugins; the section is the one that `section` names.
fn findings(options: &Options, plugins: &Value, section: impl Fn(&Value) -> String) -> Vec<String> {
    let plugins = plugins.as_array().unwrap();
    let each = plugins.iter().flat_map(|plugin| {
        let section = section(plugin);
        let settings = plugin.as_object().unwrap().iter();
        settings.flat_map(move |(name, value)| {
            // A setting that is there more than once is a list.
            let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            let section = section.clone();
            values
                .into_iter()
                .filter_map(move |value| options.finding(&section, name, &value))
                .collect::<Vec<_>>()
        })
    });
    each.collect()
}

#[test]
fn every_setting_is_one_that_the_documentation_of_fluent_bit_has() {
    let options = Options::read("fluent-bit");
    for destination in ["stdout", "loki", "forward", "http"] {
        for (parser, port, tls) in [
            ("none", "0", "false"),
            ("json", "3200", "true"),
            ("logfmt", "0", "true"),
        ] {
            let parameters = [
                ("destination", destination),
                ("parser", parser),
                ("port", port),
                ("tls", tls),
            ];
            let pod = admit("log-saver", &parameters).unwrap();
            assert_eq!(container(&pod, "log-saver")["image"], options.image());
            let helper = Container::prepare(&pod, "log-saver");
            let arguments = helper.arguments();
            let file = arguments[0].strip_prefix("--config=").unwrap();
            let text = fs::read_to_string(file).unwrap();
            let settings: Value = serde_saphyr::from_str(&text).unwrap();
            let sections: Vec<&String> = settings.as_object().unwrap().keys().collect();
            assert_eq!(sections, ["parsers", "pipeline", "service"]);
            let named = |plugin: &Value| plugin["name"].as_str().unwrap().to_owned();
            let pipeline = &settings["pipeline"];
            let mut found = findings(&options, &Value::from(vec![settings["service"].clone()]), |_| {
                "service".into()
            });
            found.extend(findings(&options, &settings["parsers"], |_| "parsers".into()));
            for list in ["inputs", "filters", "outputs"] {
                found.extend(findings(&options, &pipeline[list], named));
            }
            assert_eq!(found, [""; 0], "{parameters:?}\n{text}");
            assert_eq!(pipeline["outputs"][0]["name"], destination);
            // A parser that is used is one that is defined.
            if let Some(parser) = pipeline["inputs"][0]["parser"].as_str() {
                let parsers = settings["parsers"].as_array().unwrap();
                assert!(parsers.iter().any(|defined| defined["name"] == parser), "{parser}");
            }
        }
    }
}
