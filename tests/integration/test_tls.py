"""TLS on both sides: client certificates from callers and to vendors, what a vendor must prove, and what is done
to a connection that ends or begins badly."""
import datetime
import hashlib
import base64
import os
import socket
import ssl
import subprocess
import sys
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab import pki
from lab.lab import CALLER, run

HERE = os.path.dirname(os.path.abspath(__file__))
VENDORS = {  # name -> address; most of them the one nginx of this file
    "plain.tls.test": "10.20.0.20",
    "bank.tls.test": "10.20.0.21",       # asks for a certificate; its CA is its own
    "pinned.tls.test": "10.20.0.22",
    "mispinned.tls.test": "10.20.0.22",
    "expired.tls.test": "10.20.0.23",
    "wrongname.tls.test": "10.20.0.24",
    "ending12.tls.test": "10.20.0.28",   # ENDING_VENDOR
    "ending13.tls.test": "10.20.0.29",
    "badcert.tls.test": "10.20.0.25",    # asks for a certificate and does not get a good one
}
MTLS = "https://mtls.tls.test/v1/x"


def name(text, unit=None):
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, text)]
    if unit:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    return x509.Name(parts)


class ClientCA:
    """A CA of client certificates that can also take them back."""

    def __init__(self, text, above=None):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.above = above
        self.cert = self._sign(above or self, name(text), self.key.public_key(), ca=True)
        self.revoked = []

    def _sign(self, issuer, subject, public, ca=False, days=(-1, 30), san=(), purpose=None):
        now = datetime.datetime.utcnow()
        issuer_name = subject if issuer is self and ca else issuer.cert.subject
        b = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer_name)
             .public_key(public).serial_number(x509.random_serial_number())
             .not_valid_before(now + datetime.timedelta(days=days[0]))
             .not_valid_after(now + datetime.timedelta(days=days[1]))
             .add_extension(x509.BasicConstraints(ca=ca, path_length=None), True)
             .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                 issuer.key.public_key()), False)
             .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False))
        if ca:
            b = b.add_extension(x509.KeyUsage(True, False, False, False, False, True, True, False,
                                              False), True)
        if san:
            b = b.add_extension(x509.SubjectAlternativeName(list(san)), False)
        if purpose:
            b = b.add_extension(x509.ExtendedKeyUsage([purpose]), False)
        return b.sign(issuer.key, hashes.SHA256())

    def client(self, path, text, san=(), purpose=ExtendedKeyUsageOID.CLIENT_AUTH, unit=None, **kw):
        """PEM of certificate, those above it, and key in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        cert = self._sign(self, name(text, unit), key.public_key(), san=san, purpose=purpose, **kw)
        above = pki.pem_cert(self.cert) if self.above else b""
        pki.write(path, pki.pem_cert(cert) + above + pki.pem_key(key))
        return cert

    def crl(self, days=7):
        now = datetime.datetime.utcnow()
        b = (x509.CertificateRevocationListBuilder().issuer_name(self.cert.subject)
             .last_update(now - datetime.timedelta(days=1))
             .next_update(now + datetime.timedelta(days=days)))
        for cert in self.revoked:
            b = b.add_revoked_certificate(x509.RevokedCertificateBuilder()
                                          .serial_number(cert.serial_number)
                                          .revocation_date(now).build())
        return b.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def pin(cert):
    der = cert.public_key().public_bytes(serialization.Encoding.DER,
                                         serialization.PublicFormat.SubjectPublicKeyInfo)
    return "sha256/" + base64.b64encode(hashlib.sha256(der).digest()).decode()


def rules_of(pins):
    text = "connections:\n  mtls: {hosts: [mtls.tls.test], identify: [mtls, oidc], trust: ../vendor-ca.pem}\n"
    more = {"bank": ", trust: ../bank-ca.pem, client_certificate: bank-client",
            "badcert": ", trust: ../bank-ca.pem, client_certificate: badcert-client",
            "pinned": f", pins: ['{pins[0]}', '{pins[1]}']", "mispinned": f", pins: '{pins[1]}'"}
    for host in VENDORS:
        n = host.split(".")[0]
        text += f"  {n}: {{hosts: [{host}], identify: oidc{more.get(n, '')}}}\n"
    return text + """issuers:
  people: {ca: ../people-ca.pem, crl: ../people.crl, id: email}
  services: {ca: ../services-ca.pem, id: spiffe, groups: {ci: '"build" in claims.ou'}}
