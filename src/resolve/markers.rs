//! Whether a marker holds. The library's own evaluation also looks for what it would warn about, which costs several times as
//! much; a resolution evaluates thousands of markers.

use pep508_rs::{ExtraName, MarkerEnvironment, MarkerTree, MarkerTreeKind, MarkerValueExtra};

/// Whether a marker holds in an environment, for the distribution itself or for one of its extras.
pub(crate) fn holds(marker: &MarkerTree, environment: &MarkerEnvironment, extra: Option<&ExtraName>) -> bool {
    let next = match marker.kind() {
        MarkerTreeKind::True => return true,
        MarkerTreeKind::False => return false,
        MarkerTreeKind::Version(node) => {
            let version = environment.get_version(node.key());
            node.edges().find(|(range, _)| range.contains(version)).map(|(_, next)| next)
        }
        MarkerTreeKind::String(node) => {
            let text = environment.get_string(node.key()).to_owned();
            node.children().find(|(range, _)| range.contains(&text)).map(|(_, next)| next)
        }
        MarkerTreeKind::In(node) => {
            Some(node.edge(node.value().contains(environment.get_string(node.key()))))
        }
        MarkerTreeKind::Contains(node) => {
            Some(node.edge(environment.get_string(node.key()).contains(node.value())))
        }
        MarkerTreeKind::Extra(node) => {
            let is_it = matches!(node.name(), MarkerValueExtra::Extra(name) if Some(name) == extra);
            Some(node.edge(is_it))
        }
    };
    next.is_some_and(|next| holds(&next, environment, extra))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Target;

    #[test]
    fn it_agrees_with_the_library() {
        let target = Target {
            python: "3.11".parse().unwrap(),
            platform: "linux/amd64".parse().unwrap(),
            libc: "glibc-2.36".parse().unwrap(),
        };
        let environment = target.marker_environment();
        let mut outcomes = [0, 0];
        for text in [
            "python_version >= '3.8'",
            "python_version < '3.11' or python_full_version >= '3.11.1'",
            "python_version not in '3.9, 3.10' and sys_platform == 'linux'",
            "sys_platform == 'win32'",
            "sys_platform != 'win32' and platform_machine in 'x86_64 amd64'",
            "'lin' in sys_platform or 'x' in platform_machine",
            "'86' not in platform_machine",
            "platform_system > 'Aaa' and os_name < 'zzz'",
            "platform_python_implementation == 'PyPy'",
            "implementation_name == 'cpython' and extra == 'one'",
            "extra == 'one' or extra == 'two'",
            "extra != 'one'",
            "extra == 'no name!'",
            "extra == 'one' and extra == 'two'",
        ] {
            let marker: MarkerTree = text.parse().unwrap();
            for extra in [None, Some("one"), Some("three")] {
                let extra: Option<ExtraName> = extra.map(|name| name.parse().unwrap());
                let ours = holds(&marker, &environment, extra.as_ref());
                assert_eq!(ours, marker.evaluate(&environment, extra.as_slice()), "{text} {extra:?}");
                outcomes[usize::from(ours)] += 1;
            }
        }
        assert!(outcomes.iter().all(|count| *count > 10), "{outcomes:?}");
    }
}
