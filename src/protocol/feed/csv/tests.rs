use proptest::prelude::*;

use super::super::tests::{messages, read_as, read_with, values};
use super::super::{Error, FileFormat};
use super::*;
use crate::indicator::Indicator;

fn with_column(text: &str, column: &str) -> Result<Vec<String>, Error> {
    let options = Options {
        format: None,
        column: Column::parse(column),
    };
    let (_, report) = read_with(&options, text)?;
    Ok(vec![report.format, report.usable.to_string()])
}

#[test]
fn the_exports_of_abuse_ch_are_read() {
    let urlhaus = "################\n# URLhaus\n#\n\
        # id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter\n\
        \"1\",\"2024-05-01 10:00:00\",\"http://bad.example/gate.php\",\"online\",\"\",\"malware_download\",\"elf,x\",\"https://feed.example/url/1/\",\"anon\"\n\
        # Number of entries: 1, all\n";
    assert_eq!(values(urlhaus), ["http://bad.example/gate.php"]);
    let properties = messages(urlhaus)[0]
        .as_ref()
        .and_then(|one| one.properties.clone());
    let properties: Value =
        serde_json::from_str(properties.expect("other columns").get()).expect("JSON");
    assert_eq!(properties["tags"], "elf,x");
    assert_eq!(properties["urlhaus_link"], "https://feed.example/url/1/");
    assert_eq!(
        (properties.get("url"), properties.get("last_online")),
        (None, None)
    );
    let bazaar = "# \"first_seen_utc\",\"sha256_hash\",\"md5_hash\",\"sha1_hash\",\"reporter\",\"file_name\",\"imphash\"\n\
        \"2024-05-01 10:00:00\", \"1111111111111111111111111111111111111111111111111111111111111111\", \"22222222222222222222222222222222\", \"n/a\", \"x\", \"a.exe\", \"33333333333333333333333333333333\"\n";
    assert_eq!(values(bazaar), ["1".repeat(64), "2".repeat(32)]);
    let sslbl = "# Listingdate,SHA1,Listingreason\n2024-05-01 10:00:00,da39a3ee5e6b4b0d3255bfef95601890afd80709,x C&C\n";
    assert_eq!(values(sslbl), ["da39a3ee5e6b4b0d3255bfef95601890afd80709"]);
    let ja3 = "# ja3_md5,Firstseen,Lastseen,Listingreason\nb386946a5a44d1ddcc843bc75336dfce,2017-07-14 18:08:15,2019-07-27 20:42:54,Dridex\n";
    let kind = messages(ja3)[0].as_ref().map(Indicator::kind);
    assert_eq!(kind, Some("ja3"));
    let c2 = "#ip,ioc\n203.0.113.80,Possible Cobaltstrike C2 IP\n";
    assert_eq!(values(c2), ["203.0.113.80"]);
    let c2 = "#domain,ioc,uri_path,ip\nc2.example,Possible C2 Domain,/load,203.0.113.80\n";
    assert_eq!(values(c2), ["c2.example"]);
}

#[test]
fn the_rows_under_a_header_decide_which_of_its_columns_hold_indicators() {
    let described = "note,ioc,address,host\n1,Possible C2 server,203.0.113.80,\n";
    for (text, expected, format) in [
        (described.to_owned(), &["203.0.113.80"][..], "`address`"),
        // In the middle of a file, under a header that may follow `#`.
        (
            format!("#ip,source\n203.0.113.7,x\n#{described}"),
            &["203.0.113.7", "203.0.113.80"],
            "`ip`, then CSV, indicators in column `address`",
        ),
        (
            "url,md5,domain,date\n,,a.example,1\n,-,b.example,2\n".to_owned(),
            &["a.example", "b.example"],
            "`domain`",
        ),
        // One value is enough, and so is a type.
        (
            "ioc,ip\nnone,192.0.2.1\na.example,192.0.2.1\n".to_owned(),
            &["!2", "a.example"],
            "`ioc`",
        ),
        (
            "type,value,ip\nfilename,some words,192.0.2.1\n".to_owned(),
            &["some words"],
            "`value`",
        ),
        ("ioc,date\nwords,1\n".to_owned(), &["!2"], "`ioc`"),
        ("ioc,host\nwords,pc1\n".to_owned(), &["!2"], "`ioc`"),
        (
            "uri,ip\n/gate.php,192.0.2.1\n".to_owned(),
            &["/gate.php"],
            "`uri`",
        ),
        (
            "ip,domain,note\n192.0.2.1,a.example,\"two\nlines\"\n-,b.example,x\n".to_owned(),
            &["192.0.2.1", "!4"],
            "`ip`",
        ),
    ] {
        assert_eq!(values(&text), expected, "{text}");
        let (_, report) = read_with(&Options::default(), &text).expect("a table");
        assert!(report.format.ends_with(format), "{}", report.format);
    }
    let chosen = with_column(described, "ioc").expect("a column");
    assert_eq!(chosen, ["CSV, indicators in column `ioc`", "0"]);
}