rules:
  - {id: 5000, name: TLS tests, on: [%s], then: allow}
  - {id: 5001, name: Everybody of CI, on: mtls.unlisted, when: '"ci" in caller.groups || caller.issuer == "people"',
     then: allow}
  - {id: 5002, name: Tokens too, on: mtls.unlisted, when: 'caller.method == "oidc"', then: allow}
""" % ", ".join(h.split(".")[0] + ".unlisted" for h in VENDORS)


def nginx_conf(lab):
    def server(address, cert, more=""):
        return (f"server {{ listen {address}:443 ssl; ssl_certificate {lab.path(cert + '.pem')};"
                f" ssl_certificate_key {lab.path(cert + '.key')}; {more}\n"
                " location / { default_type application/json; add_header X-Reused $ssl_session_reused;"
                """ return 200 '{"client":"$ssl_client_s_dn","reused":"$ssl_session_reused","""
                """"connection":$connection,"method":"$request_method","length":"$content_length"}'; } }\n""")
    ask = f"ssl_client_certificate {lab.path('bank-ca.pem')}; ssl_verify_client on;"
    return f"""worker_processes 1; daemon off; user root; pid {lab.path('tls-nginx.pid')};
error_log {lab.path('tls-nginx.err')} info; events {{ worker_connections 512; }}
http {{ access_log off; client_body_temp_path {lab.path('tls-body')}; ssl_session_cache shared:x:1m;
{server("10.20.0.20", "tls-plain")}
{server("10.20.0.21", "tls-bank", ask)}
{server("10.20.0.22", "tls-pinned")}
{server("10.20.0.23", "tls-expired")}
{server("10.20.0.24", "tls-wrong")}
{server("10.20.0.25", "tls-bank", ask)}
}}
"""


def vendors(lab):
    bank = pki.Authority("Bank CA")
    pki.write(lab.path("bank-ca.pem"), pki.pem_cert(bank.cert), 0o644)
    pins = {}
    for file, authority, names, days in (
            ("tls-plain", lab.vendor_ca, ["plain.tls.test", "mtls.tls.test", "ending12.tls.test", "ending13.tls.test"], (-1, 30)),
            ("tls-bank", bank, ["bank.tls.test", "badcert.tls.test"], (-1, 30)),
            ("tls-pinned", lab.vendor_ca, ["pinned.tls.test", "mispinned.tls.test"], (-1, 30)),
            ("tls-expired", lab.vendor_ca, ["expired.tls.test"], (-30, -1)),
            ("tls-wrong", lab.vendor_ca, ["right.tls.test"], (-1, 30))):
        key, cert = authority.issue(*names, days=days)
        pki.write(lab.path(f"{file}.pem"), pki.pem_cert(cert), 0o644)
        pki.write(lab.path(f"{file}.key"), pki.pem_key(key))
        pins[file] = pin(cert)
    # What we show: one that the bank knows, one that it does not.
    client = ClientCA.__new__(ClientCA)
    client.key, client.cert, client.above = bank.key, bank.cert, None
    client.client(lab.path("bank-client.pem"), "turnpike at the bank")
    ClientCA("Nobody").client(lab.path("badcert-client.pem"), "stranger")
    where = ("--vault", lab.path("secrets.vault"), "--key-file", lab.path("vault.key"))
    for n in ("bank", "badcert"):
        with open(lab.path(f"{n}-client.pem")) as f:
            lab.tool("secret", "set", f"{n}-client", "--connection", n, *where, input=f.read())
    return pins["tls-pinned"], pins["tls-plain"]


