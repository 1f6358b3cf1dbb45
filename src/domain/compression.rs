//! How the body of a batch is compressed on its way to a web application.

use std::{
    fmt,
    io::{self, Read as _, Write as _},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// Level of zstd: its own default; JSON becomes about a tenth.
const ZSTD_LEVEL: i32 = 3;

/// A content coding, named as in HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As it is.
    #[default]
    None,
    /// RFC 1952; every web server reads it.
    Gzip,
    /// RFC 8878; smaller and quicker.
    Zstd,
}

impl Compression {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::None, Self::Gzip, Self::Zstd];

    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The `Content-Encoding`, if there is one.
    #[must_use]
    pub const fn coding(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip | Self::Zstd => Some(self.word()),
        }
    }

    /// Compresses a body.
    ///
    /// # Errors
    /// The library has no memory left.
    pub fn encode(self, body: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(body.to_vec()),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(body)?;
                encoder.finish()
            }
            Self::Zstd => zstd::bulk::compress(body, ZSTD_LEVEL),
        }
    }

    /// Reads a compressed body of at most `most` bytes.
    ///
    /// # Errors
    /// It is not so compressed, or larger.
    pub fn decode(self, body: &[u8], most: usize) -> io::Result<Vec<u8>> {
        let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        let mut out = Vec::new();
        match self {
            Self::None => body.take(limit).read_to_end(&mut out),
            Self::Gzip => flate2::read::GzDecoder::new(body)
                .take(limit)
                .read_to_end(&mut out),
            Self::Zstd => zstd::stream::read::Decoder::new(body)?
                .take(limit)
                .read_to_end(&mut out),
        }?;
        if out.len() > most {
            return Err(io::Error::other(format!("more than {most} bytes")));
        }
        Ok(out)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Compression {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|coding| coding.word() == text)
            .ok_or("one of none, gzip, zstd")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_is_smaller_and_comes_back() {
        let body = r#"{"amount": 112.00, "terminal_id": 4}"#.repeat(200).into_bytes();
        for coding in Compression::ALL {
            assert_eq!(coding.word().parse(), Ok(coding));
            let sent = coding.encode(&body).unwrap();
            assert_eq!(sent.len() < body.len() / 10, coding != Compression::None);
            assert_eq!(coding.decode(&sent, body.len()).unwrap(), body);
            assert!(coding.decode(&sent, body.len() - 1).is_err(), "a bomb");
        }
        for coding in [Compression::Gzip, Compression::Zstd] {
            assert!(coding.decode(&body, body.len()).is_err(), "not compressed");
        }
    }
}