#[test]
fn a_header_may_come_again_and_another_one_too() {
    let text = "# header\nfirst_seen_utc,dst_ip,dst_port,c2_status\n\
        2024-05-01 10:00:00,203.0.113.7,443,online\n\
        first_seen_utc,dst_ip,dst_port,c2_status\n\
        2024-05-01 10:00:00,203.0.113.8,443,online\n\
        # \"first_seen_utc\",\"ioc_id\",\"ioc_value\",\"ioc_type\",\"threat_type\"\n\
        \"2024-05-01 10:00:00\", \"1\", \"203.0.113.7:443\", \"ip:port\", \"botnet_cc\"\n\
        \"2024-05-01 10:00:00\", \"2\", \"CVE-2024-1\", \"cve\", \"x\"\n";
    let expected = [
        "203.0.113.7",
        "203.0.113.8",
        "203.0.113.7:443",
        "?CVE-2024-1",
    ];
    assert_eq!(values(text), expected);
}

#[test]
fn misp_and_otx_say_the_type() {
    let misp = "uuid,event_id,category,type,value,comment,to_ids,date\n\
        00000000-0000-4000-8000-00000000000A,1,\"Network activity\",ip-dst|port,203.0.113.7|443,,1,20240501\n\
        00000000-0000-4000-8000-00000000000b,1,x,url,/gate.php,,1,20240501\n\
        00000000-0000-4000-8000-00000000000c,1,x,domain,a.example,,0,20240501\n";
    let found = messages(misp);
    let ids: Vec<&str> = found.iter().flatten().map(|one| &*one.id).collect();
    let expected = [
        "indicator--00000000-0000-4000-8000-00000000000a",
        "indicator--00000000-0000-4000-8000-00000000000b",
    ];
    assert_eq!(ids, expected);
    let otx = "Indicator type,Indicator,Description\nFileHash-MD5,d41d8cd98f00b204e9800998ecf8427e,\nhostname,c2.example,x\nURL,http://c2.example/,\nYARA,abc,\n";
    let expected = [
        "d41d8cd98f00b204e9800998ecf8427e",
        "c2.example",
        "http://c2.example/",
        "?abc",
    ];
    assert_eq!(values(otx), expected);
}

#[test]
fn without_a_header_the_one_column_of_values_counts() {
    let row = |n: u32, url: &str, more: &str| format!("{n};{url};online;{more}\n");
    let rows: String = (0..9)
        .map(|n| row(n, &format!("http://a{n}.example/"), "x"))
        .collect();
    let text = rows.clone() + &row(10, "gone", "x");
    assert_eq!(values(&text).len(), 10);
    assert_eq!(values(&text)[9], "!10");
    let two: String = (0..9)
        .map(|n| row(n, "http://a.example/", "192.0.2.1"))
        .collect();
    let error = read_with(&Options::default(), &two).expect_err("two columns");
    let words = error.to_string();
    assert!(
        matches!(error, Error::Columns(_)) && words.contains("--indicators-column"),
        "{words}"
    );
    let expected = ["CSV, indicators in column 4".to_owned(), "9".to_owned()];
    assert_eq!(with_column(&two, "4").expect("a column"), expected);
    let quoted = "\"Name\",\"Risk\"\n\"192.0.2.1\",\"99\"\n\"192.0.2.2\",\"x, y\"\n";
    assert_eq!(values(quoted), ["192.0.2.1", "192.0.2.2"]);
    let sums = "d41d8cd98f00b204e9800998ecf8427f,a.exe\n5d41402abc4b2a76b9719d911017c592,b.exe\n";
    assert_eq!(values(sums).len(), 2);
    // Unknown column names.
    let named = "Adresse,Bemerkung\n192.0.2.1,x\n192.0.2.2,y\n";
    assert_eq!(values(named), ["192.0.2.1", "192.0.2.2"]);
}

