//! A review of a change of any object, which is left as it was sent: what kind it is says what to read of it.
use outrigger_engine::{Text, json};
use serde_json::value::RawValue;

use super::{Envelope, Object, ReviewError, check_namespace, text};

/// What somebody is about to do to an object.
#[derive(Debug)]
pub struct Change<'a> {
    /// To be repeated in the answer.
    pub uid: Text<'a>,
    /// What is done.
    pub operation: Operation,
    /// API group and kind of the object.
    pub kind: (Text<'a>, Text<'a>),
    /// API group and plural name of the object, and its part that is meant, which is empty for all of it.
    pub resource: (Text<'a>, Text<'a>, Text<'a>),
    /// Empty for what is in none.
    pub namespace: Text<'a>,
    /// Empty when the API server is to make one up.
    pub name: Text<'a>,
    /// As it is to be; JSON.
    pub object: Option<&'a RawValue>,
    /// As it was; JSON.
    pub old_object: Option<&'a RawValue>,
}

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It is new.
    Create,
    /// It is changed.
    Update,
    /// It goes.
    Delete,
    /// Something that leaves it as it is.
    Other,
}

/// Reads `body`, and nothing within the objects.
///
/// # Errors
/// When it is not a review that can be answered.
pub fn read_change(body: &[u8]) -> Result<Change<'_>, ReviewError> {
    let Object(envelope) = json::from_str::<Object<Envelope<'_, &RawValue, &RawValue>>>(text(body)?)?;
    let request = envelope.into_request()?;
    let Object(kind) = request.kind.ok_or(ReviewError::Missing("request.kind"))?;
    let Object(resource) = request.resource.ok_or(ReviewError::Missing("request.resource"))?;
    let operation = match &*request.operation {
        "" => return Err(ReviewError::Missing("request.operation")),
        "CREATE" => Operation::Create,
        "UPDATE" => Operation::Update,
        "DELETE" => Operation::Delete,
        _ => Operation::Other,
    };
    Ok(Change {
        uid: request.uid,
        operation,
        kind: (kind.group, kind.kind),
        resource: (resource.group, resource.resource, request.sub_resource),
        namespace: request.namespace,
        name: request.name,
        object: request.object,
        old_object: request.old_object,
    })
}

impl<'a> Change<'a> {
    /// The object as it is to be.
    ///
    /// # Errors
    /// When there is none.
    pub fn object(&self) -> Result<&'a RawValue, ReviewError> {
        self.object.ok_or(ReviewError::Missing("request.object"))
    }

    /// The object as it was.
    ///
    /// # Errors
    /// When there is none.
    pub fn old_object(&self) -> Result<&'a RawValue, ReviewError> {
        self.old_object.ok_or(ReviewError::Missing("request.oldObject"))
    }

    /// The namespace, of an object that must be in one.
    ///
    /// # Errors
    /// When there is none, or what stands there cannot be one.
    pub fn namespace(&self) -> Result<&str, ReviewError> {
        check_namespace(&self.namespace).map(|()| &*self.namespace)
    }
}
