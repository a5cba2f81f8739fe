//! Writes the `AdmissionReview` that answers one, straight to bytes.
//!
//! What the API server would cut or drop silently (warnings, audit annotations) is cut here, visibly. It decides nothing.
use base64_simd::STANDARD;
use outrigger_engine::{Admission, Refusal, Verdict};
use std::{borrow::Cow, collections::HashSet};

/// Runes of one warning once the total is too long, which is also where the API server cuts then.
const WARNING_RUNES: usize = 256;
/// Runes of all warnings together. Above 4096 the API server drops what comes after, and it counts both of its calls.
const ALL_WARNINGS_RUNES: usize = 2048;
/// Room kept for the line that says how many warnings were left out.
const LEFT_OUT_RUNES: usize = 96;
/// Runes of a refusal's message, which people read in a terminal and which may quote what a Pod holds.
const REFUSAL_RUNES: usize = 2048;

/// The answer that lets an object pass untouched.
pub fn allowed(uid: &str) -> Vec<u8> {
    let mut answer = open(uid, 0);
    answer.extend_from_slice(br#","allowed":true}}"#);
    answer
}

/// The answer that says what became of a Pod.
pub fn write(uid: &str, admission: &Admission) -> Vec<u8> {
    let patch_length = match &admission.verdict {
        Verdict::Patched(patch) => patch.len() / 3 * 4 + 4,
        Verdict::Unchanged | Verdict::Refused(_) => 0,
    };
    let mut answer = open(uid, patch_length);
    match &admission.verdict {
        Verdict::Unchanged => answer.extend_from_slice(br#","allowed":true"#),
        Verdict::Patched(patch) => write_patch(&mut answer, patch),
        Verdict::Refused(refusal) => write_refusal(&mut answer, refusal),
    }
    write_warnings(&mut answer, &admission.warnings);
    write_audit_annotations(&mut answer, &admission.audit_annotations);
    answer.extend_from_slice(b"}}");
    answer
}

fn open(uid: &str, more: usize) -> Vec<u8> {
    let mut answer = Vec::with_capacity(256 + more);
    answer.extend_from_slice(br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"#);
    write_string(&mut answer, uid);
    answer
}

fn write_patch(answer: &mut Vec<u8>, patch: &[u8]) {
    answer.extend_from_slice(br#","allowed":true,"patchType":"JSONPatch","patch":""#);
    STANDARD.encode_append(patch, answer);
    answer.push(b'"');
}

fn write_refusal(answer: &mut Vec<u8>, refusal: &Refusal) {
    let reason: &[u8] = match refusal.code {
        403 => br#","reason":"Forbidden""#,
        422 => br#","reason":"Invalid""#,
        _ => b"",
    };
    answer.extend_from_slice(br#","allowed":false,"status":{"code":"#);
    answer.extend_from_slice(refusal.code.to_string().as_bytes());
    answer.extend_from_slice(br#","message":"#);
    write_string(answer, &cut(&refusal.message, REFUSAL_RUNES));
    answer.extend_from_slice(reason);
    answer.push(b'}');
}

fn write_warnings(answer: &mut Vec<u8>, warnings: &[String]) {
    if warnings.is_empty() {
        return;
    }
    answer.extend_from_slice(br#","warnings":["#);
    for (index, warning) in presentable(warnings).iter().enumerate() {
        if index > 0 {
            answer.push(b',');
        }
        write_string(answer, warning);
    }
    answer.push(b']');
}

/// The API server prefixes each key with the webhook's name and a slash, and drops what then is no qualified name.
fn write_audit_annotations(answer: &mut Vec<u8>, annotations: &[(&'static str, String)]) {
    let mut separator: &[u8] = br#","auditAnnotations":{"#;
    for (key, value) in annotations {
        if !is_qualified_name_part(key) {
            tracing::warn!(key, "left out an audit annotation: its key is not a qualified name");
            continue;
        }
        answer.extend_from_slice(separator);
        write_string(answer, key);
        answer.push(b':');
        write_string(answer, value);
        separator = b",";
    }
    if separator == b"," {
        answer.push(b'}');
    }
}

fn is_qualified_name_part(key: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = key.as_bytes();
    bytes.len() <= 63 && edge(bytes.first()) && edge(bytes.last()) && bytes.iter().copied().all(inner)
}

/// Warnings as a header can carry them: no control characters, no more and no longer than the API server lets through.
fn presentable(warnings: &[String]) -> Vec<String> {
    let (whole, left_out) = first_ones(warnings, ALL_WARNINGS_RUNES);
    if left_out == 0 {
        return whole;
    }
    let (mut kept, mut left_out) = first_ones(warnings, WARNING_RUNES);
    if left_out == 0 {
        return kept;
    }
    let mut runes: usize = kept.iter().map(|line| line.chars().count()).sum();
    while runes > ALL_WARNINGS_RUNES - LEFT_OUT_RUNES {
        runes -= kept.pop().map_or(runes, |last| last.chars().count());
        left_out += 1;
    }
    kept.push(format!("{left_out} more warnings were left out"));
    kept
}

/// The first warnings, each once, cut to `longest` runes, up to [`ALL_WARNINGS_RUNES`]; and how many come after these.
fn first_ones(warnings: &[String], longest: usize) -> (Vec<String>, usize) {
    let (mut kept, mut seen, mut runes) = (Vec::new(), HashSet::new(), 0);
    for (index, warning) in warnings.iter().enumerate() {
        let line = one_line(warning, longest);
        if line.is_empty() || !seen.insert(line.clone()) {
            continue;
        }
        runes += line.chars().count();
        // Whatever follows is left out, so it is only counted.
        if runes > ALL_WARNINGS_RUNES {
            return (kept, warnings.len() - index);
        }
        kept.push(line);
    }
    (kept, 0)
}

fn one_line(warning: &str, longest: usize) -> String {
    let line: String = warning
        .split(|c: char| c.is_control() || c == ' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    cut(&line, longest).into_owned()
}

/// At most `runes` of `text`; what is cut shows.
fn cut(text: &str, runes: usize) -> Cow<'_, str> {
    match text.char_indices().nth(runes) {
        None => text.into(),
        Some(_) => text.chars().take(runes - 1).chain(['…']).collect(),
    }
}

fn write_string(answer: &mut Vec<u8>, text: &str) {
    // Writing a string to a Vec cannot fail.
    let _ = serde_json::to_writer(answer, text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, prelude::BASE64_STANDARD};
    use serde_json::{Value, json};

    fn admission(verdict: Verdict) -> Admission {
        Admission {
            verdict,
            warnings: vec![],
            audit_annotations: vec![],
            decisions: vec![],
            troubles: vec![],
        }
    }

    fn response(admission: &Admission) -> Value {
        let answer: Value = serde_json::from_slice(&write("the \"uid\"", admission)).unwrap();
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(answer["kind"], "AdmissionReview");
        assert_eq!(answer["response"]["uid"], "the \"uid\"");
        answer["response"].clone()
    }

    #[test]
    fn row_1_a_patch_is_base64_text_beside_its_type() {
        for length in 0..70 {
            let patch = vec![b'x'; length];
            let response = response(&admission(Verdict::Patched(patch.clone())));
            assert_eq!(response["allowed"], true);
            assert_eq!(response["patchType"], "JSONPatch");
            assert_eq!(
                BASE64_STANDARD.decode(response["patch"].as_str().unwrap()).unwrap(),
                patch
            );
        }
    }

    #[test]
    fn row_2_an_unchanged_pod_has_neither_patch_nor_type() {
        assert_eq!(
            response(&admission(Verdict::Unchanged)),
            json!({"uid": "the \"uid\"", "allowed": true})
        );
        let answer: Value = serde_json::from_slice(&allowed("u")).unwrap();
        assert_eq!(answer["response"], json!({"uid": "u", "allowed": true}));
    }

    #[test]
    fn a_refusal_has_code_message_and_reason() {
        for (code, reason) in [(403, "Forbidden"), (422, "Invalid")] {
            let refusal = Refusal {
                code,
                message: "line\nand \"quote\"".into(),
            };
            let response = response(&admission(Verdict::Refused(refusal)));
            assert_eq!(response["allowed"], false);
            assert_eq!(
                response["status"],
                json!({"code": code, "message": "line\nand \"quote\"", "reason": reason})
            );
            assert!(response.get("patch").is_none());
        }
    }

    #[test]
    fn row_12_many_long_multi_line_warnings_become_what_a_header_can_carry() {
        let mut given = admission(Verdict::Unchanged);
        given.warnings = (0..100)
            .map(|n| format!("ü{n}\r\n\u{85}\u{7f}\t{}", "ä ".repeat(300)))
            .collect();
        let response = response(&given);
        let warnings: Vec<&str> = response["warnings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|w| w.as_str().unwrap())
            .collect();
        assert!(
            warnings
                .iter()
                .all(|w| w.chars().count() <= WARNING_RUNES && !w.chars().any(char::is_control))
        );
        assert!(warnings.iter().map(|w| w.chars().count()).sum::<usize>() <= ALL_WARNINGS_RUNES);
        let kept = warnings.len() - 1;
        assert!(kept >= 7, "only {kept} kept");
        assert_eq!(warnings[kept], format!("{} more warnings were left out", 100 - kept));
        assert!(warnings[0].starts_with("ü0 ä ä") && warnings[0].ends_with('…'));
    }

    #[test]
    fn few_warnings_are_kept_as_they_are_and_repeated_ones_once() {
        let mut given = admission(Verdict::Unchanged);
        given.warnings = vec!["a".into(), "b: \"c\"".into(), "a".into(), " \n".into()];
        assert_eq!(response(&given)["warnings"], json!(["a", "b: \"c\""]));
    }

    #[test]
    fn a_long_warning_is_whole_where_there_is_room_for_it() {
        let mut given = admission(Verdict::Unchanged);
        given.warnings = vec!["a".repeat(1000), "b".repeat(1048)];
        assert_eq!(response(&given)["warnings"], json!(given.warnings));
        given.warnings.push("c".into());
        let cut = |c: &str| c.repeat(255) + "…";
        assert_eq!(response(&given)["warnings"], json!([cut("a"), cut("b"), "c"]));
    }

    #[test]
    fn a_hundred_thousand_warnings_take_no_longer_than_a_few() {
        let mut given = admission(Verdict::Unchanged);
        given.warnings = (0..100_000).map(|n| format!("warning {n}")).collect();
        let started = std::time::Instant::now();
        let response = response(&given);
        // Comparing each with each takes minutes.
        assert!(started.elapsed() < std::time::Duration::from_secs(5));
        let warnings = response["warnings"].as_array().unwrap();
        let left_out = 100_000 - (warnings.len() - 1);
        assert_eq!(
            warnings.last().unwrap(),
            &json!(format!("{left_out} more warnings were left out"))
        );
    }

    #[test]
    fn a_refusal_of_any_length_is_cut_to_what_can_be_read() {
        for (length, cut) in [(2048, false), (2049, true), (1 << 20, true)] {
            let refusal = Refusal {
                code: 403,
                message: "ü".repeat(length),
            };
            let response = response(&admission(Verdict::Refused(refusal)));
            let message = response["status"]["message"].as_str().unwrap();
            assert_eq!((message.chars().count(), message.ends_with('…')), (2048, cut));
        }
    }

    #[test]
    fn row_13_audit_annotations_have_keys_that_the_api_server_keeps() {
        let mut given = admission(Verdict::Unchanged);
        given.audit_annotations = vec![
            ("injected", "a,b".into()),
            ("not/ok", "x".into()),
            ("-no", "x".into()),
            ("would-inject", "c".into()),
        ];
        assert_eq!(
            response(&given)["auditAnnotations"],
            json!({"injected": "a,b", "would-inject": "c"})
        );
        given.audit_annotations = vec![("a b", "x".into())];
        assert!(response(&given).get("auditAnnotations").is_none());
    }
}
