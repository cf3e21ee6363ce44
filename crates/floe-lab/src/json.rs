//! JSON as the page and the engine exchange it: objects, lists, texts, truths and whole numbers of 64 bits.
//!
//! It is written out here, and not a library's, because of its size: the engine travels to every page that shows it, and
//! a reader that knows all of JSON and every shape of Rust's types is a third of it. There are no fractions: nothing that
//! the engine is told has any.

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Flag(bool),
    Number(Number),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

/// A whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) is_negative: bool,
    pub(crate) magnitude: u64,
}

/// No value is nested deeper.
const DEEPEST: u32 = 32;

impl Json {
    /// The value of a text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        reader.skip();
        match reader.peek() {
            None => Ok(value),
            Some(_) => Err(reader.complain("more than one value")),
        }
    }

    /// A number.
    pub(crate) fn number(magnitude: u64) -> Self {
        Self::Number(Number { is_negative: false, magnitude })
    }

    /// A field of an object.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(fields) = self else { return None };
        fields.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The number that it is, if it is one and not negative.
    pub(crate) fn as_number(&self) -> Option<u64> {
        match self {
            Self::Number(Number { is_negative: false, magnitude }) => Some(*magnitude),
            _ => None,
        }
    }

    /// The text that it is.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Appends it as text.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Flag(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Self::Number(Number { is_negative, magnitude }) => {
                if *is_negative {
                    out.push('-');
                }
                out.push_str(&magnitude.to_string());
            }
            Self::Text(text) => floe_sim::quote(out, text),
            Self::List(items) => {
                out.push('[');
                for (number, item) in items.iter().enumerate() {
                    if number > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (number, (name, value)) in fields.iter().enumerate() {
                    if number > 0 {
                        out.push(',');
                    }
                    floe_sim::quote(out, name);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// It as text.
    pub(crate) fn to_text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }
}

/// Reads a text from its front.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn complain(&self, what: &str) -> String {
        format!("{what}, at byte {}", self.at)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self) {
        while self.peek().is_some_and(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn take(&mut self, word: &str) -> bool {
        let is_there = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        if is_there {
            self.at += word.len();
        }
        is_there
    }

    fn value(&mut self, depth: u32) -> Result<Json, String> {
        if depth > DEEPEST {
            return Err(self.complain("it is nested too deep"));
        }
        self.skip();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.whole().map(Json::Number),
            _ if self.take("null") => Ok(Json::Null),
            _ if self.take("true") => Ok(Json::Flag(true)),
            _ if self.take("false") => Ok(Json::Flag(false)),
            Some(_) => Err(self.complain("there is no value")),
            None => Err(self.complain("it ends where a value should be")),
        }
    }

    fn object(&mut self, depth: u32) -> Result<Json, String> {
        self.at += 1;
        let mut fields: Vec<(String, Json)> = Vec::new();
        self.skip();
        if self.take("}") {
            return Ok(Json::Object(fields));
        }
        loop {
            self.skip();
            if self.peek() != Some(b'"') {
                return Err(self.complain("there is no name of a field"));
            }
            let name = self.string()?;
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(self.complain(&format!("`{name}` is there twice")));
            }
            self.skip();
            if !self.take(":") {
                return Err(self.complain("there is no colon after the name of a field"));
            }
            fields.push((name, self.value(depth + 1)?));
            self.skip();
            if self.take("}") {
                return Ok(Json::Object(fields));
            }
            if !self.take(",") {
                return Err(self.complain("an object does not end"));
            }
        }
    }

    fn list(&mut self, depth: u32) -> Result<Json, String> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip();
        if self.take("]") {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip();
            if self.take("]") {
                return Ok(Json::List(items));
            }
            if !self.take(",") {
                return Err(self.complain("a list does not end"));
            }
        }
    }

    fn whole(&mut self) -> Result<Number, String> {
        let is_negative = self.take("-");
        let begin = self.at;
        let mut magnitude = 0u64;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            let more = magnitude.checked_mul(10).and_then(|tens| tens.checked_add(u64::from(digit - b'0')));
            magnitude = more.ok_or_else(|| self.complain("the number has more than 64 bits"))?;
            self.at += 1;
        }
        if self.at == begin {
            return Err(self.complain("a number has no digits"));
        }
        if self.at > begin + 1 && self.text.as_bytes()[begin] == b'0' {
            return Err(self.complain("a number begins with 0"));
        }
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return Err(self.complain("only whole numbers are known here"));
        }
        Ok(Number { is_negative, magnitude })
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let begin = self.at;
            while self.peek().is_some_and(|byte| byte != b'"' && byte != b'\\' && byte >= b' ') {
                self.at += 1;
            }
            text.push_str(&self.text[begin..self.at]);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escaped()?);
                }
                Some(_) => return Err(self.complain("a text holds a control character")),
                None => return Err(self.complain("a text does not end")),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        let byte = self.peek();
        self.at += 1;
        match byte {
            Some(b'"') => Ok('"'),
            Some(b'\\') => Ok('\\'),
            Some(b'/') => Ok('/'),
            Some(b'b') => Ok('\u{8}'),
            Some(b'f') => Ok('\u{c}'),
            Some(b'n') => Ok('\n'),
            Some(b'r') => Ok('\r'),
            Some(b't') => Ok('\t'),
            Some(b'u') => {
                let mut code = self.four_digits()?;
                // Two halves, for what lies beyond the first plane.
                if (0xD800..0xDC00).contains(&code) && self.take("\\u") {
                    let low = self.four_digits()?;
                    if !(0xDC00..0xE000).contains(&low) {
                        return Err(self.complain("a text holds half a character"));
                    }
                    code = 0x1_0000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                }
                char::from_u32(code).ok_or_else(|| self.complain("a text holds half a character"))
            }
            _ => {
                self.at -= 1;
                Err(self.complain("a text holds an unknown escape"))
            }
        }
    }

    fn four_digits(&mut self) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else { return Err(self.complain("a text holds an unknown escape")) };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "[1",
            "[1,]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{\"a\":1,\"a\":2}",
            "tru",
            "1 2",
            "01",
            "-",
            "1.5",
            "1e3",
            "18446744073709551616",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"a\nb\"",
            "\"",
            "{1:2}",
        ] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
        assert!(Json::parse(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn texts_are_what_they_were() {
        let parsed = Json::parse(r#" "a\"\\\/\n\u0041\ud83d\ude00é" "#);
        assert_eq!(parsed, Ok(Json::Text("a\"\\/\nA😀é".to_owned())));
    }

    fn known() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                proptest::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_reads_and_writes_what_others_do(value in known()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let parsed = Json::parse(&text).map_err(TestCaseError::fail)?;
                let written: serde_json::Value = serde_json::from_str(&parsed.to_text()).unwrap();
                prop_assert_eq!(written, value.clone());
            }
        }

        #[test]
        fn it_refuses_no_less_than_others(text in "[\\[\\]{}\",:0-9a-z\\\\ -]{0,24}") {
            if Json::parse(&text).is_ok() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
            }
        }
    }
}
