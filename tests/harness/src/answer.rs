//! An HTTP answer as it came, with the warnings that kubectl would print.
use axum::http::{Request, header};
use kube::Client;
use kube::client::Body;
use serde_json::Value;

/// An answer of the API server, or of a webhook.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Texts of the `Warning` headers.
    pub warnings: Vec<String>,
    /// The body: an object or a `Status`; a string where it is not JSON.
    pub body: Value,
}

impl Answer {
    /// The object that was asked for.
    ///
    /// # Panics
    /// When the request was refused, with the reason.
    #[track_caller]
    pub fn object(self) -> Value {
        assert!(
            self.status < 300,
            "expected the object, got {}: {}",
            self.status,
            self.message()
        );
        self.body
    }

    /// The message of a refusal; empty for an object.
    pub fn message(&self) -> &str {
        self.body["message"].as_str().or(self.body.as_str()).unwrap_or_default()
    }

    /// Whether it is a Pod that has just been created, with a container of this name.
    pub fn created_with(&self, container: &str) -> bool {
        let lists = ["initContainers", "containers"].map(|list| self.body["spec"][list].as_array());
        let mut containers = lists.into_iter().flatten().flatten();
        self.status == 201 && containers.any(|one| one["name"] == container)
    }

    /// Whether it is a Pod that has just been created, whose first init container has this name.
    pub fn created_with_first(&self, container: &str) -> bool {
        self.status == 201 && self.body["spec"]["initContainers"][0]["name"] == container
    }

    pub(crate) async fn to(client: &Client, method: &str, path: &str, body: Option<&Value>) -> kube::Result<Answer> {
        Answer::with_media(client, "application/json", method, path, body).await
    }

    pub(crate) async fn with_media(
        client: &Client,
        media: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> kube::Result<Answer> {
        let bytes = body.map(Value::to_string).unwrap_or_default().into_bytes();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, media);
        let request = request.body(Body::from(bytes)).map_err(kube::Error::HttpError)?;
        let response = client.send(request).await?;
        let status = response.status().as_u16();
        let headers = response.headers().get_all(header::WARNING).iter();
        let warnings = headers
            .filter_map(|value| warning_text(std::str::from_utf8(value.as_bytes()).ok()?))
            .collect();
        let bytes = response.into_body().collect_bytes().await?;
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| text());
        Ok(Answer { status, warnings, body })
    }
}

/// The text in a header like `299 - "the text"`.
fn warning_text(header: &str) -> Option<String> {
    let quoted = header.splitn(3, ' ').nth(2)?.strip_prefix('"')?.strip_suffix('"')?;
    Some(quoted.replace("\\\"", "\"").replace("\\\\", "\\"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_warning_is_taken_out_of_its_quotes() {
        assert_eq!(
            super::warning_text(r#"299 - "say \"no\"""#).as_deref(),
            Some(r#"say "no""#)
        );
    }
}
