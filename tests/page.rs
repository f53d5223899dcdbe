//! The page at `/` in a browser. `bash .ci/run page` runs these, and installs Chromium where it is missing.
#![cfg(feature = "http")]

mod support;

use serde_json::json;
use support::browser::Browser;
use support::wait::{BOUND, eventually};
use support::web::get;
use tierpool::http::{self, Server, ServerOptions};
use tierpool::{MemoryManager, Tier, TieredPool};

/// Two tiers of 4 and 1, whose server has been seen.
fn served() -> (TieredPool<MemoryManager>, Server) {
    let builder = TieredPool::builder().total_connections(5).reserved(1);
    let pool = builder.automation(|tier| tier.base_size(4).max_overflow(0)).build(|_| MemoryManager).unwrap();
    drop(pool.get(Tier::Automation).unwrap());
    let server = http::serve(&pool, "127.0.0.1:0").unwrap();
    (pool, server)
}

/// The value of a gauge of the automation tier.
fn gauge(name: &str) -> String {
    format!("document.querySelector('[aria-labelledby=tier-automation] [data-gauge=\"{name}\"]').textContent")
}

/// Nothing stands outside of the window or beyond its own box, but for what is hidden from the eye on purpose.
const NOTHING_IS_CUT: &str = "
    const wide = document.documentElement.clientWidth;
    const seen = [...document.body.querySelectorAll('*')].filter((e) => !e.closest('thead, .skip, [hidden], noscript'));
    const out = seen.filter((e) => {
        const box = e.getBoundingClientRect();
        return box.right > wide + 0.5 || box.left < -0.5 || (e.clientWidth && e.scrollWidth > e.clientWidth + 1);
    });
    return [window.innerWidth, document.documentElement.scrollWidth - wide, out.map((e) => e.outerHTML.slice(0, 80))];";

#[test]
#[ignore = "needs Chromium: bash .ci/run page"]
fn gauges_move_under_load_and_a_holders_row_comes_and_goes() {
    let (pool, server) = served();
    let (browser, base) = (Browser::start(), format!("http://{}/", server.addr()));
    browser.open(&base);
    browser.eventually("the page is drawn", &format!("{} === '0'", gauge("In use")));
    browser.eventually(
        "the verdict is there",
        "document.getElementById('verdict').textContent.startsWith('Healthy')",
    );

    let line = line!() + 1;
    let mut out: Vec<_> = (0..4).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    out[0].tag("<img src=x onerror=alert(1)> import");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| drop(pool.get(Tier::Automation).unwrap()));
        eventually(BOUND, "it waits", || pool.automation().gauges().waiting == 1);
        browser.eventually("in use", &format!("{} === '4'", gauge("In use")));
        browser.eventually("waiting", &format!("{} === '1'", gauge("Waiting")));
        let row = format!(
            "[...document.querySelectorAll('#held tr')].some((row) => row.textContent.includes('onerror=alert(1)') \
             && row.textContent.includes('page.rs:{line}'))"
        );
        browser.eventually("the holder has a row, with tag and line", &row);
        browser.eventually("the waiter has one", "document.querySelectorAll('#queued tr').length === 1");
        browser.eventually(
            "the curve has risen",
            "document.querySelector('svg').ariaLabel.includes('at the most 4')",
        );
        assert_eq!(browser.eval("return document.querySelectorAll('table img').length;"), 0, "a tag is text");
        out.clear();
        waiting.join().unwrap();
    });
    browser.eventually("the rows are gone", "!document.querySelector('#held tr, #queued tr')");
    browser.eventually("none is in use", &format!("{} === '0'", gauge("In use")));

    let errors: Vec<_> = browser.log("browser").into_iter().filter(|line| line["level"] != "INFO").collect();
    assert!(errors.is_empty(), "{errors:?}");
    let requested = browser.requested();
    assert!(requested.iter().any(|url| url.ends_with("/page.js")), "{requested:?}");
    let outside: Vec<_> =
        requested.iter().filter(|url| !url.starts_with(&base) && url.as_str() != "data:,").collect();
    assert!(outside.is_empty(), "{outside:?}");
}

#[test]
#[ignore = "needs Chromium: bash .ci/run page"]
fn nothing_is_cut_from_360_px_on_and_both_grounds_can_be_read() {
    let (pool, server) = served();
    let browser = Browser::start();
    let mut out: Vec<_> = (0..4).map(|_| pool.get(Tier::Automation).unwrap()).collect();
    out[0].tag("a-tag-without-a-single-space-that-goes-on-for-longer-than-any-narrow-window-is-wide");
    for (width, ground) in [(360, "light"), (360, "dark"), (800, "light"), (2560, "dark")] {
        let size = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        browser.devtools("Emulation.setDeviceMetricsOverride", &size);
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": ground }] });
        browser.devtools("Emulation.setEmulatedMedia", &media);
        browser.open(&format!("http://{}/", server.addr()));
        browser.eventually("the page is drawn", "document.querySelectorAll('#held tr').length === 4");
        let cut = browser.eval(NOTHING_IS_CUT);
        assert_eq!(cut, json!([width, 0, []]));
        for what in ["#verdict", "dt", "dd", "caption", ".key .waits", "button"] {
            let ratio = browser.eval(&contrast(what)).as_f64().unwrap();
            assert!(ratio >= 4.5, "{what} on {ground}: {ratio}");
        }
    }
}