@pytest.fixture(scope="module")
def tls(lab):
    hosts = {**VENDORS, "mtls.tls.test": "10.20.0.20"}
    for address in sorted(set(hosts.values())):
        lab.sh(lab.vendor, f"ip addr add {address}/24 dev v0")
    with open(f"/etc/netns/{lab.caller}/hosts", "a") as f:
        f.writelines(f"{a} {n}\n" for n, a in hosts.items())
    lab.people, root = ClientCA("People CA"), ClientCA("Services Root")
    lab.services = ClientCA("Services CA", above=root)
    lab.other = ClientCA("Other CA")
    pki.write(lab.path("people-ca.pem"), pki.pem_cert(lab.people.cert), 0o644)
    pki.write(lab.path("services-ca.pem"), pki.pem_cert(root.cert), 0o644)
    pki.write(lab.path("people.crl"), lab.people.crl(), 0o644)
    pki.write(lab.path("rules", "tls.yaml"), rules_of(vendors(lab)), 0o644)
    pki.write(lab.path("tls-nginx.conf"), nginx_conf(lab), 0o644)
    lab.spawn(lab.vendor, "nginx", "-c", lab.path("tls-nginx.conf"), log="tls-nginx.log")
    lab.ctl("rules", "reload")
    return lab


def email(text):
    return [x509.RFC822Name(text)]


def spiffe(*texts):
    return [x509.UniformResourceIdentifier(t) for t in texts]


def counters(lab):
    return lab.counters()["workers"][0]


# ---------------------------------------------------------------- callers' certificates

def decided(lab):
    return lab.audit("--kind", "call.decided")[-1]


def test_a_caller_is_known_by_its_certificate(tls):
    tls.people.client(tls.path("ann.pem"), "Ann", email("ann@acme.example"))
    for version in ("--tlsv1.3", "--tls-max 1.2"):
        a = tls.curl(MTLS, "--cert", tls.path("ann.pem"), *version.split(), token=None)
        assert a.status == 200, a
        d = decided(tls)
        assert (d["caller"], d["issuer"], d["identity"]) == ("ann@acme.example", "people", "mtls"), d
        assert d["subject"] == "CN=Ann" and len(d["token_id"]) == 64, d


def test_a_service_below_an_intermediate(tls):
    tls.services.client(tls.path("ci.pem"), "ci", spiffe("spiffe://acme.example/ci"), unit="build")
    a = tls.curl(MTLS, "--cert", tls.path("ci.pem"), token=None)
    assert a.status == 200, a
    d = decided(tls)
    assert d["caller"] == "spiffe://acme.example/ci" and d["groups"] == ["ci"], d
    tls.services.client(tls.path("web.pem"), "web", spiffe("spiffe://acme.example/web"))
    a = tls.curl(MTLS, "--cert", tls.path("web.pem"), token=None)
    assert a.status == 403 and a.cause == "no_rule_allows", a


def test_certificates_that_are_refused(tls):
    make = [
        ("certificate_untrusted", lambda p: tls.other.client(p, "x", email("x@acme.example"))),
        ("certificate_expired", lambda p: tls.people.client(p, "x", email("x@acme.example"), days=(-9, -1))),
        ("certificate_not_yet", lambda p: tls.people.client(p, "x", email("x@acme.example"), days=(1, 9))),
        ("certificate_purpose", lambda p: tls.people.client(p, "x", email("x@acme.example"),
                                                            purpose=ExtendedKeyUsageOID.SERVER_AUTH)),
        ("certificate_unnamed", lambda p: tls.people.client(p, "x", [x509.DNSName("x.example")])),
        ("certificate_unnamed", lambda p: tls.people.client(p, "x", email("a@b.example") + email("c@d.example"))),
        ("certificate_unnamed", lambda p: tls.services.client(p, "x", spiffe("spiffe://a/b", "spiffe://a/c"))),
        ("certificate_unnamed", lambda p: tls.services.client(p, "x", spiffe("https://a/b"))),
    ]
    for cause, issue in make:
        path = tls.path("refused.pem")
        issue(path)
        # A good token beside a bad certificate changes nothing: the first method that is present counts.
        for token in (None, ""):
            a = tls.curl(MTLS, "--cert", path, token=token)
            assert a.status == 401 and a.cause == cause, (cause, a)
    assert decided(tls)["decision"] == "block"


