//! What is told at start: settings that are allowed together and hardly meant so.

use super::settings::PgSettings;
use super::table::rows::Key;
use crate::config::policy::WaitMode;

impl PgSettings {
    /// Returns what hardly anybody means who sets it, a line each. A pool is built all the same, and its log has them
    /// as warnings.
    ///
    /// There is one so far: the limit of opening a connection is above that of a checkout.
    ///
    /// ```
    /// # use tierpool::config::{Overrides, PgSettings};
    /// let mut overrides = Overrides::default();
    /// overrides.url = Some("postgresql://db.example/news?pool_timeout=5&connect_timeout=15".into());
    /// let settings = PgSettings::load(&overrides, |_| None).unwrap();
    /// let told = "URL parameter connect_timeout is 15 s, above URL parameter pool_timeout, 5 s";
    /// assert!(settings.warnings()[0].starts_with(told));
    /// ```
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = vec![];
        let (connect, checkout) = (self.connect_timeout, self.automation.connection_timeout);
        let is_above = connect.is_zero() || connect > checkout;
        if is_above && self.automation.wait_mode == WaitMode::Timed {
            let [opening, waiting] = [Key::ConnectTimeout, Key::ConnectionTimeout]
                .map(|key| (self.spelled(key), self.value_text(key)));
            warnings.push(format!(
                "{} is {}, above {}, {}: callers give up before a slow opening does; what it opens is kept",
                opening.0, opening.1, waiting.0, waiting.1
            ));
        }
        warnings
    }
}
