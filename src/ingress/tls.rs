//! The certificate of the listener: read at the start, and again whenever its files change. A pair
//! that cannot be used leaves the one before in use, and is told in the log and in the metrics.

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use tokio_rustls::TlsAcceptor;
use x509_cert::{Certificate, der::Decode};

use super::IngressError;
use crate::{
    config::{self, TlsVersion},
    telemetry::metrics,
};

/// HTTP/2 among the protocols of a handshake.
pub(super) const H2: &[u8] = b"h2";
const HTTP11: &[u8] = b"http/1.1";

static FROM_12: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
static FROM_13: [&SupportedProtocolVersion; 1] = [&TLS13];

/// Largest file of certificates or keys that is read, in bytes.
const MOST_BYTES: u64 = 1024 * 1024;

/// When a file was written last, and its length: a change of either is a new file.
type Stamp = Option<(SystemTime, u64)>;

/// What new connections are encrypted with.
pub(super) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    versions: &'static [&'static SupportedProtocolVersion],
    current: RwLock<Pair>,
}

/// A certificate with its key, ready for use.
#[derive(Clone)]
struct Pair {
    config: Arc<ServerConfig>,
    /// Seconds since 1970.
    expires: u64,
    stamps: (Stamp, Stamp),
}

/// When the certificate of the settings ends, in seconds since 1970; `None` where none is set.
///
/// # Errors
/// The files cannot be used.
pub fn certificate_end(settings: &config::Ingress) -> Result<Option<u64>, IngressError> {
    if settings.tls_certificate.as_os_str().is_empty() {
        return Ok(None);
    }
    let pair = load(&settings.tls_certificate, &settings.tls_key, &FROM_12).map_err(IngressError)?;
    Ok(Some(pair.expires))
}

impl Tls {
    /// The certificate of the settings; `None` where none is set.
    ///
    /// # Errors
    /// The files cannot be used.
    pub(super) fn open(settings: &config::Ingress) -> Result<Option<Arc<Self>>, IngressError> {
        if settings.tls_certificate.as_os_str().is_empty() {
            return Ok(None);
        }
        let versions: &'static [&'static SupportedProtocolVersion] = match settings.tls_min_version {
            TlsVersion::V12 => &FROM_12,
            TlsVersion::V13 => &FROM_13,
        };
        let (certificate, key) = (settings.tls_certificate.clone(), settings.tls_key.clone());
        let pair = load(&certificate, &key, versions).map_err(IngressError)?;
        metrics::tls_loaded(true, pair.expires);
        tracing::info!(expires = pair.expires, "TLS is on");
        Ok(Some(Arc::new(Self {
            certificate,
            key,
            versions,
            current: RwLock::new(pair),
        })))
    }

    /// What the next connection is encrypted with.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.pair().config)
    }

    fn pair(&self) -> Pair {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Looks at the files for ever, once in `every`.
    pub(super) async fn watch(self: Arc<Self>, every: Duration) {
        // What failed once is not tried, or told, again until a file changes.
        let mut tried = self.pair().stamps;
        loop {
            tokio::time::sleep(every).await;
            let tls = Arc::clone(&self);
            let before = tried;
            let looked = tokio::task::spawn_blocking(move || tls.look(before)).await;
            tried = looked.unwrap_or(tried);
        }
    }

    /// Takes up the files if they are not the ones of `tried`; gives the ones that it saw.
    pub(super) fn look(&self, tried: (Stamp, Stamp)) -> (Stamp, Stamp) {
        let seen = (stamp(&self.certificate), stamp(&self.key));
        if seen == tried {
            return tried;
        }
        match load(&self.certificate, &self.key, self.versions) {
            Ok(pair) => {
                tracing::info!(expires = pair.expires, "a new certificate is in use");
                metrics::tls_loaded(true, pair.expires);
                let seen = pair.stamps;
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = pair;
                seen
            }
            Err(error) => {
                tracing::error!(error, "the new certificate cannot be used; the old one stays");
                metrics::tls_loaded(false, self.pair().expires);
                seen
            }
        }
    }
}

fn load(
    certificate: &Path,
    key: &Path,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Pair, String> {
    // Taken first: a file that changes while it is read is read again.
    let stamps = (stamp(certificate), stamp(key));
    let told = |path: &Path, why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let text = read(certificate)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| told(certificate, &error))?;
    let own = chain
        .first()
        .ok_or_else(|| told(certificate, &"holds no certificate"))?;
    let expires = expiry(own).ok_or_else(|| told(certificate, &"is no X.509 certificate"))?;
    let secret = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| told(key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| told(certificate, &error))?;
    config.alpn_protocols = vec![H2.to_vec(), HTTP11.to_vec()];
    Ok(Pair {
        config: Arc::new(config),
        expires,
        stamps,
    })
}

fn expiry(certificate: &CertificateDer<'_>) -> Option<u64> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let end = certificate.tbs_certificate().validity().not_after;
    Some(end.to_unix_duration().as_secs())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let whole = || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?
            .take(MOST_BYTES)
            .read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    whole().map_err(|error| format!("{}: {error}", path.display()))
}

fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}