def test_no_certificate(tls):
    a = tls.curl(MTLS, token=None)
    assert a.status == 401 and a.cause == "certificate_missing", a
    assert tls.curl(MTLS).status == 200, "a token serves where no certificate is shown"
    # Who does not have to show one is not asked for one.
    before = counters(tls)["tls"]["certificates_asked"]
    tls.curl("https://plain.tls.test/x")
    assert counters(tls)["tls"]["certificates_asked"] == before


class Session:
    """One caller's connection, with Python's ssl from inside the namespace: kept open between steps."""

    SCRIPT = os.path.join(HERE, "tls_client.py")

    def __init__(self, lab, *args):
        self.p = subprocess.Popen(["ip", "netns", "exec", lab.caller, "/usr/bin/python3", self.SCRIPT,
                                   lab.path("ca.pem"), *args], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True, bufsize=1)

    def do(self, command):
        self.p.stdin.write(command + "\n")
        line = self.p.stdout.readline().strip()
        assert line, f"{command}: the client is gone"
        return line

    def end(self):
        self.p.stdin.close()
        self.p.wait(20)
        self.p.stdout.close()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_revocation_reaches_open_and_resumed_sessions(tls, version):
    path = tls.path(f"bob{version}.pem")
    cert = tls.people.client(path, "Bob", email("bob@acme.example"))
    s = Session(tls, "mtls.tls.test", version, path)
    assert s.do("connect") == "new"
    assert s.do("get") == "200"
    assert s.do("connect") == "resumed"
    assert s.do("get") == "200", "a resumed session knows who resumed it"
    assert decided(tls)["caller"] == "bob@acme.example"
    tls.people.revoked.append(cert)
    pki.write(tls.path("people.crl"), tls.people.crl(), 0o644)
    tls.ctl("rules", "reload")
    assert s.do("get") == "401 certificate_revoked"
    assert s.do("connect") == "resumed"
    assert s.do("get") == "401 certificate_revoked"
    s.end()


def test_a_resumed_session_keeps_its_chain(tls):
    """The intermediate of a service's certificate is sent once; a rules reload forgets what was verified."""
    tls.services.client(tls.path("ci2.pem"), "ci2", spiffe("spiffe://acme.example/ci2"), unit="build")
    s = Session(tls, "mtls.tls.test", "1.3", tls.path("ci2.pem"))
    assert (s.do("connect"), s.do("get")) == ("new", "200")
    for _ in range(3):
        tls.ctl("rules", "reload")
        assert (s.do("connect"), s.do("get")) == ("resumed", "200")
    s.end()


def test_a_crl_out_of_date_lets_nobody_in(tls):
    tls.people.client(tls.path("eve.pem"), "Eve", email("eve@acme.example"))
    assert tls.curl(MTLS, "--cert", tls.path("eve.pem"), token=None).status == 200
    pki.write(tls.path("people.crl"), tls.people.crl(days=-0.5), 0o644)
    done = tls.ctl("rules", "reload")
    assert "out of date" in done.stdout + done.stderr, done
    a = tls.curl(MTLS, "--cert", tls.path("eve.pem"), token=None)
    assert a.status == 401 and a.cause == "certificate_crl", a
    pki.write(tls.path("people.crl"), tls.people.crl(), 0o644)
    tls.ctl("rules", "reload")
    assert tls.curl(MTLS, "--cert", tls.path("eve.pem"), token=None).status == 200


