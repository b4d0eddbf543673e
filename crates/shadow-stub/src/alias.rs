//! Whom a call to the stub's own address is meant for. Pure.

use shadow_runtime::Alias;

use crate::request::Call;

/// Makes the call what the first alias that it is for says.
pub(crate) fn resolve(aliases: &[Alias], call: &mut Call) {
    let meant = aliases.iter().find_map(|alias| Some((alias, alias.path_meant(Some(&call.host), &call.path)?)));
    let Some((Alias { to, .. }, path)) = meant else { return };
    call.scheme = if to.scheme() == "https" { "https" } else { "http" };
    call.host = to.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    call.port = to.port_or_known_default().unwrap_or(80);
    call.path = path;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::tests::call;

    #[test]
    fn a_call_to_a_base_url_of_the_shadow_is_for_what_it_stands_for() {
        let alias = |host: Option<&str>, path: &str, to: &str| Alias {
            host: host.map(str::to_owned),
            path: path.to_owned(),
            to: to.parse().unwrap(),
        };
        let aliases = [
            alias(None, "/stripe", "https://api.stripe.com"),
            alias(Some("other"), "", "http://never"),
            alias(None, "/six", "http://[2001:DB8::1]:8080"),
            alias(Some("API.example"), "", "http://pay:81/v2/"),
        ];
        for (path, expected) in [
            ("/stripe/v1/charges", "https api.stripe.com/v1/charges"),
            ("/six", "http 2001:db8::1:8080/"),
            ("/x", "http pay:81/v2/x"),
        ] {
            let mut call = call("GET", path, "", "");
            resolve(&aliases, &mut call);
            assert_eq!(format!("{} {}{}", call.scheme, call.destination(), call.path), expected);
        }
        let mut call = call("GET", "/x", "", "");
        resolve(&aliases[..2], &mut call);
        assert_eq!((call.destination().as_str(), call.path.as_str()), ("api.example", "/x"), "nothing else is meant");
    }
}