/// The ratio of the lightness of a text and of what is behind it, as WCAG reckons it.
fn contrast(selector: &str) -> String {
    format!(
        "const channels = (text) => text.match(/[\\d.]+/g).map(Number);
        const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
            .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
        const text = document.querySelector('{selector}');
        let behind = text;
        const isClear = (e) => channels(getComputedStyle(e).backgroundColor)[3] === 0;
        while (isClear(behind)) behind = behind.parentElement;
        const both = [getComputedStyle(text).color, getComputedStyle(behind).backgroundColor];
        const [low, high] = both.map(channels).map(light).sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);"
    )
}

#[test]
#[ignore = "needs Chromium: bash .ci/run page"]
fn it_is_used_with_the_keyboard_and_told_to_a_screen_reader() {
    const TAB: &str = "\u{e004}";
    const ENTER: &str = "\u{e007}";
    let (_pool, server) = served();
    let browser = Browser::start();
    browser.open(&format!("http://{}/", server.addr()));
    browser.eventually("the page is drawn", "document.querySelector('[data-gauge]')");
    let focused = || browser.eval("return document.activeElement.id || document.activeElement.className;");
    browser.press(TAB);
    assert_eq!(focused(), "skip");
    browser.press(TAB);
    assert_eq!(focused(), "pause");
    browser.press(ENTER);
    browser.eventually("it is paused", "document.getElementById('pause').ariaPressed === 'true'");
    let tree = browser.devtools("Accessibility.getFullAXTree", &json!({}));
    let names: Vec<String> = tree["nodes"].as_array().unwrap().iter().map(role_and_name).collect();
    for expected in ["heading Connections", "status ", "button Pause", "heading Automation", "table "] {
        assert!(names.iter().any(|name| name.starts_with(expected)), "{expected}: {names:?}");
    }
    assert!(names.iter().any(|name| name.starts_with("image In use at the most")), "{names:?}");
}

fn role_and_name(node: &serde_json::Value) -> String {
    let part = |name: &str| node[name]["value"].as_str().unwrap_or_default().to_owned();
    format!("{} {}", part("role"), part("name"))
}

#[test]
#[ignore = "needs Chromium: bash .ci/run page"]
fn where_a_token_is_wanted_the_page_asks_for_it_and_keeps_it_to_itself() {
    const TOKEN: &str = "0123456789abcdef";
    let pool = TieredPool::builder().build(|_| MemoryManager).unwrap();
    let server = ServerOptions::new().token(TOKEN).serve(&pool, "127.0.0.1:0").unwrap();
    let browser = Browser::start();
    browser.open(&format!("http://{}/", server.addr()));
    browser.eventually("it asks", "document.activeElement.id === 'token'");
    let give = |token: &str| {
        browser.eval(&format!(
            "document.getElementById('token').value = '{token}'; document.querySelector('form button').click();"
        ));
    };
    give("fedcba9876543210");
    browser.eventually("it is refused", "document.getElementById('refused').textContent !== ''");
    give(TOKEN);
    browser.eventually(
        "it shows",
        &format!("{} === '0' && document.getElementById('ask').hidden", gauge("In use")),
    );
    let kept =
        browser.eval("return JSON.stringify([localStorage.length, sessionStorage.length, document.cookie]);");
    assert_eq!(kept, "[0,0,\"\"]");
}

#[test]
fn the_page_has_a_strict_policy_and_no_handler_or_script_of_its_own_in_the_markup() {
    let (_pool, server) = served();
    for (path, media_type) in [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")]
    {
        let answer = get(server.addr(), path);
        assert_eq!(answer.status, 200);
        assert!(answer.header("content-type").unwrap().starts_with(media_type));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        for outside in ["http://", "https://", "//cdn", "@import", "innerHTML", "eval("] {
            let body = answer.body.replace("http://www.w3.org/2000/svg", "");
            assert!(!body.contains(outside), "{path}: {outside}");
        }
    }
    let page = get(server.addr(), "/").body;
    let is_handler = |word: &str| word.starts_with("on") && word.contains('=');
    assert!(!page.split_whitespace().any(is_handler), "{page}");
    assert!(!page.contains("<script>") && !page.contains(" style="), "{page}");
}