# ---------------------------------------------------------------- vendors

def test_a_vendor_sees_our_certificate(tls):
    a = tls.curl("https://bank.tls.test/x")
    assert a.status == 200 and a.json["client"] == "CN=turnpike at the bank", a
    a = tls.curl("https://plain.tls.test/x")
    assert a.status == 200 and a.json["client"] == "", a
    a = tls.curl("https://badcert.tls.test/x")
    assert a.status in (400, 502), f"the bank knows no stranger: {a}"


def test_our_key_is_nowhere(tls):
    with open(tls.path("bank-client.pem")) as f:
        body = f.read().split("PRIVATE KEY-----")[1].split()
    with open(tls.path("turnpike.log"), errors="replace") as f:
        log = f.read()
    records = subprocess.run(["grep", "-rl", body[0], tls.path("audit")], stdout=subprocess.PIPE, text=True).stdout
    assert body[0] not in log and not records


def test_pins(tls):
    assert tls.curl("https://pinned.tls.test/x").status == 200
    before = counters(tls)["tls"]["verify_pin"]
    a = tls.curl("https://mispinned.tls.test/x")
    assert a.status == 502 and a.cause == "vendor_not_verified" and "pinned" in a.body, a
    assert counters(tls)["tls"]["verify_pin"] == before + 1


@pytest.mark.parametrize("host,error,says", [("expired", "verify_expired", "expired"),
                                             ("wrongname", "verify_name", "ostname")])
def test_vendors_that_cannot_prove_it(tls, host, error, says):
    before = counters(tls)["tls"][error]
    a = tls.curl(f"https://{host}.tls.test/x")
    assert a.status == 502 and a.cause == "vendor_not_verified" and says in a.body, a
    assert counters(tls)["tls"][error] == before + 1


def test_a_vendors_ca_of_its_own_is_no_other_vendors(tls):
    """bank-ca.pem vouches for the bank alone; the lab's vendor CA does not vouch for the bank."""
    text = open(tls.path("rules", "tls.yaml")).read()
    with_shared = text.replace("trust: ../bank-ca.pem, client_certificate: bank-client",
                               "client_certificate: bank-client")
    assert with_shared != text
    assert tls.curl("https://bank.tls.test/x").status == 200
    pki.write(tls.path("rules", "tls.yaml"), with_shared, 0o644)
    tls.ctl("rules", "reload")
    a = tls.curl("https://bank.tls.test/x")
    assert a.status == 502 and a.cause == "vendor_not_verified", f"a pooled connection must not serve: {a}"
    pki.write(tls.path("rules", "tls.yaml"), text, 0o644)
    tls.ctl("rules", "reload")
    assert tls.curl("https://bank.tls.test/x").status == 200


def test_rules_that_name_what_is_not_there(tls):
    text = open(tls.path("rules", "tls.yaml")).read()
    for old, new, says in (("../bank-ca.pem", "../none.pem", "none.pem"),
                           ("bank-client", "no-such", "no-such"),
                           ("../people-ca.pem", "../vault.key", "PEM"),
                           ("../people.crl", "../people-ca.pem", "CRL"),
                           ("../services-ca.pem", "../tls-plain.pem", "not a CA")):
        pki.write(tls.path("rules", "tls.yaml"), text.replace(old, new), 0o644)
        done = tls.ctl("rules", "reload", check=False)
        assert done.returncode != 0 and says in done.stdout + done.stderr, (new, done)
    pki.write(tls.path("rules", "tls.yaml"), text, 0o644)
    tls.ctl("rules", "reload")
    assert tls.curl("https://bank.tls.test/x").status == 200


# ---------------------------------------------------------------- ends in order and others

