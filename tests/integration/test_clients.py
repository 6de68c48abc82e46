"""Clients as Debian packages them, with their defaults and nothing but the CA installed: each makes a GET and a POST
through the box, keeps its connection and resumes its session. And what testssl.sh has to say about the inside."""
import json
import os
import re
import shutil
import subprocess
import time

import pytest

pytestmark = pytest.mark.plain

HERE = os.path.dirname(os.path.abspath(__file__))
HOST = "api.clients.test"
ADDRESS = "10.20.0.30"

NGINX = """worker_processes 1; daemon off; user root; pid {d}/clients.pid; error_log {d}/clients.err warn;
events {{ worker_connections 256; }}
http {{ access_log off; client_body_temp_path {d}/clients-body;
  server {{ listen {address}:443 ssl; ssl_certificate {d}/clients.pem; ssl_certificate_key {d}/clients.key;
    location / {{ default_type application/json;
      return 200 '{{"method":"$request_method","length":"$content_length","agent":"$http_user_agent"}}'; }} }} }}
"""
RULES = """connections:
  clients: {hosts: [%s], identify: oidc}
rules:
  - {id: 6000, name: Clients, on: clients.unlisted, then: allow}
""" % HOST


@pytest.fixture(scope="module")
def box(lab):
    from lab import pki
    key, cert = lab.vendor_ca.issue(HOST)
    pki.write(lab.path("clients.pem"), pki.pem_cert(cert), 0o644)
    pki.write(lab.path("clients.key"), pki.pem_key(key))
    pki.write(lab.path("clients.conf"), NGINX.format(d=lab.dir, address=ADDRESS), 0o644)
    pki.write(lab.path("rules", "clients.yaml"), RULES, 0o644)
    lab.sh(lab.vendor, f"ip addr add {ADDRESS}/24 dev v0")
    with open(f"/etc/netns/{lab.caller}/hosts", "a") as f:
        f.write(f"{ADDRESS} {HOST}\n")
    lab.spawn(lab.vendor, "nginx", "-c", lab.path("clients.conf"), log="clients.log")
    lab.ctl("rules", "reload")
    return lab


def inside(lab, *command, timeout=100, env=None, input=None):
    return subprocess.run(["ip", "netns", "exec", lab.caller, *command], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=timeout, input=input,
                          env={**os.environ, "HOME": lab.dir, **(env or {})})