#[test]
fn the_reputation_data_of_alienvault_are_a_table() {
    let rows = "203.0.113.7#4#2#Malicious Host#CN#Beijing#39.9,116.4#3\n\
                203.0.113.8#4#2#Scanning Host;Malicious Host#US##38.0,-97.0#11;3\n";
    assert_eq!(values(rows), ["203.0.113.7", "203.0.113.8"]);
    let found = messages(rows);
    let properties = found[1].as_ref().and_then(|one| one.properties.as_ref());
    let properties: Value = serde_json::from_str(properties.expect("some").get()).expect("JSON");
    assert_eq!(properties["activity"], "Scanning Host;Malicious Host");
    let (_, report) = read_as(FileFormat::Csv, rows);
    assert_eq!(report.format, "CSV, indicators in column `ip`");
    assert_eq!(
        values("203.0.113.7\n203.0.113.8#c2\n"),
        ["203.0.113.7", "!2"]
    );
}

#[test]
fn a_column_can_be_named() {
    let text = "url,host,note\nhttp://a.example/,b.example,x\n";
    let expected = [
        "CSV, indicators in column `host`".to_owned(),
        "1".to_owned(),
    ];
    assert_eq!(with_column(text, "Host").expect("a column"), expected);
    assert_eq!(with_column(text, "2").expect("a column"), expected);
    for column in ["none", "7"] {
        let error = with_column(text, column).expect_err(column).to_string();
        assert!(error.contains("url, host, note"), "{error}");
    }
}

#[test]
fn rows_that_are_wrong_are_named_by_line() {
    let text = "ioc,note\n192.0.2.1,\"two\nlines\"\nnothing,x\n,y\n\"192.0.2.2,z\n192.0.2.3,ü\n";
    assert_eq!(values(text), ["192.0.2.1", "!4", "!5", "!6", "192.0.2.3"]);
    let latin = [&b"ioc,note\n192.0.2.1,\xfc\n"[..], b"192.0.2.2,x\n"].concat();
    assert_eq!(values(latin), ["192.0.2.1", "192.0.2.2"]);
    let latin = [&b"ioc,note\n\xfc.example,x\n"[..], b"192.0.2.2,x\n"].concat();
    assert_eq!(values(latin), ["!2", "192.0.2.2"]);
}

#[test]
fn what_is_given_as_csv_and_is_not_is_an_error() {
    let options = Options {
        format: Some(FileFormat::Csv),
        column: None,
    };
    for text in ["one word\nand another\n", "a,b\nc,d\n"] {
        let error = read_with(&options, text).expect_err(text);
        assert!(matches!(error, Error::NoFeed(_)), "{error}");
    }
}

#[test]
fn a_first_cell_that_is_empty_is_one() {
    for delimiter in [',', '\t'] {
        let text = "\nDurlDnote\n0Dhttp://a.example/Dx\nDhttp://b.example/Dy\n";
        let text = text.replace('D', &delimiter.to_string());
        assert_eq!(values(&text), ["http://a.example/", "http://b.example/"]);
    }
}

/// The cells of a line, parsed as a row.
fn read_cells(line: &str, delimiter: u8) -> Vec<String> {
    let rows = Rows::new(line.as_bytes(), delimiter, Layout::at(vec![], 0));
    let mut reader = builder(delimiter).from_reader(rows);
    let mut record = csv::ByteRecord::new();
    match reader.read_byte_record(&mut record) {
        Ok(true) => record
            .iter()
            .map(|cell| String::from_utf8_lossy(cell).into_owned())
            .collect(),
        _ => vec![],
    }
}

