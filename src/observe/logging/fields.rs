//! The facts in a message, as fields for programs.

use log::Record;
use log::kv::{Error, Key, Source, Value, VisitSource};
use serde_json::Map;

/// The fields of a record for its JSON.
#[derive(Clone, Debug, Default)]
pub struct RecordFields(pub Map<String, serde_json::Value>);

impl RecordFields {
    /// The fields of this record.
    pub fn of(record: &Record<'_>) -> Self {
        let mut fields = RecordFields::default();
        // This visitor never fails.
        let _ = record.key_values().visit(&mut fields);
        fields
    }
}

impl<'kvs> VisitSource<'kvs> for RecordFields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let field = match value.to_u64() {
            Some(number) => number.into(),
            None => value.to_string().into(),
        };
        self.0.insert(key.to_string(), field);
        Ok(())
    }
}

impl Source for RecordFields {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), Error> {
        for (name, field) in &self.0 {
            let value = match field.as_u64() {
                Some(number) => Value::from(number),
                None => Value::from(field.as_str().unwrap_or_default()),
            };
            visitor.visit_pair(Key::from_str(name), value)?;
        }
        Ok(())
    }
}
