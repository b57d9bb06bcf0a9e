//! Markdown: our block between its markers, whatever stands around it.

use memoria::agents::{Edit, Past};
use proptest::prelude::*;

use super::{dressed, rounds};

fn markdown() -> impl Strategy<Value = String> {
    let line = proptest::sample::select(vec![
        "",
        "# Title",
        "text",
        "```",
        "~~~~ rust",
        "```\n<!-- memoria:begin -->\n```",
        "<!-- a comment -->",
        "   ",
        "- é",
    ]);
    (proptest::collection::vec(line, 0..7), any::<bool>()).prop_map(|(lines, has_end)| {
        let text = lines.join("\n");
        if has_end { text + "\n" } else { text }
    })
}

proptest! {
    #![proptest_config(rounds())]

    #[test]
    fn markdown_keeps_every_byte_and_gets_it_back(before in dressed(markdown()), more in markdown()) {
        let edit = Edit::Block { text: "## Memoria\n\nAsk it first.\n".to_owned() };
        let Ok(after) = edit.apply(Some(&before)) else { return Ok(()) };
        prop_assert!(after.starts_with(&before) && after.contains("Ask it first."));
        prop_assert_eq!(&edit.apply(Some(&after)).unwrap(), &after);
        let newer = Edit::Block { text: "Newer text.".to_owned() };
        let updated = newer.apply(Some(&after)).unwrap();
        prop_assert!(!updated.contains("Ask it first.") && updated.matches("memoria:begin (").count() == 1);
        for (edit, after) in [(&edit, &after), (&newer, &updated)] {
            let back = edit.remove(after, Past::Text(&before)).unwrap();
            prop_assert_eq!(back.as_deref(), Some(&*before));
            let added = format!("{after}{more}");
            if let Ok(left) = edit.remove(&added, Past::Text(&before)) {
                prop_assert_eq!(left.as_deref(), Some(&*format!("{before}{more}")));
            }
        }
    }
}
