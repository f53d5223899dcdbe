//! The judgement of both tiers: the verdict, the reason for it, and what it leaves to be had.

use std::time::Duration;

use super::verdict::Verdict;
use crate::stats::{BreakerState, Contact, LendingState, Stats};
use crate::tiers::Tier;

/// A server seen within this counts as being there. The keepalive of idle connections, by default, comes in less.
const SEEN_WITHIN: Duration = Duration::from_secs(60);

/// What is judged: both tiers at one moment.
#[derive(Clone, Copy)]
pub(super) struct Tiers<'a> {
    pub automation: &'a Stats,
    pub adhoc: &'a Stats,
    pub reserved: u32,
    /// Each tier leads to a server, or a role, of its own: what one of them meets says nothing of the other.
    pub adhoc_is_apart: bool,
}

/// The verdict and what it rests on.
pub(super) struct Judgement {
    pub verdict: Verdict,
    pub message: String,
    /// Of the server that the verdict speaks of.
    pub contact: Contact,
    /// Automation connections that nobody has, and that can be had.
    pub available: u32,
    /// Ad-hoc connections that nobody has, and that can be had.
    pub guaranteed: u32,
}

/// A number of connections, as a person writes it.
pub(super) fn connections(count: u32) -> String {
    format!("{count} connection{}", if count == 1 { "" } else { "s" })
}

/// What is left of a number promised, where that is not all of it.
pub(super) fn free_now(left: u32, promised: u32) -> String {
    if left < promised { format!(", {left} free now") } else { String::new() }
}

/// What of a tier can still be had, by its own state: nothing where it does not lend, or can open nothing.
pub(super) fn available(stats: &Stats) -> u32 {
    let gives = stats.breaker == BreakerState::Closed && stats.lending == LendingState::Lending;
    if gives { stats.ceiling.saturating_sub(stats.lent) } else { 0 }
}

/// What of the reserve is there: less than all while its growth waits for the other tier to close what it has above
/// its own.
pub(super) fn promised(reserved: u32, adhoc: &Stats) -> u32 {
    reserved.min(adhoc.ceiling)
}

/// The rest of the reserve, in words.
pub(super) fn to_come(reserved: u32, promised: u32) -> Option<String> {
    let more = reserved - promised;
    (more > 0).then(|| format!("{more} more as automation closes its own"))
}

/// Whether the server was seen lately, and nothing has failed since.
pub(super) fn is_seen(contact: &Contact) -> bool {
    contact.is_within(SEEN_WITHIN)
}

impl Judgement {
    pub(super) fn of(tiers: Tiers<'_>) -> Self {
        let Tiers { automation, adhoc, reserved, .. } = tiers;
        let left = promised(reserved, adhoc).saturating_sub(adhoc.lent);
        // Of a tier that has none at hand and could not open one, nothing is guaranteed.
        let cut_off = adhoc.last_open_failure.as_deref().filter(|_| adhoc.gauges.idle == 0);
        let guaranteed = if cut_off.is_none() { left.min(tiers.reachable(adhoc)) } else { 0 };
        let (contact, of) = tiers.contact();
        let (verdict, message) = if let Some(told) = tiers.not_lending() {
            told
        } else if let Some(told) = tiers.circuit_open() {
            told
        } else if contact.failure.is_some() {
            (Verdict::Unreachable, format!("Unreachable{}: {contact}", tiers.led_by(of)))
        } else if left == 0 {
            (Verdict::Exhausted, "EXHAUSTED: no connection left for ad-hoc work".to_owned())
        } else if let Some(cause) = cut_off {
            (Verdict::Exhausted, format!("EXHAUSTED: no connection for ad-hoc work can be opened: {cause}"))
        } else if is_seen(&contact) {
            (Verdict::Healthy, tiers.promise(guaranteed))
        } else {
            (Verdict::Unknown, format!("Unknown: the server{} was {contact}", tiers.led_by(of)))
        };
        Judgement { verdict, message, contact, available: tiers.reachable(automation), guaranteed }
    }
}

