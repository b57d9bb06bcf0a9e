//! What may come between: death at any moment, others at the same time, a home or a project that is gone, files that
//! were deleted or locked, copies that were cleared.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use memoria::agents::ledger::{Ledger, Record};
use memoria::agents::setup::{prepare, take_back};
use memoria::agents::{Edit, Purpose, Reach, Step};

use super::{Place, RULE, carry_out, furnished};

#[test]
fn what_cannot_be_written_is_refused_and_the_ledger_does_not_claim_it() {
    // Root may write everywhere, also where the mode says no: a folder in place of the file refuses it as well.
    let place = furnished();
    let mut ledger = place.ledger();
    let work = prepare(&ledger, &Reach::User, &place.steps("a"));
    fs::remove_file(place.home().join("a.json")).unwrap();
    fs::create_dir(place.home().join("a.json")).unwrap();
    place.write("AGENTS.md", "changed meanwhile");
    let failed: Vec<_> = work.changes.iter().filter_map(|change| change.carry_out(&mut ledger).err()).collect();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed[1].message.contains("run the command again"), "{failed:?}");
    let named = |name: &str| ledger.record.files.iter().any(|entry| entry.file.ends_with(name));
    assert!(!named("a.json") && !named("AGENTS.md") && named("config.yaml"));
    assert_eq!(place.text("AGENTS.md"), "changed meanwhile");
}

#[test]
fn a_death_between_the_ledger_and_a_file_is_harmless() {
    for survivors in 0..5 {
        let place = furnished();
        let before = place.files();
        {
            let mut ledger = place.ledger();
            let work = prepare(&ledger, &Reach::User, &place.steps("a"));
            for (at, change) in work.changes.iter().enumerate() {
                let old = fs::read(&change.file).ok();
                change.carry_out(&mut ledger).unwrap();
                // As if death had come after the ledger was written and before the file was.
                if at == survivors {
                    match old {
                        Some(old) => fs::write(&change.file, old).unwrap(),
                        None => fs::remove_file(&change.file).unwrap(),
                    }
                    break;
                }
            }
        }
        let again = furnished_copy(&place);
        place.uninstall(None);
        let files = |place: &Place| {
            place.files().into_iter().filter(|(path, _)| path.is_file()).map(|(_, b)| b).collect::<Vec<_>>()
        };
        assert_eq!(
            files(&place),
            before.values().filter(|b| !b.is_empty()).cloned().collect::<Vec<_>>(),
            "{survivors}"
        );
        // Or `init` is simply run again.
        assert!(again.init(&["a"]).refused.is_empty());
        assert!(again.text("a.json").contains("memoria") && again.text("AGENTS.md").contains("Ask it first."));
    }
}

/// The same home in another place, with nothing written down.
fn furnished_copy(place: &Place) -> Place {
    let copy = Place::new();
    for (path, bytes) in place.files().into_iter().filter(|(path, _)| path.is_file()) {
        let name = path.strip_prefix(place.home()).unwrap().to_owned();
        copy.write(name.to_str().unwrap(), std::str::from_utf8(&bytes).unwrap());
    }
    copy
}

#[test]
fn many_at_once_end_like_one() {
    let (one, many) = (furnished(), furnished());
    one.init(&["a", "b"]);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| many.init(&["a", "b"]));
        }
    });
    let inner = |place: &Place| -> Vec<(PathBuf, Vec<u8>)> {
        let home = place.home();
        place.files().into_iter().map(|(path, bytes)| (path.strip_prefix(&home).unwrap().to_owned(), bytes)).collect()
    };
    assert_eq!(inner(&many), inner(&one));
    many.uninstall(None);
    assert_eq!(inner(&many), inner(&furnished()));
}

#[test]
fn a_ledger_that_cannot_be_read_is_named() {
    let place = furnished();
    fs::create_dir_all(place.folder()).unwrap();
    fs::write(place.folder().join("ledger.json"), "{").unwrap();
    let error = Ledger::open(&place.folder(), &place.home(), "x").err().unwrap();
    assert!(error.message.contains("ledger.json") && error.message.contains("copies"), "{error}");
}

#[test]
fn a_death_between_a_file_and_the_ledger_is_harmless_when_taking_back() {
    let place = furnished();
    let before = place.files();
    place.init(&["a"]);
    let ledger = place.folder().join("ledger.json");
    let written = fs::read(&ledger).unwrap();
    place.uninstall(None);
    // As if death had come when the files were as before, and the ledger still said otherwise.
    fs::write(&ledger, &written).unwrap();
    let work = place.uninstall(None);
    assert!(work.refused.is_empty() && work.changes.iter().all(|change| !change.is_visible()), "{work:?}");
    assert_eq!(place.files(), before);
    fs::write(&ledger, &written).unwrap();
    place.init(&["a"]);
    place.uninstall(None);
    assert_eq!(place.files(), before);
}

#[test]
fn a_home_that_was_moved_is_taken_back_where_it_is_now() {
    let place = furnished();
    let before = place.files();
    place.init(&["a"]);
    let there = place.home().with_file_name("moved");
    fs::rename(place.home(), &there).unwrap();
    let mut ledger = Ledger::open(&place.folder(), &there, "x").unwrap();
    let work = take_back(&ledger, None, None);
    assert!(work.refused.is_empty(), "{work:?}");
    carry_out(&work, &mut ledger);
    drop(ledger);
    assert!(!place.home().exists(), "nothing is made where it was");
    fs::rename(&there, place.home()).unwrap();
    assert_eq!(place.files(), before);
}

