//! The XML that EC2 answers with: elements with text or children, no attributes but the namespace.

use crate::api_error::ApiError;
use quick_xml::escape::escape;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The namespace of every answer.
const NAMESPACE: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";

/// An element.
#[derive(Debug, Clone)]
pub struct Element {
    name: &'static str,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Text(String),
    Children(Vec<Element>),
}

/// An element with text.
pub fn text(name: &'static str, value: impl ToString) -> Element {
    Element { name, content: Content::Text(value.to_string()) }
}

/// An element with children.
pub fn node(name: &'static str, children: Vec<Element>) -> Element {
    Element { name, content: Content::Children(children) }
}

/// A list as EC2 writes it: one `item` per entry.
pub fn set(name: &'static str, items: impl IntoIterator<Item = Vec<Element>>) -> Element {
    node(name, items.into_iter().map(|children| node("item", children)).collect())
}

/// A resource's tags.
pub fn tag_set(tags: &BTreeMap<String, String>) -> Element {
    set("tagSet", tags.iter().map(|(key, value)| vec![text("key", key), text("value", value)]))
}

/// The answer of an operation that has nothing to say.
pub fn done() -> Vec<Element> {
    vec![text("return", true)]
}

/// A whole answer.
#[must_use]
pub fn response(action: &str, request_id: &str, children: &[Element]) -> String {
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{action}Response xmlns=\"{NAMESPACE}\">\
         <requestId>{request_id}</requestId>"
    );
    children.iter().for_each(|child| child.write(&mut out));
    let _ = write!(out, "</{action}Response>");
    out
}

/// An error as an answer.
#[must_use]
pub fn error(error: &ApiError, request_id: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{}</Code><Message>{}\
         </Message></Error></Errors><RequestID>{request_id}</RequestID></Response>",
        escape(error.code),
        escape(error.message.as_str()),
    )
}

impl Element {
    fn write(&self, out: &mut String) {
        let name = self.name;
        let _ = write!(out, "<{name}>");
        match &self.content {
            Content::Text(value) => out.push_str(&escape(value.as_str())),
            Content::Children(children) => children.iter().for_each(|child| child.write(out)),
        }
        let _ = write!(out, "</{name}>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        let tags = BTreeMap::from([("a<b".to_owned(), "\"x\" & y".to_owned())]);
        let answer = response("DescribeVolumes", "r-1", &[tag_set(&tags)]);
        assert!(
            answer.contains("<item><key>a&lt;b</key><value>&quot;x&quot; &amp; y</value></item>"),
            "{answer}"
        );
        assert!(answer.contains("<DescribeVolumesResponse xmlns="), "{answer}");
        assert!(answer.ends_with("</DescribeVolumesResponse>"));
    }
}
