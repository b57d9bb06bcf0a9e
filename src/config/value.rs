//! The types of values that settings have: how each is read, shown, and what it may be in words. Which setting has
//! which is the table in `config.rs`.

use toml::Value;

/// A setting that is one of a few words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$word_doc])* $variant,)* }

        impl $name {
            /// As the file has it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl Setting for $name {
            fn read(value: &Value, _: &[f64]) -> Option<Self> {
                match value.as_str()? { $($word => Some(Self::$variant),)* _ => None }
            }
            fn show(&self) -> String {
                format!("\"{}\"", self.as_str())
            }
            fn accepted(_: &[f64]) -> String {
                format!("one of {}", [$(concat!('"', $word, '"')),*].join(", "))
            }
        }
    };
}

/// A type of value: how it is read, written, and what it may be in words.
pub trait Setting: Sized {
    fn read(value: &Value, bounds: &[f64]) -> Option<Self>;
    fn show(&self) -> String;
    fn accepted(bounds: &[f64]) -> String;
}

impl Setting for u32 {
    fn read(value: &Value, bounds: &[f64]) -> Option<Self> {
        let number = u32::try_from(value.as_integer()?).ok()?;
        (bounds[0]..=bounds[1]).contains(&f64::from(number)).then_some(number)
    }
    fn show(&self) -> String {
        self.to_string()
    }
    fn accepted(bounds: &[f64]) -> String {
        format!("a whole number from {} to {}", bounds[0], bounds[1])
    }
}

impl Setting for bool {
    fn read(value: &Value, _: &[f64]) -> Option<Self> {
        // From the environment everything that is no number comes as a text.
        value.as_bool().or_else(|| value.as_str()?.parse().ok())
    }
    fn show(&self) -> String {
        self.to_string()
    }
    fn accepted(_: &[f64]) -> String {
        "true or false".to_owned()
    }
}

impl Setting for f64 {
    fn read(value: &Value, bounds: &[f64]) -> Option<Self> {
        let number = value.as_float().or_else(|| Some(value.as_integer()? as f64))?;
        (bounds[0]..=bounds[1]).contains(&number).then_some(number)
    }
    fn show(&self) -> String {
        format!("{self:?}")
    }
    fn accepted(bounds: &[f64]) -> String {
        format!("a number from {} to {}", bounds[0], bounds[1])
    }
}

impl Setting for String {
    fn read(value: &Value, _: &[f64]) -> Option<Self> {
        value.as_str().filter(|text| !text.chars().any(char::is_control)).map(str::to_owned)
    }
    fn show(&self) -> String {
        // Control characters are refused, so that nothing else has to be escaped.
        format!("\"{}\"", self.replace('\\', r"\\").replace('"', "\\\""))
    }
    fn accepted(_: &[f64]) -> String {
        "a text on one line".to_owned()
    }
}

/// Where a server is, never with a password: what stood there as one is not even read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerUrl(String);

impl ServerUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address without its password, and the password as it was written, where there is one. Everything up to the
    /// last `@` is taken for name and password, so that one with a `/` in it is not left standing.
    pub fn split(text: &str) -> (Self, Option<&str>) {
        let start = text.find("://").map_or(0, |at| at + 3);
        let parted = text[start..].rfind('@').and_then(|end| {
            let colon = text[start..start + end].find(':')?;
            Some((start + colon, start + end))
        });
        match parted {
            Some((colon, at)) => (Self(format!("{}{}", &text[..colon], &text[at..])), Some(&text[colon + 1..at])),
            None => (Self(text.to_owned()), None),
        }
    }
}

impl Setting for ServerUrl {
    fn read(value: &Value, bounds: &[f64]) -> Option<Self> {
        <String as Setting>::read(value, bounds).map(|text| Self::split(&text).0)
    }
    fn show(&self) -> String {
        Setting::show(&self.0)
    }
    fn accepted(_: &[f64]) -> String {
        "an address like mysql://user@host:6001/database".to_owned()
    }
}