#[test]
fn another_home_beside_the_first_is_not_taken_for_it() {
    let place = furnished();
    place.init(&["a"]);
    let other = place.home().with_file_name("other");
    fs::create_dir(&other).unwrap();
    let ledger = Ledger::look(&place.folder(), &other).unwrap();
    assert!(ledger.record.files.iter().all(|entry| entry.file.starts_with(place.home())));
}

#[test]
fn a_file_that_its_owner_deleted_stays_away_or_is_made_anew() {
    let place = furnished();
    place.init(&["a"]);
    for name in ["AGENTS.md", "rules/a.md", "a.json"] {
        fs::remove_file(place.home().join(name)).unwrap();
    }
    let work = place.uninstall(None);
    assert!(work.refused.is_empty(), "{work:?}");
    assert!(["AGENTS.md", "rules", "a.json"].iter().all(|name| !place.home().join(name).exists()));
    assert!(Record::read(&place.folder()).unwrap().files.is_empty());

    place.init(&["a"]);
    let all = place.files();
    fs::remove_file(place.home().join("rules/a.md")).unwrap();
    place.init(&["a"]);
    assert_eq!(place.files(), all);
    place.uninstall(None);
    assert!(!place.home().join("rules").exists() && !place.home().join("AGENTS.md").exists());
}

#[test]
fn a_project_that_is_gone_holds_nobody_up() {
    for is_a_file_now in [false, true] {
        let place = furnished();
        let shop = place.home().join("shop");
        let step = |name: &str, edit| Step { file: shop.join(name), purpose: Purpose::Rule, edit };
        let whole = step("rules/memoria.md", Edit::Whole { text: RULE.into() });
        let block = step("AGENTS.md", Edit::Block { text: RULE.into() });
        let mut ledger = place.ledger();
        let project = Reach::Project(shop.clone());
        carry_out(&prepare(&ledger, &project, &[("a", whole), ("b", block)]), &mut ledger);
        drop(ledger);
        fs::remove_dir_all(&shop).unwrap();
        if is_a_file_now {
            fs::write(&shop, "an archive").unwrap();
        }
        let work = place.uninstall(None);
        assert!(work.refused.is_empty(), "{work:?}");
        assert!(Record::read(&place.folder()).unwrap().files.is_empty());
        assert_eq!(shop.is_file(), is_a_file_now);
    }
}

#[test]
fn without_the_copies_what_is_ours_goes_all_the_same() {
    let place = furnished();
    place.init(&["a"]);
    fs::remove_dir_all(place.folder().join("copies")).unwrap();
    let work = place.uninstall(None);
    assert!(work.refused.is_empty(), "{work:?}");
    for name in ["a.json", "config.yaml", "AGENTS.md"] {
        let text = place.text(name);
        assert!(!text.contains("/opt/memoria") && !text.contains("Ask it first."), "{name}: {text}");
    }
    assert!(place.text("a.json").contains("// mine\n    \"theme\": \"dark\""));
    assert!(place.text("config.yaml").contains("cmd: x # y"));
    assert_eq!(place.text("AGENTS.md"), "# Ours\r\n\r\nBe kind.\r\n");
    assert!(!place.home().join("rules").exists());
}

#[test]
fn a_file_that_its_owner_locked_is_left_alone_and_named() {
    let place = furnished();
    let file = place.home().join("AGENTS.md");
    let lock = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    lock(0o444);
    let work = place.init(&["a"]);
    assert!(work.refused.len() == 1 && work.refused[0].error.message.contains("read-only"), "{:?}", work.refused);
    assert_eq!(place.text("AGENTS.md"), "# Ours\r\n\r\nBe kind.");
    lock(0o644);
    place.init(&["a"]);
    lock(0o444);
    assert_eq!(place.uninstall(None).refused.len(), 1);
    assert!(place.text("AGENTS.md").contains("Ask it first."));
    lock(0o644);
    assert!(place.uninstall(None).refused.is_empty(), "what was refused is still in the ledger");
    assert_eq!(place.text("AGENTS.md"), "# Ours\r\n\r\nBe kind.");
}

#[test]
fn old_copies_go_but_none_that_taking_back_needs() {
    let place = furnished();
    let before = place.files();
    place.init(&["a"]);
    for run in 0..120 {
        fs::write(place.folder().join(format!("copies/2026-11-24-{run:03}-settings.json")), "").unwrap();
    }
    place.ledger().prune().unwrap();
    let left = fs::read_dir(place.folder().join("copies")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<String> = left.map(|name| name.into_string().unwrap()).collect();
    let needed = Record::read(&place.folder()).unwrap().files.into_iter().filter_map(|entry| entry.before);
    let needed: Vec<String> = needed.collect();
    assert!(!needed.is_empty() && needed.iter().all(|name| left.contains(name)), "{needed:?} of {left:?}");
    assert_eq!(left.len(), 100 + needed.len());
    assert!(left.iter().any(|name| name.contains("-119-")) && !left.iter().any(|name| name.contains("-019-")));
    assert!(place.uninstall(None).refused.is_empty());
    assert_eq!(place.files(), before);
}
