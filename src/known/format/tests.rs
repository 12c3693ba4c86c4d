//! Every format: good files, single bad entries, and files that are no lists.

use ipnet::IpNet;

use super::*;
use crate::known::about::Extent;
use crate::known::identity::Names;

fn named(name: &str) -> &'static Format {
    FORMATS.into_iter().find(|format| format.name == name).unwrap()
}

/// `entries`: read and skipped. `holds`: one network that is on it as a whole.
#[track_caller]
fn good(format: &str, text: &str, entries: (usize, usize), holds: &str) {
    let list = named(format).read(text.as_bytes()).unwrap_or_else(|broken| panic!("{broken}"));
    assert_eq!((list.tally().good, list.tally().skipped), entries, "{text}");
    let net: IpNet = holds.parse().unwrap();
    assert_eq!(list.extent(&net, None), Some(Extent::Whole), "{holds} in {text}");
}

#[track_caller]
fn broken(format: &str, text: &str, said: &str) {
    let broken = named(format).read(text.as_bytes()).unwrap_err().to_string();
    assert!(broken.contains(said), "{broken:?} does not contain {said:?}");
    assert!(broken.contains("; to mend it, "), "{broken}");
    assert!(broken.chars().count() < 400 && !broken.chars().any(char::is_control), "{broken:?}");
}

/// Enough good lines that one bad one is no reason to refuse them.
fn lines(extra: &str) -> String {
    (0..40).map(|n| format!("203.0.{n}.0/24\n")).collect::<String>() + extra
}

#[test]
fn netsets_are_read() {
    let text =
        "\u{feff}# a list\r\n203.0.113.0/24 # why\r\n\r\n 198.51.100.7 ; SBL1\n2001:db8::/32\n";
    good("netset", text, (3, 0), "203.0.113.0/24");
    good("netset", text, (3, 0), "198.51.100.7/32");
    good("netset", text, (3, 0), "2001:db8:7::/48");
    for hostile in [
        "0.0.0.0/0",
        "::/0",
        "203.0.113.7/24",
        "203.0.113.0/99",
        "999.1.1.1",
        "<script>alert(1)</script>",
        "203.0.113.0/24 198.51.100.0/24",
        "\u{202e}7.311.0.302",
        "\u{0}",
        "-1",
    ] {
        good("netset", &lines(hostile), (40, 1), "203.0.7.0/24");
        broken("netset", hostile, "1 of 1 entries cannot be read, first line 1: ");
    }
    broken("netset", "", "it holds nothing");
    broken("netset", "# nothing\n\n", "it holds nothing");
    broken("netset", "<html>\n<body>Too many requests</body>\n</html>\n", "3 of 3 entries");
    broken("netset", &lines("a\nb\nc\n"), "3 of 43 entries cannot be read, first line 41");
    broken("netset", &"x".repeat(1 << 20), "1 of 1 entries");
}

#[test]
fn too_long_a_list_is_refused_as_a_whole() {
    let most = u32::try_from(crate::known::list::MAX_ENTRIES).unwrap();
    let address = |n: u32| format!("{}\n", std::net::Ipv4Addr::from(0x0b00_0000 + n));
    let text: String = (0..=most).map(address).collect();
    broken("netset", &text, "more than 1000000 entries");
}

#[test]
fn tor_exits_are_read_in_both_forms() {
    good("tor-exit", "203.0.113.7\n2001:db8::7\n", (2, 0), "203.0.113.7/32");
    let records = "ExitNode 0011BD2485AD45D984EC4159C88FC066E5E3300E\nPublished 2026-11-24 03:00:00\n\
                   LastStatus 2026-11-24 04:00:00\nExitAddress 203.0.113.7 2026-11-24 04:10:00\n\
                   ExitAddress 203.0.113.9 2026-11-24 04:10:00\n";
    good("tor-exit", records, (2, 0), "203.0.113.9/32");
    broken("tor-exit", "ExitNode 00\nPublished 2026-11-24\n", "it holds nothing");
    broken("tor-exit", "ExitAddress \nExitAddress x y\n", "2 of 2 entries");
    broken("tor-exit", "502 Bad Gateway\n", "check that it is the Tor project's list");
}

