//! TLS on a TCP connection, by libp2p-tls' configuration, certificates and judgement of certificates. Only the
//! verifier around that judgement is ours: of a certificate that isn't valid now, libp2p-tls tells no more than
//! that, and from when to when it is valid is what speaks for or against this machine's clock.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use futures::{AsyncRead, AsyncWrite};
use futures_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use libp2p::identity::Keypair;
use libp2p::tls::certificate;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::evidence::{ClockEvidence, Validity};
use super::progress::{Cause, failing};
use crate::PeerId;
use crate::clock::Timestamp;
use crate::worker::util::clock::Clock;

/// The protocol as it is negotiated.
pub(super) const NAME: &str = "/tls/1.0.0";

/// Both ends of the handshake. Cheap to clone.
#[derive(Clone)]
pub(super) struct Tls {
    client: TlsConnector,
    server: TlsAcceptor,
}

type Secured<S> = (PeerId, TlsStream<S>);

impl Tls {
    pub(super) fn new(
        key: &Keypair,
        evidence: Arc<ClockEvidence>,
        clock: Clock,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let verifier = Arc::new(Verifier { evidence, clock });
        let mut client = libp2p::tls::make_client_config(key, None)?;
        client.dangerous().set_certificate_verifier(Arc::clone(&verifier) as _);
        let made = libp2p::tls::make_server_config(key)?;
        let mut server = ServerConfig::builder_with_provider(Arc::clone(made.crypto_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::clone(&made.cert_resolver));
        server.alpn_protocols = made.alpn_protocols;
        server.key_log = made.key_log;
        Ok(Tls { client: Arc::new(client).into(), server: Arc::new(server).into() })
    }

    pub(super) async fn dial<S>(self, socket: S) -> io::Result<Secured<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // An address isn't sent as a name of the server: the specification wants none sent.
        let name = ServerName::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let stream = self.client.connect(name, socket).await?;
        let peer = peer_of(stream.get_ref().1.peer_certificates())?;
        Ok((peer, stream.into()))
    }

    pub(super) async fn accept<S>(self, socket: S) -> io::Result<Secured<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = self.server.accept(socket).await?;
        let peer = peer_of(stream.get_ref().1.peer_certificates())?;
        Ok((peer, stream.into()))
    }
}

/// Returns the peer whose certificate the verifier has let pass.
fn peer_of(presented: Option<&[CertificateDer<'_>]>) -> io::Result<PeerId> {
    let Some([only]) = presented else {
        return Err(io::Error::other("the peer presented no certificate"));
    };
    Ok(certificate::parse(only).map_err(io::Error::other)?.peer_id())
}

/// Judges certificates as libp2p-tls does, and notes those that aren't valid by this machine's clock.
struct Verifier {
    evidence: Arc<ClockEvidence>,
    clock: Clock,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

impl Verifier {
    fn judge(
        &self,
        presented: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Result<(), rustls::Error> {
        if !others.is_empty() {
            return Err(rustls::Error::General("libp2p has exactly one certificate".to_owned()));
        }
        let judged = certificate::parse(presented);
        if judged.is_err() {
            let now = (self.clock.now(), self.clock.time());
            let validity = validity_of(presented).filter(|validity| !validity.holds_at(now.1));
            if validity.is_some() {
                failing(Cause::Clock(self.evidence.presented(validity, now)));
            }
        }
        judged.map(drop).map_err(Into::into)
    }

    fn judge_signature(
        &self,
        message: &[u8],
        presented: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let certificate = certificate::parse(presented)?;
        certificate.verify_signature(signed.scheme, message, signed.signature())?;
        Ok(HandshakeSignatureValid::assertion())
    }
}

fn validity_of(presented: &CertificateDer<'_>) -> Option<Validity> {
    let (_, certificate) = X509Certificate::from_der(presented).ok()?;
    let moment = |seconds: i64| Timestamp::from_micros(seconds.saturating_mul(1_000_000));
    let validity = certificate.validity();
    let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    Some(Validity { from: moment(from), until: moment(until) })
}

/// The schemes of libp2p-tls, in its order.
const SCHEMES: [SignatureScheme; 9] = [
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA512,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA256,
];

/// Refuses a signature of TLS 1.2, which is never negotiated.
fn too_old() -> Result<HandshakeSignatureValid, rustls::Error> {
    Err(rustls::Error::General("libp2p has TLS 1.3 only".to_owned()))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        presented: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge(presented, others).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        too_old()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        presented: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge_signature(message, presented, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        presented: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.judge(presented, others).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        too_old()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        presented: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge_signature(message, presented, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}
