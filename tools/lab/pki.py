"""Certificates and tokens of the lab. Every key is made anew for each run and lives in its directory."""
import base64
import datetime
import hashlib
import ipaddress
import json
import os
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def write(path, data, mode=0o600):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(fd, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())
    os.chmod(path, mode)


def pem_key(key):
    return key.private_bytes(serialization.Encoding.PEM,
                             serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def pem_cert(cert):
    return cert.public_bytes(serialization.Encoding.PEM)


class Authority:
    """A certificate authority that issues server certificates."""

    def __init__(self, name):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.cert = self._build(name, self.key.public_key(), name, ca=True)

    def _build(self, subject, public, issuer, ca=False, names=(), days=(-1, 30)):
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder()
                   .subject_name(_name(subject)).issuer_name(_name(issuer))
                   .public_key(public).serial_number(x509.random_serial_number())
                   .not_valid_before(now + datetime.timedelta(days=days[0]))
                   .not_valid_after(now + datetime.timedelta(days=days[1]))
                   .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                       self.key.public_key()), False))
        if ca:
            builder = builder.add_extension(
                x509.KeyUsage(True, False, False, False, False, True, True, False, False), True)
        if names:
            alt = []
            for n in names:
                try:
                    alt.append(x509.IPAddress(ipaddress.ip_address(n)))
                except ValueError:
                    alt.append(x509.DNSName(n))
            builder = builder.add_extension(x509.SubjectAlternativeName(alt), False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, *names, days=(-1, 30), key=None):
        key = key or ec.generate_private_key(ec.SECP256R1())
        cert = self._build(names[0], key.public_key(), self.cert.subject.rfc4514_string()[3:],
                           names=names, days=days)
        return key, cert


def b64(data):
    if isinstance(data, dict):
        data = json.dumps(data, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Signs callers' tokens, as a CI system's OIDC provider does."""

    def __init__(self, url, audience):
        self.url, self.audience = url, audience
        self.key = rsa.generate_private_key(65537, 2048)
        self.kid = hashlib.sha256(pem_key(self.key)).hexdigest()[:16]

    def jwks(self):
        n = self.key.public_key().public_numbers()
        size = (n.n.bit_length() + 7) // 8
        return json.dumps({"keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid,
            "n": b64(n.n.to_bytes(size, "big")), "e": b64(n.e.to_bytes(3, "big"))}]}, indent=2)

    def token(self, sub, *, key=None, header=None, ttl=600, aud=None, **claims):
        now = int(time.time())
        head = {"alg": "RS256", "typ": "JWT", "kid": self.kid, **(header or {})}
        body = {"iss": self.url, "aud": aud or self.audience, "sub": sub, "iat": now,
                "exp": now + ttl, **claims}
        signed = f"{b64(head)}.{b64(body)}"
        if head["alg"] == "none":
            return signed + "."
        signature = (key or self.key).sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{b64(signature)}"