impl Tiers<'_> {
    /// What of a tier can be had, as far as is known of the server that it leads to: with a circuit open that leads
    /// there, what is idle may be as dead as the server.
    fn reachable(self, tier: &Stats) -> u32 {
        let is_cut_off = !self.adhoc_is_apart && self.open_circuit().is_some();
        if is_cut_off { 0 } else { available(tier) }
    }

    /// What is known of the server that both lead to. Of two, of the one that nothing good is known of; and where
    /// neither has failed of that of ad-hoc work, which is promised something.
    fn contact(self) -> (Contact, Tier) {
        let (automation, adhoc) = (self.automation.contact.clone(), self.adhoc.contact.clone());
        if !self.adhoc_is_apart {
            (automation.or_newer(adhoc), Tier::Adhoc)
        } else if automation.failure.is_some() && adhoc.failure.is_none() {
            (automation, Tier::Automation)
        } else {
            (adhoc, Tier::Adhoc)
        }
    }

    /// For whom a server is that a message speaks of, where there are two.
    fn led_by(self, tier: Tier) -> &'static str {
        match (self.adhoc_is_apart, tier) {
            (false, _) => "",
            (true, Tier::Automation) => " for automation",
            (true, Tier::Adhoc) => " for ad-hoc work",
        }
    }

    fn not_lending(self) -> Option<(Verdict, String)> {
        let whose = |state, both| match [self.automation, self.adhoc].map(|tier| tier.lending == state) {
            [true, true] => Some(both),
            [true, false] => Some("the automation tier"),
            [false, true] => Some("the ad-hoc tier"),
            [false, false] => None,
        };
        if let Some(whose) = whose(LendingState::Closed, "the pool") {
            return Some((Verdict::Closed, format!("Closed: {whose} has been closed")));
        }
        let whose = whose(LendingState::Suspended, "both tiers")?;
        Some((Verdict::Suspended, format!("Suspended: lending of {whose} is suspended")))
    }

    fn open_circuit(self) -> Option<(&'static str, Option<String>)> {
        let tiers = [(Tier::Automation, self.automation), (Tier::Adhoc, self.adhoc)];
        let (tier, open) = tiers.into_iter().find(|(_, stats)| stats.breaker != BreakerState::Closed)?;
        let own = open.last_open_failure.clone();
        // Of one server the other tier may know the cause.
        let others = tiers.into_iter().filter(|_| !self.adhoc_is_apart);
        let cause = own.or_else(|| others.into_iter().find_map(|(_, stats)| stats.last_open_failure.clone()));
        Some((self.led_by(tier), cause))
    }

    fn circuit_open(self) -> Option<(Verdict, String)> {
        let (whose, cause) = self.open_circuit()?;
        let cause = cause.unwrap_or_else(|| "no cause known".to_owned());
        Some((Verdict::CircuitOpen, format!("Circuit open{whose}: {cause}")))
    }

    /// What a healthy pool promises: what is there of the reserve. What somebody has of it just now is no breach.
    fn promise(self, free: u32) -> String {
        let promised = promised(self.reserved, self.adhoc);
        let to_come = to_come(self.reserved, promised);
        let always = if to_come.is_none() { "always " } else { "" };
        let mut told = format!("Healthy: {} {always}available for ad-hoc work", connections(promised));
        told += &free_now(free, promised);
        if let Some(to_come) = to_come {
            told += &format!(", {to_come}");
        }
        let other = &self.automation.contact;
        if self.adhoc_is_apart && !is_seen(other) {
            told += &format!(", automation's server was {other}");
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::ContactFailure;

    fn seen(seconds: u64) -> Contact {
        Contact { last_seen: Some(Duration::from_secs(seconds)), failure: None }
    }

    /// Failed since, a second ago.
    fn failed() -> Contact {
        let second = Duration::from_secs(1);
        Contact { failure: Some(ContactFailure::new(second, second, "refused".to_owned())), ..seen(9) }
    }

    /// The verdict on tiers that have heard this of their servers.
    fn judged(automation: Contact, adhoc: Contact, adhoc_is_apart: bool) -> (Verdict, String) {
        let stats = |contact| Stats { ceiling: 5, base_size: 5, contact, ..Stats::default() };
        let (automation, adhoc) = (stats(automation), stats(adhoc));
        let tiers = Tiers { automation: &automation, adhoc: &adhoc, reserved: 5, adhoc_is_apart };
        let Judgement { verdict, message, .. } = Judgement::of(tiers);
        (verdict, message)
    }

    #[test]
    fn of_one_server_the_newer_news_counts_and_of_two_each() {
        assert_eq!(judged(seen(0), failed(), false).0, Verdict::Healthy);
        assert_eq!(judged(failed(), seen(0), false).0, Verdict::Healthy);
        let of_adhoc = (Verdict::Unreachable, "Unreachable for ad-hoc work: refused, 1.0 s ago".to_owned());
        assert_eq!(judged(seen(0), failed(), true), of_adhoc);
        assert_eq!(judged(failed(), failed(), true), of_adhoc);
        let of_automation = "Unreachable for automation: refused, 1.0 s ago".to_owned();
        assert_eq!(judged(failed(), seen(0), true), (Verdict::Unreachable, of_automation));
    }

    #[test]
    fn what_is_promised_to_adhoc_work_rests_on_its_own_server() {
        assert_eq!(judged(seen(0), seen(61), false).0, Verdict::Healthy);
        let unknown = "Unknown: the server for ad-hoc work was last seen 61.0 s ago".to_owned();
        assert_eq!(judged(seen(0), seen(61), true), (Verdict::Unknown, unknown));
        let healthy = "Healthy: 5 connections always available for ad-hoc work".to_owned();
        assert_eq!(judged(seen(0), seen(60), true), (Verdict::Healthy, healthy.clone()));
        let unseen = healthy + ", automation's server was last seen 61.0 s ago";
        assert_eq!(judged(seen(61), seen(60), true), (Verdict::Healthy, unseen));
    }

    #[test]
    fn of_two_servers_the_circuit_of_one_leaves_what_the_other_has() {
        let open = Stats { ceiling: 9, breaker: BreakerState::Open, ..Stats::default() };
        let closed = Stats { ceiling: 5, contact: seen(0), ..Stats::default() };
        for (adhoc_is_apart, whose, guaranteed) in [(false, "", 0), (true, " for automation", 5)] {
            let told =
                Judgement::of(Tiers { automation: &open, adhoc: &closed, reserved: 5, adhoc_is_apart });
            assert_eq!(
                (told.verdict, told.available, told.guaranteed),
                (Verdict::CircuitOpen, 0, guaranteed)
            );
            assert_eq!(told.message, format!("Circuit open{whose}: no cause known"));
        }
    }
}
