use super::*;
use crate::study::TaskKind;
use crate::study::summary::{About, AboutTask};
use crate::study::synthetic::study;

fn made(seeds: u64, tasks: &[TaskKind]) -> Summary {
    let mut about = About {
        command: Some("termwise study --grid <paper> --seeds 5".into()),
        version: Some("0.1.0".into()),
        commit: Some("0123abcd".into()),
        machine: Some("2 cores".into()),
        ..About::default()
    };
    for task in TaskKind::ALL {
        let settings =
            vec![("epochs".to_owned(), "12".to_owned()), ("learning rate".to_owned(), "0.002".to_owned())];
        about.tasks.insert(task, AboutTask { data: Some(format!("data of {task}")), settings });
    }
    let runs: Vec<_> = tasks.iter().flat_map(|task| study(*task, seeds, 40)).collect();
    Summary::new(&runs, about).unwrap()
}

#[test]
fn the_page_has_every_claim_every_configuration_and_how_it_was_made() {
    let summary = made(3, &TaskKind::ALL);
    let html = page(&summary);
    for claim in &summary.claims {
        assert!(
            html.contains(&format!("{}. {}", claim.id, crate::report::escape(&claim.title))),
            "{}",
            claim.id
        );
        for task in &claim.tasks {
            assert!(html.contains(&format!("<td>{}</td>", task.verdict)), "{}", claim.id);
        }
        for task in &claim.tasks {
            assert!(html.contains(&format!("<td>{}</td>", task.verdict)), "{}", claim.id);
        }
        for test in claim.tasks.iter().flat_map(|task| &task.tests) {
            let text = crate::report::escape(&test.text);
            assert!(html.contains(&text), "{text}");
        }
    }
    for task in &summary.tasks {
        for configuration in &task.configurations {
            assert!(html.contains(&format!("<th scope=\"row\">{}</th>", configuration.configuration)));
        }
    }
    for text in ["--grid &lt;paper&gt;", "0123abcd", "data of detection", "learning rate"] {
        assert!(html.contains(text), "{text}");
    }
    assert!(!html.contains("NaN") && !html.contains("<paper>"));
}

#[test]
fn a_study_of_little_says_what_is_missing() {
    let html = page(&made(1, &[TaskKind::Translation]));
    for text in [
        "no run of segmentation",
        "1 of the 3 seeds that a verdict needs",
        "The interval of a single seed is over the items alone",
    ] {
        assert!(html.contains(text), "{text}");
    }
    let nothing = page(&Summary::new(&[], About::default()).unwrap());
    assert!(nothing.contains("no run of translation"));
}

#[test]
fn digits_stand_in_threes() {
    let found = [7, 123, 1234, 1_234_567].map(thousands);
    assert_eq!(found, ["7", "123", "1\u{202f}234", "1\u{202f}234\u{202f}567"]);
}

/// For a look at it: TERMWISE_PAGE names the file.
#[test]
fn a_study_of_realistic_numbers_can_be_looked_at() {
    let Ok(path) = std::env::var("TERMWISE_PAGE") else {
        println!("not written: TERMWISE_PAGE names no file");
        return;
    };
    std::fs::write(path, page(&made(5, &TaskKind::ALL))).unwrap();
}
