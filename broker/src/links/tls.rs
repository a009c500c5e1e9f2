//! Who may link: holders of a certificate of the instance's own authority. Each process signs
//! itself one at its start, so none has to be handed out or renewed.

use anyhow::{Context as _, ensure};
use isthmus_config::Peers;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// Both sides of a link's TLS.
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

fn read(field: &str, path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{field}: {}", path.display()))
}

impl Tls {
    pub(super) fn new(node: &str, peers: &Peers) -> anyhow::Result<Self> {
        let authority = read("caCertificate", &peers.ca_certificate)?;
        let key = KeyPair::from_pem(&read("caKey", &peers.ca_key)?).context("caKey")?;
        let issuer = Issuer::from_ca_cert_pem(&authority, key).context("caCertificate")?;
        let mut params = CertificateParams::new(vec![node.to_owned()])
            .with_context(|| format!("node {node:?} is no name for a certificate"))?;
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let own_key = KeyPair::generate()?;
        let certificate = params.signed_by(&own_key, &issuer)?;
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            roots.add(root.context("caCertificate")?)?;
        }
        ensure!(!roots.is_empty(), "caCertificate: no certificate in it");
        let roots = Arc::new(roots);
        let chain = vec![certificate.der().clone()];
        let private = || {
            PrivateKeyDer::try_from(own_key.serialize_der())
                .map_err(|error| anyhow::anyhow!("own key: {error}"))
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build()?;
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), private()?)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, private()?)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
        })
    }

    /// To a pod of this name, and no other.
    pub(super) async fn connect(
        &self,
        node: &str,
        stream: TcpStream,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(node.to_owned()).map_err(std::io::Error::other)?;
        Ok(self.connector.connect(name, stream).await?.into())
    }

    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        Ok(self.acceptor.accept(stream).await?.into())
    }
}