ENDING_VENDOR = r"""
import socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
context.maximum_version = ssl.TLSVersion.TLSv1_2 if sys.argv[4] == "1.2" else ssl.TLSVersion.TLSv1_3
def one(raw):
    try:
        conn = context.wrap_socket(raw, server_side=True)
        data = b""
        while b"\r\n\r\n" not in data:
            data += conn.recv(65536)
        kind, end = data.split(b" ")[1].decode().rsplit("/", 1)[1].split("-")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
        conn.sendall({"close": head + b"\r\nall of it",
                      "length": head + b"Content-Length: 9\r\n\r\nall of it",
                      "short": head + b"Content-Length: 99\r\n\r\nall of it",
                      "chunk": head + b"Transfer-Encoding: chunked\r\n\r\n9\r\nall of it\r\n"}[kind])
        if end == "notify":
            try:
                conn.settimeout(3)
                conn.unwrap()
            except OSError:
                pass
        conn.close()
    except OSError:
        pass
listener = socket.create_server((sys.argv[1], 443))
while True:
    threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()
"""


@pytest.fixture(scope="module", params=["1.2", "1.3"])
def ending(tls, request):
    name = f"ending{request.param.replace('.', '')}.tls.test"
    p = tls.spawn(tls.vendor, "/usr/bin/python3", "-c", ENDING_VENDOR, VENDORS[name], tls.path("tls-plain.pem"),
                  tls.path("tls-plain.key"), request.param, log="ending.log")

    def get(what):
        return tls.curl(f"https://{name}/{what}", timeout=15)
    deadline = time.time() + 10
    while get("length-fin").status != 200 and time.time() < deadline:
        time.sleep(0.1)
    yield get
    os.killpg(p.pid, 15)


@pytest.mark.parametrize("what,whole", [("close-notify", True), ("close-fin", False), ("length-notify", True),
                                        ("length-fin", True), ("short-notify", False), ("short-fin", False),
                                        ("chunk-notify", False), ("chunk-fin", False)])
def test_answers_that_end(tls, ending, what, whole):
    """An answer that ends by close is whole only if close_notify says so; any attacker can forge a FIN."""
    a = ending(what)
    settled = tls.audit("--kind", "call.settled")[-1]
    if whole:
        assert a.exit == 0 and a.body == "all of it", a
        assert settled["outcome"] == "ok", settled
    else:
        assert a.exit != 0, f"a cut answer must not look whole: {a}"
        assert settled["outcome"] == "vendor_truncated", settled


CALLER = r"""
import socket, ssl, sys
host, ca, request, end = sys.argv[1:5]
raw = socket.create_connection((host, 443), timeout=20)
conn = ssl.create_default_context(cafile=ca).wrap_socket(raw, server_hostname=host, suppress_ragged_eofs=False)
conn.sendall(request.encode("latin-1"))
if end == "notify":
    incoming = conn.unwrap          # sends close_notify and reads what comes
    try:
        conn.setblocking(False)
        incoming()
    except OSError:
        pass
    conn.setblocking(True)
elif end == "fin":
    socket.socket.shutdown(conn, socket.SHUT_WR)
data = b""
try:
    while part := conn.recv(65536):
        data += part
    print("closed", data.split(b"\r\n")[0].decode())
except OSError as e:
    print("broken", data.split(b"\r\n")[0].decode())
"""


@pytest.mark.parametrize("end", ["notify", "fin"])
def test_requests_that_end(tls, end):
    token = tls.token()
    head = f"POST /x HTTP/1.1\r\nHost: plain.tls.test\r\nAuthorization: Bearer {token}\r\nContent-Length: "
    decided_before = len(tls.audit("--kind", "call.decided"))

    def send(request):
        return inside(tls, "/usr/bin/python3", "-c", CALLER, "plain.tls.test", tls.path("ca.pem"), request, end)
    out = send(head + "100\r\n\r\nhalf of it")
    assert "200" not in out.stdout, out
    allowed = [d for d in tls.audit("--kind", "call.decided")[decided_before:] if d["decision"] == "allow"]
    assert not allowed, "half a request must not run"
    out = send(head + "100\r\n")
    assert "200" not in out.stdout, out
    assert tls.curl("https://plain.tls.test/x").status == 200


