//! The most of a number within the last minute, as far as it is looked at.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Millis;

/// How long one window is. The present one and the one before are told, so that whoever asks changes nothing for others
/// who ask: what is told is the most of the last 30 s to 60 s.
const WINDOW: Millis = Millis::new(30_000);

/// The bits of a number, and the most that they can tell.
const BITS: u32 = 20;
const MOST: u32 = (1 << BITS) - 1;

/// The bits of a window's number: 16 years of windows.
const WINDOWS: u32 = (1 << 24) - 1;

/// The greatest of the numbers shown to it in the present window and in the one before.
///
/// All in one word, and Relaxed: a number of its own, by which nothing else is published.
#[derive(Default)]
pub(crate) struct RecentPeak(AtomicU64);

/// What the word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Windows {
    window: u32,
    before: u32,
    present: u32,
}

impl RecentPeak {
    /// Takes note of a number. Of one that is no news it writes nothing, so that threads may come often.
    pub(crate) fn note(&self, number: u32, now: Millis) {
        let noted = |word| {
            let seen = Windows::of(word);
            let next = seen.at(now).with(number);
            (next != seen).then(|| next.word())
        };
        // Refused where there is no news.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, noted);
    }

    pub(crate) fn get(&self, now: Millis) -> u32 {
        let told = Windows::of(self.0.load(Ordering::Relaxed)).at(now);
        told.before.max(told.present)
    }
}

impl Windows {
    fn of(word: u64) -> Self {
        let part = |shift: u32, mask: u32| (word >> shift) as u32 & mask;
        Windows { window: part(2 * BITS, WINDOWS), before: part(BITS, MOST), present: part(0, MOST) }
    }

    fn word(self) -> u64 {
        u64::from(self.window) << (2 * BITS) | u64::from(self.before) << BITS | u64::from(self.present)
    }

    /// As they are at this moment. A reading of the clock that is a little older than the last one is taken for it.
    fn at(self, now: Millis) -> Self {
        let window = (now.get() / WINDOW.get()) as u32 & WINDOWS;
        match window.wrapping_sub(self.window) & WINDOWS {
            0 => self,
            1 => Windows { window, before: self.present, present: 0 },
            ahead if ahead > WINDOWS / 2 => self,
            _ => Windows { window, before: 0, present: 0 },
        }
    }

    fn with(self, number: u32) -> Self {
        Windows { present: self.present.max(number.min(MOST)), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, RecentPeak, WINDOW};
    use crate::clock::Millis;

    fn at(windows: u64, ms: u64) -> Millis {
        Millis::new(WINDOW.get() * windows + ms)
    }

    #[test]
    fn a_peak_is_told_to_the_end_of_the_window_after_its_own() {
        let peak = RecentPeak::default();
        peak.note(7, at(4, 100));
        peak.note(3, at(4, 200));
        assert_eq!(peak.get(at(4, 300)), 7);
        peak.note(5, at(5, 0));
        assert_eq!((peak.get(at(5, 29_999)), peak.get(at(6, 0)), peak.get(at(7, 0))), (7, 5, 0));
        assert_eq!(peak.get(at(5, 0)), 7, "to ask changes nothing");
    }

    #[test]
    fn what_was_seen_before_a_long_silence_is_over() {
        let peak = RecentPeak::default();
        peak.note(7, at(1, 0));
        peak.note(2, at(9, 0));
        assert_eq!(peak.get(at(9, 0)), 2);
    }

    #[test]
    fn an_older_reading_of_the_clock_takes_nothing_back() {
        let peak = RecentPeak::default();
        peak.note(7, at(3, 0));
        peak.note(9, at(2, 29_990));
        assert_eq!((peak.get(at(2, 29_990)), peak.get(at(3, 0))), (9, 9));
    }

    #[test]
    fn a_number_too_great_is_told_as_the_greatest() {
        let peak = RecentPeak::default();
        peak.note(u32::MAX, at(WINDOW.get(), 0));
        assert_eq!(peak.get(at(WINDOW.get(), 0)), MOST);
    }
}
