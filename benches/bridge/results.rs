//! Measurements as tables, and as lines of JSON.

use serde_json::{Value, json};

/// All measurements of a run.
#[derive(Default)]
pub struct Results {
    rows: Vec<(String, Vec<(String, Value)>)>,
}

impl Results {
    /// Adds a measurement of the table `bench`, and shows it at once: a whole run
    /// takes minutes.
    pub fn add(&mut self, bench: &str, columns: &[(&str, Value)]) {
        let columns: Vec<(String, Value)> = columns
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        println!("{}", line(bench, &columns));
        self.rows.push((bench.to_owned(), columns));
    }

    /// Prints the tables, then everything as JSON.
    pub fn print(&self) {
        let mut benches: Vec<&str> = self.rows.iter().map(|(bench, _)| bench.as_str()).collect();
        benches.dedup();
        for bench in benches {
            println!("\n{bench}\n");
            let rows = self.rows.iter().filter(|(name, _)| name == bench);
            for (number, (_, columns)) in rows.enumerate() {
                if number == 0 {
                    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
                    println!("| {} |", names.join(" | "));
                    println!("|{}", " --- |".repeat(columns.len()));
                }
                let values: Vec<String> = columns.iter().map(|(_, value)| shown(value)).collect();
                println!("| {} |", values.join(" | "));
            }
        }
        println!();
        for (bench, columns) in &self.rows {
            println!("{}", line(bench, columns));
        }
    }
}

/// A number with few digits.
pub fn round(number: f64) -> Value {
    let factor = if number.abs() < 10.0 { 1000.0 } else { 10.0 };
    json!((number * factor).round() / factor)
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".to_owned(),
        other => other.to_string(),
    }
}

fn line(bench: &str, columns: &[(String, Value)]) -> String {
    let mut object = serde_json::Map::new();
    object.insert("bench".to_owned(), json!(bench));
    object.extend(columns.iter().cloned());
    Value::Object(object).to_string()
}
