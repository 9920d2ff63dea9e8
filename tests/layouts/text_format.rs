//! Protobuf's text format, as strict as a reader without the message definition can be: every field by its path, in order.

/// A scalar by the path of its field: `input.dims`, `model_warmup.inputs.value.zero_data`.
pub(crate) type Field = (String, String);

/// Every scalar of a message.
///
/// # Panics
/// If the text is not protobuf's text format.
pub(crate) fn parse(text: &str) -> Vec<Field> {
    let mut parser = Parser { tokens: tokens(text), at: 0, fields: Vec::new() };
    parser.message("", None);
    parser.fields
}

/// The values of a field, in order.
pub(crate) fn values<'f>(fields: &'f [Field], path: &str) -> Vec<&'f str> {
    fields.iter().filter(|(field, _)| field == path).map(|(_, value)| value.as_str()).collect()
}

/// The messages of a repeated field, which begin with `first`.
pub(crate) fn messages(fields: &[Field], path: &str, first: &str) -> Vec<Vec<Field>> {
    let prefix = format!("{path}.");
    let mut all: Vec<Vec<Field>> = Vec::new();
    for (field, value) in fields {
        let Some(inner) = field.strip_prefix(&prefix) else { continue };
        if inner == first {
            all.push(Vec::new());
        }
        all.last_mut()
            .unwrap_or_else(|| panic!("{path} begins with {inner}, not {first}"))
            .push((inner.to_owned(), value.clone()));
    }
    all
}

fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(&c) = rest.peek() {
        if c.is_whitespace() {
            rest.next();
        } else if "{}[]:,".contains(c) {
            tokens.push(c.to_string());
            rest.next();
        } else if c == '"' {
            rest.next();
            let mut string = String::from('"');
            loop {
                match rest.next().expect("a string ends") {
                    '"' => break,
                    '\\' | '\n' => panic!("no string here has an escape or a line break"),
                    c => string.push(c),
                }
            }
            tokens.push(string);
        } else {
            let mut word = String::new();
            while let Some(c) = rest.next_if(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)) {
                word.push(c);
            }
            assert!(!word.is_empty(), "`{c}` begins nothing");
            tokens.push(word);
        }
    }
    tokens
}

struct Parser {
    tokens: Vec<String>,
    at: usize,
    fields: Vec<Field>,
}

impl Parser {
    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.at).map(String::as_str)
    }

    fn next(&mut self) -> String {
        let token = self.tokens.get(self.at).expect("the text goes on").clone();
        self.at += 1;
        token
    }

    fn take(&mut self, token: &str) -> bool {
        let there = self.peek() == Some(token);
        self.at += usize::from(there);
        there
    }

    fn message(&mut self, path: &str, end: Option<&str>) {
        while self.peek() != end {
            let name = self.next();
            assert!(name.starts_with(|c: char| c.is_ascii_lowercase()), "`{name}` is no field");
            let path = if path.is_empty() { name } else { format!("{path}.{name}") };
            let colon = self.take(":");
            if self.take("[") {
                while !self.take("]") {
                    self.value(&path, colon);
                    assert!(self.take(",") || self.peek() == Some("]"), "{path}: values are separated by commas");
                }
            } else {
                self.value(&path, colon);
            }
        }
        self.at += usize::from(end.is_some());
    }

    fn value(&mut self, path: &str, colon: bool) {
        if self.take("{") {
            return self.message(path, Some("}"));
        }
        assert!(colon, "{path}: a scalar needs a colon");
        let value = self.next();
        assert!(!"{}[]:,".contains(value.as_str()), "{path}: `{value}` is no value");
        self.fields.push((path.to_owned(), value.trim_start_matches('"').to_owned()));
    }
}

#[test]
fn the_reader_takes_messages_lists_and_scalars_and_nothing_else() {
    let fields = parse("a: 1\nb [ { c: \"x y\" d: [ 1, -2 ] }, { c: \"z\" } ] e: { shape: [ ] }");
    assert_eq!(values(&fields, "b.d"), ["1", "-2"]);
    assert_eq!(messages(&fields, "b", "c").len(), 2);
    for broken in ["a 1", "a: [ 1 2 ]", "a: { b: 1", "a: }", "A: 1", "a: \"x", "a: 1;"] {
        assert!(std::panic::catch_unwind(|| parse(broken)).is_err(), "{broken}");
    }
}