def need(program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


def last_line(done):
    assert done.returncode == 0, done
    return json.loads(done.stdout.strip().splitlines()[-1])


def good(said, version="TLSv1.3"):
    assert said["get"] == 200 and said["post"] == 200, said
    assert said["method"] == "POST" and int(said["length"]) == len("hello=world"), said
    assert said["keptAlive"] is True and said["resumed"] is True, said
    assert said["version"] == version, said


def counters(lab):
    return lab.counters()["workers"][0]["tls"]


def test_curl(box):
    before = counters(box)
    done = inside(box, "curl", "-sSv", "--cacert", box.path("ca.pem"), "-H", f"Authorization: Bearer {box.token()}",
                  f"https://{HOST}/v1/x", "--next", "-sS", "--cacert", box.path("ca.pem"), "-H",
                  f"Authorization: Bearer {box.token()}", "-d", "hello=world", f"https://{HOST}/v1/x")
    assert '"method":"GET"' in done.stdout and '"method":"POST","length":"11"' in done.stdout, done
    assert "ALPN" in done.stderr and counters(box)["server_handshakes"] == before["server_handshakes"] + 1, done


def test_wget(box):
    need("wget")
    for args, says in (([], "GET"), (["--post-data=hello=world"], "POST")):
        done = inside(box, "wget", "-qO-", f"--ca-certificate={box.path('ca.pem')}",
                      f"--header=Authorization: Bearer {box.token()}", *args, f"https://{HOST}/v1/x")
        assert done.returncode == 0 and f'"method":"{says}"' in done.stdout, done


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl(box, version):
    """s_client verifies name and chain, sees one answer, and resumes with -sess_in."""
    request = (f"GET /v1/x HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {box.token()}\r\n\r\n"
               f"POST /v1/x HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {box.token()}\r\n"
               "Content-Length: 11\r\nConnection: close\r\n\r\nhello=world")
    common = ["openssl", "s_client", version, "-connect", f"{HOST}:443", "-CAfile", box.path("ca.pem"),
              "-verify_return_error", "-verify_hostname", HOST, "-servername", HOST, "-ign_eof"]
    first = inside(box, *common, "-sess_out", box.path("sess"), input=request)
    assert first.stdout.count("HTTP/1.1 200") == 2 and "New, TLSv1" in first.stdout, first
    second = inside(box, *common, "-sess_in", box.path("sess"), input=request)
    assert second.stdout.count("HTTP/1.1 200") == 2 and "Reused, TLSv1" in second.stdout, second
    assert "Verify return code: 0 (ok)" in first.stdout


def test_gnutls(box):
    need("gnutls-cli")
    # It verifies, makes a second connection with the first one's session, and speaks then.
    p = subprocess.Popen(["ip", "netns", "exec", box.caller, "gnutls-cli", "-r", "--x509cafile", box.path("ca.pem"),
                          HOST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    p.stdin.write(f"GET /v1/x HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {box.token()}\r\n"
                  "Connection: close\r\n\r\n")
    p.stdin.flush()
    out, _ = p.communicate(timeout=60)
    assert "HTTP/1.1 200" in out and "This is a resumed session" in out, out


def test_python(box):
    good(said := last_line(inside(box, "/usr/bin/python3", f"{HERE}/clients/client.py", HOST, box.token(),
                                  box.path("ca.pem"), env={"REQUESTS_CA_BUNDLE": box.path("ca.pem")})))
    assert said.get("requests", [200, 200]) == [200, 200], said


def test_node(box):
    need("node")
    good(last_line(inside(box, "node", f"{HERE}/clients/client.mjs", HOST, box.token(),
                          env={"NODE_EXTRA_CA_CERTS": box.path("ca.pem")})))


def test_go(box):
    need("go")
    run = subprocess.run(["go", "build", "-o", box.path("client-go"), f"{HERE}/clients/client.go"], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
                         env={**os.environ, "HOME": box.dir, "GOPROXY": "off", "GOFLAGS": "-mod=mod", "GO111MODULE": "off",
                              "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"})
    assert run.returncode == 0, run.stdout
    good(last_line(inside(box, box.path("client-go"), HOST, box.token(), env={"SSL_CERT_FILE": box.path("ca.pem")})))


def test_java(box):
    need("java")
    need("keytool")
    store = box.path("trust.p12")
    subprocess.run(["keytool", "-importcert", "-noprompt", "-alias", "org", "-file", box.path("ca.pem"), "-keystore",
                    store, "-storetype", "PKCS12", "-storepass", "changeit"], check=True, stdout=subprocess.PIPE,
                   stderr=subprocess.PIPE)
    before = counters(box)
    said = last_line(inside(box, "java", "-XX:TieredStopAtLevel=1", f"-Djavax.net.ssl.trustStore={store}",
                            "-Djavax.net.ssl.trustStorePassword=changeit", f"{HERE}/clients/Client.java", HOST,
                            box.token()))
    assert said["get"] == 200 and said["post"] == 200 and said["old"] is True, said
    assert said["said"]["method"] == "POST" and said["said"]["length"] == "11", said
    assert said["version"] == "TLSv1.3", said
    after = counters(box)
    assert after["server_resumed"] > before["server_resumed"], (before, after)
    # HttpClient keeps one connection for two calls; the older one keeps one too; two are made by hand.
    assert after["server_handshakes"] - before["server_handshakes"] == 4, (before, after)


# What a private CA does not have, or what testssl.sh 3.0 cannot see here; all else must be OK, INFO or LOW.
EXCUSED = {
    "cert_chain_of_trust": "the organisation's own CA is in no public store",
    "cert_revocation": "leaves live a week and are minted on demand: no CRL, no OCSP",
    "cert_crlDistributionPoints": "the same",
    "cert_ocspURL": "the same",
    "OCSP_stapling": "the same",
    "DNS_CAArecord": "the name is the vendor's",
    "certificate_transparency": "private CAs do not log",
    "engine_problem": "about the machine's own openssl: no GOST",
    "sessionresumption_ticket": "s_client leaves before TLS 1.3's tickets come; resumption is tested above",
    "secure_renego": "asks without SNI, which is refused; renegotiation: tests/unit/tls/test_server.c",
}


def test_testssl(box):
    """Takes about half a minute on an idle machine."""
    need("testssl")
    out = box.path("testssl.json")
    began = time.time()
    # Leaves live a week: the days at which testssl.sh warns are for certificates of a year.
    done = inside(box, "testssl", "--quiet", "--warnings", "off", "--color", "0", "--nodns", "none", "--ip", ADDRESS,
                  "--add-ca", box.path("ca.pem"), "--assuming-http", "--sneaky", "--jsonfile", out, "-p", "-s", "-f",
                  "-S", "-U", "-P", HOST, timeout=400, env={"DAYS2WARN1": "2", "DAYS2WARN2": "1"})
    with open(out) as f:
        findings = json.load(f)
    took = time.time() - began
    bad = [x for x in findings if x["severity"] not in ("OK", "INFO", "LOW", "DEBUG") and
           re.sub(r"[ <].*", "", x["id"]) not in EXCUSED]
    count = {s: sum(x["severity"] == s for x in findings) for s in {x["severity"] for x in findings}}
    print(f"testssl.sh: {len(findings)} findings in {took:.0f} s: {count}; grade {grade(findings, bad)}")
    assert len(findings) > 60, done.stdout[-2000:]
    assert not bad, "\n".join(f"{x['id']}: {x['severity']}: {x['finding']}" for x in bad)
    assert grade(findings, bad) == "A"


def grade(findings, bad):
    """testssl.sh 3.0 gives none. By the published SSL Labs criteria: A needs nothing older than TLS 1.2, TLS 1.3, no
    cipher without forward secrecy or AEAD, 2048 bits or P-256, and no known weakness."""
    said = {x["id"]: x["finding"] for x in findings}
    old = any(said[v] != "not offered" for v in ("SSLv2", "SSLv3", "TLS1", "TLS1_1"))
    new = said["TLS1_2"].startswith("offered") and said["TLS1_3"].startswith("offered")
    weak = any(said[c] != "not offered" for c in said if c.startswith("cipherlist_") and c not in
               ("cipherlist_STRONG",))
    return "A" if new and not (old or weak or bad) else "B or worse"