#[test]
fn what_is_no_list_is_read_as_a_table() {
    let url = "http://bad.example/gate.php";
    for (row, value) in [
        (format!("{url};online"), url),
        (format!("{url}|online|2024/05/01"), url),
        (format!("{url};https://ref.example/a?b=c"), url),
        (format!("{url},online"), url),
        (format!("{url},\"elf,mirai\""), url),
        ("bad.example/gate.php;c2".to_owned(), "bad.example/gate.php"),
        ("203.0.113.0/28;c2".to_owned(), "203.0.113.0/28"),
        ("203.0.113.0/28,".to_owned(), "203.0.113.0/28"),
        ("203.0.113.0/28,c2,x".to_owned(), "203.0.113.0/28"),
    ] {
        let text = format!("{row}\n{row}\n");
        let read = read_with(&Options::default(), &text);
        if row.contains("ref.example") {
            let error = read.expect_err("two columns").to_string();
            assert!(error.contains("columns 1 and 2"), "{error}");
            continue;
        }
        let (_, report) = read.expect("a table");
        assert_eq!(report.format, "CSV, indicators in column 1", "{row}");
        assert_eq!(values(&text), [value, value], "{row}");
        let named = format!(
            "malicious link{}what\n{text}",
            &row[value.len()..=value.len()]
        );
        assert_eq!(values(&named), [value, value], "{named}");
    }
    let ragged = "203.0.113.0/28,c2,x\n203.0.113.16/28,c2\n";
    assert_eq!(values(ragged), ["203.0.113.0/28", "203.0.113.16/28"]);
    for either in [
        "http://bad.example/a,elf,mirai\nhttp://bad.example/x,exe\n",
        "http://bad.example/x,y/z\nhttp://bad.example/p,q/r\n",
        "http://bad.example/page,1.html\nhttp://bad.example/page,2.html\n",
    ] {
        let error = read_with(&Options::default(), either).expect_err(either);
        assert!(error.to_string().contains("list or csv"), "{error}");
    }
    let beside = "bad.example,c2,http://ref.example/x.txt\n".repeat(3);
    let error = read_with(&Options::default(), &beside).expect_err("two columns");
    assert!(error.to_string().contains("columns 1 and 3"), "{error}");
    let some = "http://bad.example/a,b\nhttp://bad.example/c\nhttp://bad.example/d\n";
    let all = [
        "http://bad.example/a,b",
        "http://bad.example/c",
        "http://bad.example/d",
    ];
    assert_eq!(values(some), all);
    let (_, report) = read_with(&Options::default(), some).expect("a list");
    let doubt = report.doubt().expect("one line may be a row");
    assert!(doubt.starts_with("1 URL(s)") && doubt.contains("line 1: \"http://bad.example/a,b\""));
    let (found, report) = read_as(FileFormat::List, some);
    assert_eq!((found.len(), report.doubt()), (3, None));
    let (found, report) = read_as(FileFormat::Csv, some);
    assert_eq!((found.len(), report.usable, report.doubt()), (3, 3, None));
    assert_eq!(report.format, "CSV, indicators in column 1");
    let ragged = "203.0.113.7,a\nbad.example,b,c\n203.0.113.8\n";
    assert_eq!(
        values(ragged),
        ["203.0.113.7", "bad.example", "203.0.113.8"]
    );
    for one in [
        "http://bad.example/a;b=c",
        "http://bad.example/a?b=c;d=e",
        "http://bad.example/a?b|c/d",
        "http://bad.example/#a;b=c",
    ] {
        let text = format!("{one}\n{one}\n");
        let (_, report) = read_with(&Options::default(), &text).expect("a list");
        assert_eq!(report.format, "list of values, one a line", "{one}");
        assert_eq!(values(&text), [one, one]);
    }
    let rows = "203.0.113.7\n203.0.113.0/28,c2\nbad.example/x,malware,2024-05-01\n203.0.113.8,\n";
    assert_eq!(values(rows), ["203.0.113.7", "!2", "!3", "203.0.113.8"]);
}

