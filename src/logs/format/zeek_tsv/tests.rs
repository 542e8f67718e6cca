use super::*;

fn header(lines: &str) -> Head {
    let mut head = Head::default();
    lines.lines().for_each(|line| head.take(line.as_bytes()));
    head
}

const CONN: &str = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n\
                    #unset_field\t-\n#path\tconn\n#open\t2024-03-05-10-00-00\n\
                    #fields\tts\thost\tnames\tn\n#types\ttime\taddr\tset[string]\tcount";

fn texts(head: &Head, line: &[u8]) -> Vec<String> {
    let header = head.header().expect("a header");
    let row = TsvRow::new(Some(header), line).expect("a row");
    let mut shown = Vec::new();
    for (column, cell) in row.cells() {
        let Cell::Value(value) = cell else { continue };
        match (column.kind, column.is_list) {
            (Type::Text | Type::Address, false) => {
                shown.push(format!("{} = {}", column.name, text(value)));
            }
            (_, true) => shown.extend(row.elements(value).filter_map(|cell| match cell {
                Cell::Value(value) => Some(format!("[]{} = {}", column.name, text(value))),
                _ => None,
            })),
            _ => {}
        }
    }
    shown
}

#[test]
fn a_header_says_what_the_columns_are() {
    let head = header(CONN);
    let columns = head.header().expect("a header").columns();
    let kinds: Vec<_> = columns.iter().map(|c| (c.kind, c.is_list)).collect();
    assert_eq!(
        kinds,
        [
            (Type::Double, false),
            (Type::Address, false),
            (Type::Text, true),
            (Type::Integer, false),
        ]
    );
    assert_eq!(columns[1].name, "host");
    // Without types, every column is text.
    let head = header("#fields\ta\tb");
    let columns = head.header().expect("a header").columns();
    assert!(columns.iter().all(|c| c.kind == Type::Text && !c.is_list));
}

#[test]
fn texts_are_decoded_and_lists_are_split() {
    let head = header(CONN);
    assert_eq!(
        texts(&head, b"1.0\t192.0.2.1\ta\\x2cb,(empty),-,\\xc3\\xbc\t7\r"),
        ["host = 192.0.2.1", "[]names = a,b", "[]names = \u{fc}"]
    );
    assert_eq!(
        texts(&head, b"-\t-\t(empty)\t-"),
        Vec::<String>::new(),
        "unset and empty"
    );
    // Zeek escapes these, so that they differ from the marks.
    assert_eq!(texts(&head, b"-\t-\t\\x2d\t-"), ["[]names = -"]);
}

#[test]
fn what_a_text_cannot_contain_stays_escaped() {
    for (cell, expected) in [
        (&b"plain"[..], "plain"),
        (b"a\\\\b", "a\\b"),
        (b"\\xff\\x00\\x41", "\\xff\\x00A"),
        (b"\xff\x07", "\\xff\\x07"),
        (b"C:\\Users\\x", "C:\\Users\\x"),
        (b"\\x0a\\x09", "\n\t"),
        (b"\\", "\\"),
        (b"\\x4", "\\x4"),
        (b"\\xzz", "\\xzz"),
        ("\u{fc}".as_bytes(), "\u{fc}"),
    ] {
        assert_eq!(text(cell), expected, "{cell:?}");
    }
}

#[test]
fn other_separators_are_those_of_the_header() {
    let head = header(
        "#separator \\x7c\\x7c\n#set_separator||;\n#empty_field||EMPTY\n#unset_field||\\x7e\n\
         #fields||a||b||c\n#types||string||vector[string]||string",
    );
    assert_eq!(
        texts(&head, b"x\ty||1;2;~||EMPTY"),
        ["a = x\ty", "[]b = 1", "[]b = 2"]
    );
    assert_eq!(texts(&head, b"-||~||(empty)"), ["a = -", "c = (empty)"]);
}

#[test]
fn a_new_header_counts_from_there_on() {
    let mut head = header(CONN);
    head.take(b"#close\t2024-03-05-11-00-00");
    assert!(head.header().is_some());
    head.take(b"#separator \\x2c");
    assert!(head.header().is_none());
    head.take(b"#fields,a,b");
    head.take(b"#types,string,string");
    assert_eq!(texts(&head, b"x,y"), ["a = x", "b = y"]);
}

#[test]
fn lines_that_are_not_rows_give_the_reason() {
    let head = header(CONN);
    let row = |head: &Head, line| TsvRow::new(head.header(), line).err();
    assert_eq!(row(&head, b"1\t2"), Some(NoRow::Cells(2, 4)));
    assert_eq!(row(&head, b"{}"), Some(NoRow::Cells(1, 4)));
    assert_eq!(row(&Head::default(), b"1\t2"), Some(NoRow::NoHeader));
    // The types do not fit the fields.
    let head = header("#fields\ta\tb\n#types\tstring");
    assert_eq!(row(&head, b"1\t2"), Some(NoRow::NoHeader));
}

#[test]
fn a_hostile_header_needs_little_memory() {
    let mut head = Head::default();
    head.take(&[b"#fields", &b"\t"[..].repeat(1 << 20)[..]].concat());
    assert!(head.header().is_none());
    assert!(head.names.capacity() <= 2 * MOST_COLUMNS + 2);
    head.take(&[b"#types", &b"\t"[..].repeat(1 << 20)[..]].concat());
    assert!(head.header().is_none());
}

#[test]
fn a_log_is_recognised_by_its_first_line() {
    assert_eq!(begins(b"#separator \\x09\n"), Some(true));
    assert_eq!(begins(b"#fields\tts"), Some(true));
    assert_eq!(begins(b"#sep"), None);
    assert_eq!(begins(b"#"), None);
    assert_eq!(begins(b"# a comment"), Some(false));
}

proptest::proptest! {
    #[test]
    fn no_line_panics(lines in proptest::collection::vec("[#a-z\t,\\\\x0-9(){}-]{0,40}", 0..8)) {
        let mut head = header(CONN);
        for line in &lines {
            if line.starts_with('#') {
                head.take(line.as_bytes());
            } else if let Ok(row) = TsvRow::new(head.header(), line.as_bytes()) {
                for (_, cell) in row.cells() {
                    if let Cell::Value(value) = cell {
                        assert!(!text(value).is_empty());
                    }
                }
            }
        }
    }
}