def inside(lab, *command, timeout=60, input=None):
    return subprocess.run(["ip", "netns", "exec", lab.caller, *command], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=timeout, input=input)


# ---------------------------------------------------------------- names, and what is no TLS

def refused(lab):
    return lab.audit("--kind", "connection.refused")[-1]["cause"]


def s_client(lab, *args, input="Q\n"):
    return inside(lab, "openssl", "s_client", "-connect", "plain.tls.test:443", "-CAfile", lab.path("ca.pem"), *args,
                  input=input)


def test_names_each_with_its_cause(tls):
    out = s_client(tls, "-noservername")
    assert "unrecognized name" in out.stderr and refused(tls) == "no_sni", out
    out = s_client(tls, "-servername", "a..b")
    assert "unrecognized name" in out.stderr and refused(tls) == "bad_sni", out
    out = s_client(tls, "-alpn", "h2")
    assert "no application protocol" in out.stderr and refused(tls) == "no_alpn", out
    out = s_client(tls, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
    assert "protocol version" in out.stderr and refused(tls) == "version", out

    def ask(host, *args):
        request = f"GET /x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        return s_client(tls, "-ign_eof", *args, input=request).stdout
    out = ask("nowhere.tls.test", "-servername", "nowhere.tls.test")
    assert "403 Forbidden" in out and '"host_not_registered"' in out, out
    out = ask("pinned.tls.test", "-servername", "plain.tls.test")
    assert " 421 " in out and '"host_mismatch"' in out, out
    # The outer name of an encrypted ClientHello (here an empty extension of that number).
    out = ask("outer.tls.test", "-servername", "outer.tls.test", "-serverinfo", "65037")
    assert "403 Forbidden" in out and '"ech_host_not_registered"' in out, out
    out = ask("plain.tls.test", "-servername", "plain.tls.test", "-serverinfo", "65037")
    assert '"token_missing"' in out, "an offer alone (browsers grease it) is no harm: " + out


FEW_BYTES = r"""
import socket, sys, time
s = socket.create_connection(("plain.tls.test", 443))
s.sendall(sys.argv[1].encode("latin-1"))
s.shutdown(socket.SHUT_WR)
began = time.time()
s.settimeout(20)
try:
    s.recv(1000)
except OSError:
    pass
print(time.time() - began)
"""


@pytest.mark.parametrize("first", ["PO", "\x16\x03", ""])
def test_a_few_bytes_and_fin(tls, first):
    out = inside(tls, "/usr/bin/python3", "-c", FEW_BYTES, first)
    assert float(out.stdout) < 5, f"ended by the handshake timer only: {out}"
    assert refused(tls) == "truncated"


SLOW_HELLO = r"""
import socket, ssl, sys, time
context = ssl.create_default_context(cafile=sys.argv[1])
inc, out = ssl.MemoryBIO(), ssl.MemoryBIO()
good = total = 0
def hello():
    global obj, inc, out
    inc, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    obj = context.wrap_bio(inc, out, server_hostname="plain.tls.test")
    try:
        obj.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()
for at in range(1, len(hello())):
    data = hello()
    s = socket.create_connection(("plain.tls.test", 443), timeout=20)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.sendall(data[:at])
    time.sleep(0.002)
    s.sendall(data[at:])
    while True:
        try:
            obj.do_handshake()
            break
        except ssl.SSLWantReadError:
            inc.write(s.recv(65536))
    s.sendall(out.read())
    total += 1
    good += obj.version() == "TLSv1.3"
    s.close()
print(good, total)
"""


def test_hello_split_at_every_byte(tls):
    """Two TCP segments, cut at every byte (records cut at every byte: tests/unit/tls/test_hostile.c)."""
    out = inside(tls, "/usr/bin/python3", "-c", SLOW_HELLO, tls.path("ca.pem"), timeout=120)
    assert out.returncode == 0, out
    good, total = map(int, out.stdout.split())
    assert good == total > 400, out