#[test]
fn what_is_said_about_an_indicator_is_none() {
    for text in [
        "family,reference\nX,https://blog.example/a\n",
        "malware,reporter,port\nX,phish@bad.example,80\n",
        "threat,source\nX,feed.example\n",
        "imphash,family\nfedcba9876543210fedcba9876543210,x\n",
    ] {
        let error = read_with(&Options::default(), text)
            .expect_err(text)
            .to_string();
        assert!(error.contains("no column holds indicators"), "{error}");
    }
    let one = "name,what,reference\nX,bad.example,https://blog.example/a\n";
    assert_eq!(values(one), ["bad.example"]);
    let log = "timestamp,src_ip,src_port,dest_ip,dest_port\n2024,192.0.2.10,4,203.0.113.7,443\n";
    let error = read_with(&Options::default(), log)
        .expect_err("a log")
        .to_string();
    assert!(
        error.contains("both ends") && error.contains("--indicators-column"),
        "{error}"
    );
    assert_eq!(with_column(log, "dest_ip").expect("a column")[1], "1");
    let dshield = "Start\tEnd\tNetmask\tName\temail\n\
        203.0.113.0\t203.0.113.255\t24\tX\ta@b.example\n";
    let (found, report) = read_with(&Options::default(), dshield).expect("ranges");
    assert!(
        report
            .format
            .contains("ranges of addresses in columns `Start`, `End`")
    );
    let network = messages(dshield)[0]
        .as_ref()
        .map(|one| one.observables[0].to_string());
    assert_eq!(
        (found.len(), network.as_deref()),
        (1, Some("203.0.113.0/24"))
    );
    // Its list of blocks has the mask under the name of the network.
    let blocks = dshield.replace("Netmask", "Netblock");
    let network = messages(blocks)[0]
        .as_ref()
        .map(|one| one.observables[0].to_string());
    assert_eq!(network.as_deref(), Some("203.0.113.0/24"));
}

#[test]
fn types_of_misp_that_no_event_holds_are_unsupported() {
    for head in ["type,value", "type,to_ids,value"] {
        let to_ids = if head.contains("to_ids") { ",1" } else { "" };
        let rows = "linkD,https://blog.example/a\nip-dstD,203.0.113.7\notherD,bad.example\n";
        let text = format!("{head}\n{}", rows.replace('D', to_ids));
        let expected = ["?https://blog.example/a", "203.0.113.7", "?bad.example"];
        assert_eq!(values(text), expected);
    }
    assert_eq!(
        values("type,to_ids,value\nnew-type,1,a.example\n"),
        ["?a.example"]
    );
    assert_eq!(values("ioc,type\na.example,botnet_cc\n"), ["a.example"]);
}

#[test]
fn titles_separators_and_single_quotes_are_read_over() {
    for (text, expected) in [
        (
            "IOC report of ACME\n\nType,Value,Notes\nIP,203.0.113.7,x\n",
            vec!["!1", "203.0.113.7"],
        ),
        (
            "IOC report\nioc;what\nhttp://bad.example/;x\n",
            vec!["!1", "http://bad.example/"],
        ),
        (
            "sep=;\r\nIOC;Note\r\n203.0.113.7;x\r\n",
            vec!["203.0.113.7"],
        ),
        ("'type','value'\n'ip','203.0.113.7'\n", vec!["203.0.113.7"]),
    ] {
        assert_eq!(values(text), expected, "{text}");
    }
    let text = "domain,ip\nbad.example,203.0.113.7\n,203.0.113.8\n";
    let (_, report) = read_with(&Options::default(), text).expect("a table");
    assert!(
        report.rejections[0]
            .1
            .ends_with("no indicator in column `domain`")
    );
    let list = with_column("203.0.113.7\nbad.example\n", "1").expect("a list");
    assert_eq!(list[0], "list of values, one a line");
}

proptest! {
    #[test]
    fn no_row_is_lost_by_stray_quotation_marks(
        cells in proptest::collection::vec("\"{0,2}[a-c ]{0,2}\"{0,2}", 1..40),
    ) {
        let rows = cells.iter().enumerate();
        let rows: String = rows.map(|(n, cell)| format!("a{n}.example,{cell},1\n")).collect();
        let table = "ioc,note,date\n".to_owned() + &rows;
        let (found, _) = read_with(&Options::default(), table).expect("a table");
        prop_assert_eq!(found.len(), cells.len(), "{}", rows);
    }

    /// For rows as in RFC 4180, except for blanks.
    #[test]
    fn a_line_of_a_sample_has_the_cells_that_are_read(
        cells in proptest::collection::vec(
            prop_oneof!["( ?[a-cü][a\" ]{0,3})?", " ?\"([a-cü,;\t ]|\"\"){0,6}\" ?"],
            1..6,
        ),
        delimiter in prop_oneof![Just(','), Just('\t'), Just(';')],
    ) {
        let line = cells.join(&delimiter.to_string());
        let delimiter = u8::try_from(delimiter).expect("it is ASCII");
        let read = read_cells(&line, delimiter);
        // An empty row is not a row.
        prop_assume!(!read.is_empty());
        prop_assert_eq!(split(&line, delimiter), read, "{:?}", line);
    }
}
