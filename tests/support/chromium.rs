//! A real Chromium without a window, driven through its DevTools protocol.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use super::Scratch;
use super::paths;

/// A browser with one page. It ends when this is dropped.
pub struct Chromium {
    child: Child,
    commands: File,
    answers: BufReader<File>,
    session: String,
    number: u64,
    /// The messages of the console and of the browser's own log.
    pub complaints: Vec<Value>,
    _home: Scratch,
}

impl Chromium {
    /// Opens a file on a screen of this size; `None`, with a note, if Chromium is not
    /// installed.
    pub fn open(file: &Path, width: u32, height: u32, is_dark: bool) -> Option<Self> {
        let program = paths::installed("chromium")?;
        let home = Scratch::new();
        let (input, output) = (home.path().join("in"), home.path().join("out"));
        for pipe in [&input, &output] {
            rustix::fs::mknodat(
                rustix::fs::CWD,
                pipe,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
                0,
            )
            .expect("a named pipe");
        }
        let mut command = paths::clean_command("sh", home.path());
        command
            .args(["-c", "exec \"$@\" 3<in 4>out", "sh"])
            .arg(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
            ])
            .args(["--disable-dev-shm-usage", "--remote-debugging-pipe"])
            .arg(format!(
                "--user-data-dir={}",
                home.path().join("profile").display()
            ))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().expect("it starts");
        let commands = File::options().write(true).open(&input).expect("its end");
        let answers = BufReader::new(File::open(&output).expect("its end"));
        let mut browser = Chromium {
            child,
            commands,
            answers,
            session: String::new(),
            number: 0,
            complaints: Vec::new(),
            _home: home,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", target);
        browser.session = attached["sessionId"]
            .as_str()
            .expect("a session")
            .to_owned();
        for domain in ["Runtime.enable", "Log.enable", "Page.enable"] {
            browser.call(domain, json!({}));
        }
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        browser.call("Emulation.setEmulatedMedia", json!({"features": features}));
        let screen = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        browser.call("Emulation.setDeviceMetricsOverride", screen);
        browser.call(
            "Page.navigate",
            json!({"url": format!("file://{}", file.display())}),
        );
        while browser.evaluate("document.readyState + location.protocol") != "completefile:" {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Some(browser)
    }

    /// The value of an expression in the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let expression = json!({"expression": expression, "returnByValue": true});
        let result = self.call("Runtime.evaluate", expression);
        assert_eq!(result.get("exceptionDetails"), None, "{result}");
        result["result"]["value"].clone()
    }

    /// A screenshot of the page, a PNG in base 64.
    pub fn screenshot(&mut self) -> String {
        let picture = self.call("Page.captureScreenshot", json!({"format": "png"}));
        picture["data"].as_str().expect("a picture").to_owned()
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut command = json!({"id": self.number, "method": method, "params": parameters});
        if !self.session.is_empty() {
            command["sessionId"] = json!(self.session);
        }
        let text = format!("{command}\0");
        self.commands.write_all(text.as_bytes()).expect("it reads");
        loop {
            let mut answer = Vec::new();
            let length = self.answers.read_until(0, &mut answer).expect("it answers");
            assert!(length > 0, "Chromium ended");
            answer.pop();
            let answer: Value = serde_json::from_slice(&answer).expect("JSON");
            if answer["id"] == self.number {
                assert_eq!(answer.get("error"), None, "{method}: {answer}");
                return answer["result"].clone();
            }
            let told = [
                "Runtime.consoleAPICalled",
                "Runtime.exceptionThrown",
                "Log.entryAdded",
            ];
            if told.iter().any(|method| answer["method"] == *method) {
                self.complaints.push(answer["params"].clone());
            }
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
