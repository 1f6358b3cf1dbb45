//! Certificates of the test's own.

use std::{fs, path::Path};

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};

/// The files of a certificate and its key.
pub(crate) struct Pair {
    pub(crate) folder: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Pair {
    /// Makes one for `localhost` that is good for so many days, in a folder of this name.
    pub(crate) fn write(place: &Path, name: &str, days: i64) -> Self {
        let folder = place.join(name);
        fs::create_dir_all(&folder).unwrap();
        let path = |file: &str| folder.join(file).display().to_string();
        let pair = Self {
            folder: folder.display().to_string(),
            certificate: path("fullchain.pem"),
            key: path("privkey.pem"),
        };
        let key = rcgen::KeyPair::generate().unwrap();
        let mut wish = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let day = |days: i64| {
            let date = today.checked_add(days.days()).unwrap();
            let number = |number: i8| u8::try_from(number).unwrap();
            rcgen::date_time_ymd(date.year().into(), number(date.month()), number(date.day()))
        };
        (wish.not_before, wish.not_after) = (day(-1), day(days));
        let certificate = wish.self_signed(&key).unwrap();
        fs::write(&pair.key, key.serialize_pem()).unwrap();
        fs::write(&pair.certificate, certificate.pem()).unwrap();
        pair
    }

    /// Puts this key where that of another pair is.
    pub(crate) fn copy_key(&self, other: &Self) {
        fs::copy(&self.key, &other.key).unwrap();
    }
}
