//! A headless Chromium, driven through its chromedriver.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::port::free_port;
use super::wait::{LONG_BOUND, comes_true};

/// How long a browser may take to start and to do what it is told, many times what it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends with its driver.
pub struct Browser {
    driver: Child,
    agent: ureq::Agent,
    session: String,
}

impl Browser {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// Where there is no browser, with what installs it.
    pub fn start() -> Browser {
        let port = free_port().unwrap();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("no chromedriver ({error}): apt-get install -y chromium chromium-driver")
            });
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
        let mut browser = Browser { driver, agent: config.build().into(), session: String::new() };
        browser.await_start();
        let options =
            json!({ "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
        let wanted = json!({
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let base = format!("http://127.0.0.1:{port}/session");
        let made = browser.post(&base, &json!({ "capabilities": { "alwaysMatch": wanted } }));
        let id =
            made["sessionId"].as_str().unwrap_or_else(|| panic!("no session (is chromium there?): {made}"));
        browser.session = format!("{base}/{id}");
        browser
    }

    /// Waits for the line in which the driver says that it has started.
    fn await_start(&mut self) {
        let mut lines = BufReader::new(self.driver.stdout.take().unwrap()).lines();
        let has_started = lines.any(|line| line.is_ok_and(|line| line.contains("was started successfully")));
        assert!(has_started, "chromedriver did not start");
    }

    fn post(&self, url: &str, body: &Value) -> Value {
        let request = self.agent.post(url).header("content-type", "application/json");
        let mut answer = request.send(body.to_string()).unwrap_or_else(|error| panic!("{url}: {error}"));
        let text = answer.body_mut().read_to_string().unwrap();
        let told: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        told["value"].clone()
    }

    fn tell(&self, command: &str, body: &Value) -> Value {
        let told = self.post(&format!("{}/{command}", self.session), body);
        assert!(told.get("error").is_none(), "{command}: {told}");
        told
    }

    /// Goes to an address.
    pub fn open(&self, url: &str) {
        self.tell("url", &json!({ "url": url }));
    }

    /// What the body of a function in JavaScript returns.
    pub fn eval(&self, body: &str) -> Value {
        self.tell("execute/sync", &json!({ "script": body, "args": [] }))
    }

    /// Waits until an expression is true.
    ///
    /// # Panics
    ///
    /// When it does not become so, with what the page shows.
    #[track_caller]
    pub fn eventually(&self, what: &str, expression: &str) {
        let body = format!("return Boolean({expression});");
        let came = comes_true(LONG_BOUND, || self.eval(&body) == true);
        assert!(came, "{what}: {expression}\n{}", self.eval("return document.body.innerText;"));
    }

    /// A command of the DevTools protocol.
    pub fn devtools(&self, command: &str, params: &Value) -> Value {
        self.tell("goog/cdp/execute", &json!({ "cmd": command, "params": params }))
    }

    /// Presses a key, as WebDriver names it.
    pub fn press(&self, key: &str) {
        let actions = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        self.tell("actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] }));
    }

    /// The lines of a log since they were last fetched.
    pub fn log(&self, kind: &str) -> Vec<Value> {
        self.tell("se/log", &json!({ "type": kind })).as_array().cloned().unwrap_or_default()
    }

    /// The addresses that were asked for since they were last fetched.
    pub fn requested(&self) -> Vec<String> {
        let lines = self.log("performance").into_iter();
        let messages = lines.filter_map(|line| serde_json::from_str::<Value>(line["message"].as_str()?).ok());
        let events = messages.map(|message| message["message"].clone());
        let sent = events.filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.filter_map(|event| Some(event["params"]["request"]["url"].as_str()?.to_owned())).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // Its end ends the browser, too.
            let _ = self.agent.delete(&self.session).call();
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