#[test]
fn spamhaus_lists_are_read_and_must_be_complete() {
    let v4 = "{\"cidr\":\"203.0.113.0/24\",\"sblid\":\"SBL1\",\"rir\":\"ripencc\"}\n";
    let end = "{\"type\":\"metadata\",\"timestamp\":1790000000,\"size\":2,\"records\":1,\"copyright\":\"c\"}\n";
    good("spamhaus-json", v4, (1, 0), "203.0.113.0/24");
    good("spamhaus-json", &format!("{v4}{end}"), (1, 0), "203.0.113.0/24");
    broken("spamhaus-json", &format!("{v4}{v4}{end}"), "line 3 counts 1 entries, there are 2");
    broken("spamhaus-json", "{\"cidr\":\"203.0.113.0/2", "1 of 1 entries");
    broken("spamhaus-json", "203.0.113.0/24 ; SBL1\n", "no such object");
    broken("spamhaus-json", "{\"cidr\":7}\n{}\n[]\nnull\n", "4 of 4 entries");
    let list = named("spamhaus-json").read(b"{\"asn\":64500,\"asname\":\"X\"}\n").unwrap();
    let net: IpNet = "203.0.113.0/24".parse().unwrap();
    assert_eq!(list.extent(&net, Some(64_500)), Some(Extent::Whole));
    assert_eq!((list.extent(&net, Some(1)), list.extent(&net, None)), (None, None));
}

#[test]
fn tables_are_read_by_their_heading() {
    good("csv", "network,asn,org\n203.0.113.0/24,64500,\"a, b\"\n", (1, 0), "203.0.113.0/24");
    good("csv", "org;CIDR\nx;203.0.113.0/24\ny;198.51.100.0/24\n", (2, 0), "198.51.100.0/24");
    good("csv", "# made by x\nip\tport\n203.0.113.7\t80\n", (1, 0), "203.0.113.7/32");
    good("csv", "203.0.113.0/24,x\n198.51.100.0/24,y\n", (2, 0), "203.0.113.0/24");
    broken("csv", "a,b\nc,d\n", "2 of 2 entries");
    broken("csv", "network,x\n", "it holds nothing");
    broken("csv", "x,network\n\"203.0.113.0/24\n", "entries cannot be read");
}

#[test]
fn azures_service_tags_are_read() {
    let text = r#"{"changeNumber":1,"cloud":"Public","values":[{"name":"AzureOpenAI","id":"x",
        "properties":{"region":"","addressPrefixes":["203.0.113.0/24","2001:db8::/48"]}},
        {"properties":{"addressPrefixes":["198.51.100.0/24"]}}]}"#;
    good("azure-service-tags", text, (3, 0), "198.51.100.0/24");
    broken("azure-service-tags", text.strip_suffix("]}}]}").unwrap(), "EOF while parsing");
    broken("azure-service-tags", "{\"values\":[]}", "it holds nothing");
    broken("azure-service-tags", "{\"values\":{}}", "check that it is the file of Azure IP ranges");
    let bad = r#"{"values":[{"name":"A","properties":{"addressPrefixes":["x"]}}]}"#;
    broken("azure-service-tags", bad, "first tag \"A\": not a network: \"x\"");
}

#[test]
fn names_are_read_from_tables_and_json() {
    const ID: &str = "7b0d2c1e-94a1-4b6e-8a53-0c2f7d5e1a90";
    for text in [
        format!("{ID},Build pipeline\n"),
        format!("object id,name\n{ID},Build pipeline\n"),
        format!("displayName;userType;id\nBuild pipeline;x;{ID}\n")
            .replace(";userType", "")
            .replace(";x", ""),
        format!("id,mail,displayName\n{},x@y,Build pipeline\n", ID.to_uppercase()),
        format!("{{\"{ID}\":\"Build pipeline\"}}"),
        format!("[{{\"id\":\"{ID}\",\"displayName\":\" Build\u{202e} pipeline\",\"mail\":null}}]"),
        format!("{{\"value\":[{{\"objectId\":\"{ID}\",\"name\":\"Build pipeline\"}}]}}"),
    ] {
        let names =
            Names::read(text.as_bytes()).unwrap_or_else(|broken| panic!("{text}: {broken}"));
        assert_eq!(names.of(ID), Some("Build pipeline"), "{text}");
    }
    for (text, said) in [
        ("", "it holds nothing"),
        ("object id,name\n", "it holds nothing"),
        ("id,name\nx,Ada\n", "line 2: no object id: \"x\""),
        ("[{\"id\":\"x\"}]", "entry 1: no object id"),
        ("[{\"id\":7}]", "data did not match"),
        ("{\"value\":", "EOF"),
    ] {
        let broken = Names::read(text.as_bytes()).unwrap_err().to_string();
        assert!(broken.contains(said), "{broken:?} does not contain {said:?}");
    }
}
