//! Query strings: decoded once, each parameter at most once.

use coffer_api::Map;

use crate::error::{Error, Result};
use crate::model::limits::LIST_ITEMS_MAX;

/// The parameters of a URL, in the order they came.
#[derive(Debug, Clone, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// `+` is a space here, `%2B` a plus (the form encoding of URLs).
    pub fn parse(query: Option<&str>) -> Self {
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned()
        };
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (decode(name), decode(value)))
                .collect(),
        )
    }

    /// All of them, for a form.
    pub fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }

    /// SECURITY: a parameter that stands twice is refused, so that no two readers take different ones.
    pub fn find(&self, name: &str) -> Result<Option<&str>> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Error::invalid(name, "stands twice in the query")),
            (value, None) => Ok(value.map(String::as_str)),
        }
    }

    /// The text of a parameter, empty when it is absent.
    pub fn text(&self, name: &str) -> Result<String> {
        Ok(self.find(name)?.unwrap_or_default().to_owned())
    }

    /// A whole number, if it is there.
    pub fn number(&self, name: &str) -> Result<Option<i64>> {
        match self.find(name)? {
            None => Ok(None),
            Some(text) => {
                text.parse().map(Some).map_err(|_| Error::invalid(name, "is not a whole number"))
            }
        }
    }

    /// `true` or `false`; absent is false.
    pub fn flag(&self, name: &str) -> Result<bool> {
        match self.find(name)? {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(_) => Err(Error::invalid(name, "must be `true` or `false`")),
        }
    }

    /// The words of a comma list.
    pub fn words(&self, name: &str) -> Result<Vec<String>> {
        let text = self.find(name)?.unwrap_or_default();
        Ok(text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect())
    }

    /// `limit` of a list: 1–1000.
    pub fn limit(&self) -> Result<Option<usize>> {
        match self.number("limit")? {
            None => Ok(None),
            Some(limit) if (1..=LIST_ITEMS_MAX).contains(&limit) => Ok(usize::try_from(limit).ok()),
            Some(_) => Err(Error::invalid("limit", "must be 1 to 1000")),
        }
    }

    /// Every `matchLabels[<key>]=<value>`.
    pub fn labels(&self) -> Result<Map> {
        let mut labels = Map::new();
        for (name, value) in &self.0 {
            let key = name.strip_prefix("matchLabels[").and_then(|rest| rest.strip_suffix(']'));
            if let Some(key) = key.filter(|key| !key.is_empty() && !value.is_empty()) {
                self.find(name)?;
                labels.insert(key.to_owned(), value.clone());
            }
        }
        Ok(labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_once() {
        let params =
            Params::parse(Some("path=%2Fapp%2Fa%2Bb&x=%252F&flag&matchLabels%5Benv%5D=prod"));
        assert_eq!(params.find("path").unwrap(), Some("/app/a+b"));
        assert_eq!(params.find("x").unwrap(), Some("%2F"));
        assert_eq!(params.find("flag").unwrap(), Some(""));
        assert_eq!(params.labels().unwrap(), Map::from([("env".into(), "prod".into())]));
        assert!(Params::parse(Some("a=1&a=1")).find("a").is_err());
        for bad in ["limit=0", "limit=1001", "limit=x", "limit=-1", "limit=1&limit=2"] {
            assert!(Params::parse(Some(bad)).limit().is_err(), "{bad}");
        }
    }
}
