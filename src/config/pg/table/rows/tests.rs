use super::*;

#[test]
fn no_name_is_used_twice() {
    let mut names: Vec<_> = TABLE.iter().flat_map(|s| s.env.iter().chain(s.url)).collect();
    names.sort_by_key(|spelling| spelling.name);
    for pair in names.windows(2) {
        assert_ne!(pair[0].name, pair[1].name);
    }
}

#[test]
fn defaults_have_the_kind_that_their_spellings_give() {
    for setting in &TABLE {
        let Fallback::Value(default) = &setting.default else { continue };
        for spelling in setting.env.iter().chain(setting.url) {
            let text = if spelling.unit == Unit::WaitMode { "wait" } else { "1" };
            let parsed = spelling.unit.parse(text).unwrap();
            assert_eq!(std::mem::discriminant(default), std::mem::discriminant(&parsed), "{}", setting.name);
        }
    }
}
