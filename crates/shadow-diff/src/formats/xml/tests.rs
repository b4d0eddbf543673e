use super::*;

fn hash(text: &str) -> u128 {
    read(text).unwrap().hash(0)
}

#[test]
fn what_means_the_same_is_equal() {
    let same = [
        (r#"<a x="1" y="2"><b>t</b><c/></a>"#, "<?xml version='1.0'?>\n<a y='2' x='1'>\n  <c></c>\n  <b>t</b>\n</a>\n"),
        ("<a>&lt;&#65;&amp;</a>", "<a><![CDATA[<A&]]></a>"),
        ("<a>x<!-- no --><?no?>y</a>", "<a>xy</a>"),
        ("<p:a xmlns:p='u'><p:b p:i='1'/></p:a>", "<a xmlns='u' xmlns:q='u'><q:b q:i='1'/></a>"),
        ("<a xml:lang='de'/>", "<a xml:lang=\"&#100;e\"/>"),
        ("<a>x\r\ny</a>", "<a>x\ny</a>"),
    ];
    for (ours, theirs) in same {
        assert_eq!(hash(ours), hash(theirs), "{ours} {theirs}");
    }
}

#[test]
fn what_means_something_else_is_not() {
    let others = [
        ("<a>x</a>", "<a> x</a>"),
        ("<a>x</a>", "<b>x</b>"),
        ("<a><b>1</b><b>2</b></a>", "<a><b>2</b><b>1</b></a>"),
        ("<a i='1'/>", "<a><i>1</i></a>"),
        ("<p>one<b/>two</p>", "<p>onetwo<b/></p>"),
        ("<p>x&lt;b/&gt;y<b/></p>", "<p>x<b/>y&lt;b/&gt;</p>"),
        ("<a xmlns='u'/>", "<a xmlns='v'/>"),
        ("<a xmlns='u'><b/></a>", "<a xmlns='u'><b xmlns=''/></a>"),
        ("<a xmlns:p='u' p:i='1'/>", "<a i='1'/>"),
        ("<a><b/></a>", "<a><b/><b/></a>"),
    ];
    for (ours, theirs) in others {
        assert_ne!(hash(ours), hash(theirs), "{ours} {theirs}");
    }
}

#[test]
fn what_is_no_xml_or_could_be_a_bomb_is_not_read() {
    for bad in [
        "",
        "text",
        "<a>",
        "<a></b>",
        "</a>",
        "<a/><b/>",
        "<a/>text",
        "<a x=1/>",
        "<a x/>",
        "<a>&unknown;</a>",
        "<a>&#0;</a>",
        "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
        "<!DOCTYPE html><html></html>",
        "<a",
    ] {
        assert_eq!(read(bad).err(), Some(Unread::Malformed), "{bad}");
    }
    assert_eq!(read("<a x='1' x='2'/>").unwrap().kind(1), crate::document::Kind::Ambiguous);
}

#[test]
fn a_deep_nest_is_read_without_recursion_and_too_many_elements_are_refused() {
    let deep = |levels: usize| format!("{}{}", "<a>".repeat(levels), "</a>".repeat(levels));
    assert_eq!(read(&deep(100_000)).unwrap().len(), 200_000);
    assert_eq!(read(&format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS))).err(), Some(Unread::TooLarge));
}

#[test]
fn a_long_namespace_in_many_names_takes_no_more_than_a_few_times_the_text() {
    let document = |namespace: &str, name: &str| format!("<a xmlns:p='{namespace}'>{}</a>", name.repeat(10_000));
    for name in ["<p:b/>", "<b p:i='1'/>"] {
        let long = document(&"u".repeat(20_000), name);
        let taken = read(&long).map_or(0, |document| {
            (0..document.len() as u32).map(|id| document.text(id).len() + document.name(id).len()).sum()
        });
        assert!(taken <= 9 * long.len() + SPARE, "{name}: {taken}");
        // What ordinary namespaces come to is read.
        assert!(read(&document("http://schemas.xmlsoap.org/soap/envelope/", name)).is_ok(), "{name}");
        assert_ne!(
            hash(&document(&"u".repeat(300), "<b p:i='1'/>")[..]),
            hash(&document(&"v".repeat(300), "<b p:i='1'/>"))
        );
    }
    assert_eq!(read(&document(&"u".repeat(128), "<p:b/>")).err(), Some(Unread::TooLarge));
}
