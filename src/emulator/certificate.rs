//! The certificate of an emulator that speaks TLS: read from files, or made for this machine.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Names of the files that are made: the authority that clients are to trust, and what the
/// emulator shows.
const AUTHORITY: &str = "ca.pem";
const CERTIFICATE: &str = "server.pem";
const KEY: &str = "server.key";

/// Whom a made certificate is for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What an emulator proves itself with to its clients.
#[derive(Clone)]
pub struct EmulatorTls {
    pub(super) acceptor: TlsAcceptor,
}

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file is missing or unreadable.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file could not be made; one that exists is not overwritten.
    #[error("cannot make {}: {source}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Not PEM, or PEM of something else.
    #[error(
        "{} holds no certificate: it should hold the server's, then those between it and the \
         authority, each from -----BEGIN CERTIFICATE----- on",
        file.display()
    )]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// Not PEM, PEM of something else, or encrypted.
    #[error(
        "{} holds no readable private key: it should begin with -----BEGIN PRIVATE KEY-----; \
         `openssl pkey -in {0}` takes a passphrase off",
        file.display()
    )]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// Both can be read and do not work.
    #[error(
        "the certificate in {} and the key in {} cannot be used together: {reason}",
        certificate.display(),
        key.display()
    )]
    Pair {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
        /// What the TLS library says.
        reason: String,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(String),
}

impl fmt::Debug for EmulatorTls {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmulatorTls").finish_non_exhaustive()
    }
}

impl EmulatorTls {
    /// Reads the certificate chain, the server's own first, and its private key, both PEM.
    ///
    /// # Errors
    /// A file that cannot be read or holds something else, or two that do not fit together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&read(certificate)?)
            .collect::<Result<_, _>>()
            .unwrap_or_default();
        if chain.is_empty() {
            return Err(CertificateError::NoCertificate { file: certificate.to_owned() });
        }
        let no_key = |_| CertificateError::NoKey { file: key.to_owned() };
        let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(no_key)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
            .map_err(|error| CertificateError::Pair {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
                reason: error.to_string(),
            })?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Reads `server.pem` and `server.key` in `folder`, which are made first when the folder has
    /// none: for localhost, by an authority of their own, `ca.pem`, that clients are to trust. The
    /// authority's key is not kept, so it vouches for nothing else.
    ///
    /// # Errors
    /// Files that cannot be made or read.
    pub fn self_signed(folder: &Path) -> Result<Self, CertificateError> {
        let (certificate, key) = (folder.join(CERTIFICATE), folder.join(KEY));
        if !certificate.exists() {
            make(folder)?;
        }
        Self::load(&certificate, &key)
    }
}

fn read(file: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(file).map_err(|source| CertificateError::Read { file: file.to_owned(), source })
}

fn make(folder: &Path) -> Result<(), CertificateError> {
    let [authority, certificate, key] =
        issue().map_err(|error| CertificateError::Make(error.to_string()))?;
    let failed = |file: &Path, source| CertificateError::Write { file: file.to_owned(), source };
    fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
    for (name, text) in [(KEY, key), (AUTHORITY, authority), (CERTIFICATE, certificate)] {
        let file = folder.join(name);
        write_new(&file, &text).map_err(|source| failed(&file, source))?;
    }
    Ok(())
}

/// An authority, and a certificate by it with its key; all PEM.
fn issue() -> Result<[String; 3], rcgen::Error> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "tokenwatch emulator authority");
    let authority_key = KeyPair::generate()?;
    let authority = params.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(params, authority_key);

    let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?.pem();
    Ok([authority, certificate, key.serialize_pem()])
}

/// Writes a file that must not exist yet, for its owner alone.
fn write_new(file: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_its_authority_stays() {
        let folder = tempfile::tempdir().unwrap();
        let certs = folder.path().join("certs");
        EmulatorTls::self_signed(&certs).unwrap();
        let authority = fs::read(certs.join(AUTHORITY)).unwrap();
        EmulatorTls::self_signed(&certs).unwrap();
        assert_eq!(fs::read(certs.join(AUTHORITY)).unwrap(), authority);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(certs.join(KEY)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        // What somebody put there is not overwritten.
        fs::remove_file(certs.join(CERTIFICATE)).unwrap();
        let error = EmulatorTls::self_signed(&certs).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(KEY) && error.contains("exists"), "{error}");
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_mend() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let [_, certificate, key] = issue().unwrap();
        let [_, _, other] = issue().unwrap();
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        for (name, text) in
            [("c", &certificate), ("k", &key), ("other", &other), ("encrypted", &encrypted)]
        {
            fs::write(path(name), text).unwrap();
        }
        fs::write(path("text"), "no PEM").unwrap();
        fs::write(path("cut"), format!("{certificate}-----BEGIN CERTIFICATE-----\nAAA\n")).unwrap();
        assert!(EmulatorTls::load(&path("c"), &path("k")).is_ok());
        for (certificate, key, file, mend) in [
            ("gone", "k", "gone", "No such file"),
            ("c", "gone", "gone", "No such file"),
            ("text", "k", "text", "-----BEGIN CERTIFICATE-----"),
            ("cut", "k", "cut", "-----BEGIN CERTIFICATE-----"),
            ("k", "k", "k", "-----BEGIN CERTIFICATE-----"),
            ("c", "c", "c", "-----BEGIN PRIVATE KEY-----"),
            ("c", "encrypted", "encrypted", "openssl pkey -in"),
            ("c", "other", "other", "cannot be used together"),
        ] {
            let loaded = EmulatorTls::load(&path(certificate), &path(key));
            let error = loaded.map(|_| ()).unwrap_err().to_string();
            let file = path(file).display().to_string();
            assert!(error.contains(&file) && error.contains(mend), "{error}");
            assert!(!error.contains("{0}"), "{error}");
        }
    }
}
