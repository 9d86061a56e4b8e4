//! Groups, seen from any place.

use proptest::prelude::*;

use super::*;

fn mount(root: &str, point: &str) -> Mount {
    Mount {
        device: "0:1".to_owned(),
        root: root.to_owned(),
        point: point.to_owned(),
        kind: "cgroup2".to_owned(),
        source: "cgroup2".to_owned(),
        options: Vec::new(),
    }
}

#[test]
fn the_group_is_found_through_any_view_of_it() {
    for (root, path, folders_wanted) in [
        ("/", "/", vec!["/cg"]),
        ("/", "/a/b", vec!["/cg", "/cg/a", "/cg/a/b"]),
        ("/docker/x", "/docker/x", vec!["/cg"]),
        ("/docker/x", "/docker/x/y", vec!["/cg", "/cg/y"]),
        ("/docker/x", "/docker/xy", vec!["/cg"]),
        ("/docker/x", "/elsewhere", vec!["/cg"]),
        ("/", "/../up", vec!["/cg"]),
    ] {
        let found = folders(&format!("1:name=systemd:/\n0::{path}\n"), &[mount(root, "/cg")], None);
        assert_eq!(found, folders_wanted, "{root} {path}");
    }
}

proptest! {
    #[test]
    fn any_membership_stays_inside_the_mount(text in "[0-9a-z:/.\n]{0,60}") {
        for folder in folders(&text, &[mount("/", "/cg")], None) {
            prop_assert!(folder.starts_with("/cg"));
            prop_assert!(!folder.split('/').any(|part| part == ".."));
        }
    }
}
