"""Certificates for tests."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

_DAY = dt.timedelta(days=1)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_bytes(key: "ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey") -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files and as one file with both."""

    certificate: str
    key: str
    both: str
    serial: int


class Authority:
    """Signs certificates, and keeps everything in one folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign(name, self._key.public_key(), -1, 30, ca=True)
        self.file = str(folder / f"{name}.pem")
        Path(self.file).write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, common_name: str, *, file: str = "", begins: int = -1, ends: int = 30, kind: str = "ec") -> Pair:
        """Sign a certificate for a name, valid from and to so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else rsa.generate_private_key(65537, 2048)
        certificate = self._sign(common_name, key.public_key(), begins, ends, ca=False)
        base = self._folder / (file or f"{self._name}-{common_name}-{ends}-{kind}")
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        for suffix, content in ((".crt", pem), (".key", _key_bytes(key)), (".both", _key_bytes(key) + pem)):
            base.with_suffix(suffix).write_bytes(content)
        certificate_file, key_file, both = (str(base.with_suffix(suffix)) for suffix in (".crt", ".key", ".both"))
        return Pair(certificate_file, key_file, both, certificate.serial_number)

    def _sign(
        self,
        common_name: str,
        public_key: "ec.EllipticCurvePublicKey | rsa.RSAPublicKey",
        begins: int,
        ends: int,
        *,
        ca: bool,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        # The rest is what Python 3.13 and later want to see (RFC 5280, sections 4.2.1.1 to 4.2.1.3).
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=ca,
            crl_sign=ca,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        return (
            x509.CertificateBuilder()
            .subject_name(_name(common_name))
            .issuer_name(_name(self._name))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins * _DAY)
            .not_valid_after(now + ends * _DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(names, critical=False)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
