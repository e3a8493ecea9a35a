//! What a registry asks for when it answers 401.

use http_auth::ChallengeParser;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use url::Url;

/// How a registry wants to be talked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password with each request.
    Basic,
    /// A token from a token server.
    Bearer {
        /// The token server.
        realm: Url,
        /// The name by which the token server knows the registry.
        service: Option<String>,
    },
}

impl Challenge {
    /// The best of the challenges in an answer; `None` if there is none that is understood. A token is better than a
    /// password, which would travel with every request.
    pub(super) fn parse(headers: &HeaderMap) -> Option<Self> {
        let mut basic = None;
        for header in headers.get_all(WWW_AUTHENTICATE) {
            let Ok(text) = header.to_str() else { continue };
            // What follows a syntax error cannot be relied on.
            for challenge in ChallengeParser::new(text).map_while(Result::ok) {
                let parameter = |name: &str| {
                    let (_, value) =
                        challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
                    Some(value.to_unescaped())
                };
                if challenge.scheme.eq_ignore_ascii_case("bearer") {
                    let realm = parameter("realm").and_then(|realm| Url::parse(&realm).ok());
                    let realm = realm.filter(|r| matches!(r.scheme(), "http" | "https") && r.has_host());
                    if let Some(realm) = realm {
                        return Some(Self::Bearer { realm, service: parameter("service") });
                    }
                } else if challenge.scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Self::Basic);
                }
            }
        }
        basic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(headers: &[&str]) -> Option<Challenge> {
        let headers =
            headers.iter().map(|value| (WWW_AUTHENTICATE, value.parse().unwrap())).collect::<HeaderMap>();
        Challenge::parse(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.parse().unwrap(), service: service.map(str::to_owned) })
    }

    #[test]
    fn the_best_challenge_is_taken() {
        let token = r#"Bearer realm="https://auth.example/token?a=b,c",service="a \"b\"",scope="x""#;
        assert_eq!(parse(&[token]), bearer("https://auth.example/token?a=b,c", Some(r#"a "b""#)));
        assert_eq!(parse(&[r#"Basic realm="x""#]), Some(Challenge::Basic));
        assert_eq!(
            parse(&[r#"Basic realm="x""#, r#"bearer realm="http://h/t""#]),
            bearer("http://h/t", None)
        );
        assert_eq!(
            parse(&[r#"Negotiate, Basic realm="x", Bearer realm="http://h/t""#]),
            bearer("http://h/t", None)
        );
    }

    #[test]
    fn nonsense_is_no_challenge() {
        for text in [
            "",
            "Bearer",
            r#"Bearer realm="file:///etc/passwd""#,
            r#"Bearer realm="x"#,
            "=,=\"\\",
            "Digest realm=\"x\"",
        ] {
            assert_eq!(parse(&[text]), None, "{text}");
        }
        assert_eq!(parse(&[]), None);
    }
}
