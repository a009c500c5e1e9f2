//! Ways into Kafka that are guarded: TLS with a password, and TLS with a certificate of the client.
//!
//! The node's own listener stays open, for the test itself.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::run;

/// Who gets in.
pub const USERNAME: &str = "isthmus";
/// And with what password.
pub const PASSWORD: &str = "let me in";

/// The guarded ways into one Kafka, and what a client needs for them.
#[derive(Debug)]
pub struct Secured {
    /// The authority that signed Kafka's certificate, PEM.
    pub authority: String,
    /// A client's certificate, PEM.
    pub certificate: String,
    /// Its key, PEM.
    pub key: String,
    pub(super) password_port: u16,
    pub(super) certificate_port: u16,
    server: String,
}

impl Secured {
    /// New certificates for a Kafka at this address, and ports.
    pub(super) fn new(host: &str) -> Self {
        let key = KeyPair::generate().expect("key");
        let mut params = named("authority", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let authority = params.self_signed(&key).expect("certificate").pem();
        let issuer = Issuer::new(params, key);
        let issue = |name: &str, hosts: &[&str]| {
            let key = KeyPair::generate().expect("key");
            let mut params = named(name, hosts);
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ];
            let certificate = params.signed_by(&key, &issuer).expect("certificate");
            (certificate.pem(), key.serialize_pem())
        };
        let (server, server_key) = issue("kafka", &[host]);
        let (certificate, key) = issue("client", &[]);
        Self {
            authority,
            certificate,
            key,
            password_port: run::free_port(),
            certificate_port: run::free_port(),
            server: server_key + &server,
        }
    }

    /// What `listeners`, `advertised.listeners` and the protocol map get more.
    pub(super) fn listeners(&self, host: &str) -> (String, String) {
        let (password, certificate) = (self.password_port, self.certificate_port);
        (
            format!(",PASSWORD://{host}:{password},CERTIFICATE://{host}:{certificate}"),
            ",PASSWORD:SASL_SSL,CERTIFICATE:SSL".to_owned(),
        )
    }

    /// The rest of the properties; writes the files that they name.
    pub(super) fn properties(&self, folder: &Path) -> String {
        let (server, authority) = (folder.join("server.pem"), folder.join("authority.pem"));
        run::write_file(&server, &self.server);
        run::write_file(&authority, &self.authority);
        let (server, authority) = (server.display(), authority.display());
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        format!(
            "ssl.keystore.type=PEM\n\
             ssl.keystore.location={server}\n\
             ssl.truststore.type=PEM\n\
             ssl.truststore.location={authority}\n\
             listener.name.certificate.ssl.client.auth=required\n\
             sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512\n\
             listener.name.password.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{USERNAME}=\"{PASSWORD}\";\n\
             listener.name.password.scram-sha-256.sasl.jaas.config={scram}\n\
             listener.name.password.scram-sha-512.sasl.jaas.config={scram}\n"
        )
    }

    /// What the storage is formatted with besides: the accounts of SCRAM.
    pub(super) fn accounts() -> Vec<String> {
        let account = |mechanism| format!("{mechanism}=[name={USERNAME},password={PASSWORD}]");
        ["SCRAM-SHA-256", "SCRAM-SHA-512"]
            .into_iter()
            .flat_map(|mechanism| ["--add-scram".to_owned(), account(mechanism)])
            .collect()
    }
}

fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).expect("host names");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
