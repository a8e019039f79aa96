//! Requests with files, and downloads.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::{Answer, Client};

pub const BOUNDARY: &str = "----boundary-of-tests";

/// A multipart body, of parts in any order.
#[derive(Clone, Default)]
pub struct Form(Vec<u8>);

impl Form {
    /// A request for one document: `variables` with nulls where the files go, whose paths are those of `files`.
    pub fn request(document: &str, variables: &Value, files: &[(&str, &str, &[u8])]) -> Self {
        let map: serde_json::Map<String, Value> = (0..)
            .zip(files)
            .map(|(n, (path, ..))| (format!("{n}"), json!([format!("variables.{path}")])))
            .collect();
        let operations = json!({ "query": document, "variables": variables });
        let form = Self::default()
            .text("operations", &operations.to_string())
            .text("map", &Value::Object(map).to_string());
        (0..)
            .zip(files)
            .fold(form, |form, (n, (_, name, content))| {
                form.file(&format!("{n}"), name, content)
            })
    }

    pub fn text(mut self, name: &str, value: &str) -> Self {
        self.0.extend(
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            )
            .bytes(),
        );
        self
    }

    pub fn file(mut self, name: &str, filename: &str, content: &[u8]) -> Self {
        let filename = filename.replace('"', "%22");
        self.0.extend(
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{filename}\"\r\n\
                 Content-Type: image/png\r\n\r\n"
            )
            .bytes(),
        );
        self.0.extend(content);
        self.0.extend(b"\r\n");
        self
    }

    /// The whole body.
    pub fn end(mut self) -> Vec<u8> {
        self.0.extend(format!("--{BOUNDARY}--\r\n").bytes());
        self.0
    }
}

pub fn content_type() -> String {
    format!("multipart/form-data; boundary=\"{BOUNDARY}\"")
}

/// What was downloaded.
#[derive(Debug)]
pub struct Download {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Download {
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default()
    }
}

impl Client {
    /// Sends a multipart body.
    pub async fn post_form(&self, body: impl Into<Body>) -> Answer {
        let request = Request::post("/graphql")
            .header(header::CONTENT_TYPE, content_type())
            .header(header::ACCEPT, "application/graphql-response+json")
            .body(body.into())
            .unwrap();
        self.send(request).await
    }

    /// Calls the mutation `name` with a file as its `dataset`.
    pub async fn upload_dataset(
        &self,
        name: &str,
        mut input: Value,
        content: &[u8],
        fields: &str,
    ) -> Answer {
        input["dataset"] = Value::Null;
        let kind: String = name[..1].to_uppercase() + &name[1..];
        let document = format!("mutation($i: {kind}Input!) {{ {name}(input: $i) {{ {fields} }} }}");
        let files = [("i.dataset", "data.csv", content)];
        let form = Form::request(&document, &json!({ "i": input }), &files);
        self.post_form(form.end()).await
    }

    /// Calls the mutation `name` with files, at these paths of the input.
    pub async fn upload(
        &self,
        name: &str,
        mut input: Value,
        files: &[(&str, &[u8])],
        fields: &str,
    ) -> Answer {
        let list = match name {
            "createPost" | "createComment" => "files",
            _ => "addFiles",
        };
        input[list] = files.iter().map(|_| Value::Null).collect();
        let kind: String = name[..1].to_uppercase() + &name[1..];
        let document = format!("mutation($i: {kind}Input!) {{ {name}(input: $i) {{ {fields} }} }}");
        let paths: Vec<_> = (0..files.len()).map(|n| format!("i.{list}.{n}")).collect();
        let files: Vec<_> = paths
            .iter()
            .zip(files)
            .map(|(path, (name, content))| (path.as_str(), *name, *content))
            .collect();
        let form = Form::request(&document, &json!({ "i": input }), &files);
        self.post_form(form.end()).await
    }

    /// Makes a post with files. Returns its id and its attachments.
    pub async fn post_with(&self, board: &str, files: &[(&str, &[u8])]) -> (String, Vec<Value>) {
        let input = json!({ "boardId": board, "title": "With files", "content": "Here they are" });
        let answer = self.upload("createPost", input, files, POST).await;
        answer.data();
        let attachments = answer.at("createPost.post.attachments").as_array().unwrap();
        (answer.text("createPost.post.id"), attachments.clone())
    }

    /// Requests `address` with these headers beside one's own.
    pub async fn download(&self, address: &str, headers: &[(&str, &str)]) -> Download {
        self.download_by("GET", address, headers).await
    }

    pub async fn download_by(
        &self,
        method: &str,
        address: &str,
        headers: &[(&str, &str)],
    ) -> Download {
        let mut request = Request::builder().method(method).uri(address);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.respond(request.body(Body::empty()).unwrap()).await;
        let (parts, body) = response.into_parts();
        Download {
            status: parts.status,
            headers: parts.headers,
            bytes: body.collect().await.unwrap().to_bytes(),
        }
    }
}

/// A post with its attachments.
pub const POST: &str = "post { id updatedAt attachments { id name contentType size width height createdAt url thumbnailUrl } }";
pub const COMMENT: &str = "comment { id updatedAt attachments { id name contentType size width height url thumbnailUrl } }";
