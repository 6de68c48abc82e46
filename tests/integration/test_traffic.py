"""Volume, loss and many callers through the whole box."""
import hashlib
import os
import re
import subprocess

import pytest

from lab import scenarios

MIB = 1 << 20


def make_file(path, size):
    """Bytes that do not compress and hold no card numbers; returns their SHA-256."""
    digest = hashlib.sha256()
    with open(path, "wb") as f:
        for at in range(0, size, MIB):
            block = os.urandom(min(MIB, size - at))
            digest.update(block)
            f.write(block)
    return digest.hexdigest()


def file_hash(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(MIB):
            digest.update(block)
    return digest.hexdigest()


def unmasked(lab):
    """Random bytes can look like a card or an address; masks would rightly change them."""
    path = lab.path("rules", "payments.yaml")
    with open(path) as f:
        text = f.read()
    with open(path, "w") as f:
        f.write(text.replace("in: [audit, caller]", "in: [audit]"))
    lab.ctl("rules", "reload")


@pytest.fixture(scope="module")
def plain_lab(lab):
    unmasked(lab)
    return lab


def download(lab, name, wanted, timeout):
    out = lab.path("download")
    lab.sh(lab.caller, f"curl -sS --fail --max-time {timeout} --cacert {lab.path('ca.pem')} "
                       f"-H 'Authorization: Bearer {lab.token()}' -o {out} "
                       f"{scenarios.API}/files/{name}", timeout=timeout + 10)
    got = file_hash(out)
    os.unlink(out)
    assert got == wanted, f"SHA-256 of the download: expected {wanted}, got {got}"


def upload(lab, path, wanted, timeout, *extra):
    a = lab.curl(f"{scenarios.API}/v1/files", "-H", "Content-Type: application/octet-stream",
                 "-T", path, "-X", "POST", *extra, timeout=timeout)
    assert a.status == 200, a
    assert a.json == {"length": os.path.getsize(path), "sha256": wanted}, a


def test_volume(plain_lab, sanitized):
    lab, size = plain_lab, 64 * MIB if sanitized else 1024 * MIB
    path = lab.path("www", "files", "big")
    wanted = make_file(path, size)
    download(lab, "big", wanted, 240)
    upload(lab, path, wanted, 240)
    upload(lab, path, wanted, 240, "-H", "Transfer-Encoding: chunked", "-H", "Content-Length:")
    settled = lab.audit("--kind", "call.settled", "--function", "payments.file.upload")[-1]
    assert settled["body_size"] == size and settled["body_sha256"] == wanted, settled
    os.unlink(path)


def lossy(lab, ns, probability):
    lab.sh(ns, f"iptables -A INPUT -p tcp -m statistic --mode random --probability {probability} "
               "-j DROP")


@pytest.mark.parametrize("probability", [0.02])
def test_loss(plain_lab, probability, sanitized):
    """2% of all packets lost on both kernel peers' side, both directions of the transfer."""
    lab, size = plain_lab, (4 if sanitized else 20) * MIB
    path = lab.path("www", "files", "lossy")
    wanted = make_file(path, size)
    for ns in (lab.caller, lab.vendor):
        lossy(lab, ns, probability)
        # What turnpike sends is lost above; what it receives is lost on the way out.
        lab.sh(ns, f"iptables -A OUTPUT -p tcp -m statistic --mode random --probability "
                   f"{probability} -j DROP")
    try:
        download(lab, "lossy", wanted, 200)
        upload(lab, path, wanted, 200)
    finally:
        for ns in (lab.caller, lab.vendor):
            lab.sh(ns, "iptables -F")


def test_checksums(plain_lab):
    """Captures on both kernel sides while calls pass: not one bad checksum."""
    lab = plain_lab
    captures = []
    for ns, end in ((lab.caller, "c0"), (lab.vendor, "v0")):
        path = lab.path(f"{end}.pcap")
        p = lab.spawn(ns, "tcpdump", "-i", end, "-w", path, "-U", "--immediate-mode")
        captures.append((p, path))
    scenarios.wait_for("both captures", lambda: all(os.path.exists(c) for _, c in captures))
    path = lab.path("www", "files", "small")
    wanted = make_file(path, 3 * MIB)
    for _ in range(3):
        assert lab.curl(f"{scenarios.API}/v1/charges/ch_1").status == 200
    download(lab, "small", wanted, 60)
    upload(lab, path, wanted, 60)
    lab.sh(lab.caller, "ping -c 3 -W 2 10.10.0.1")
    for p, capture in captures:
        p.terminate()
        p.wait(10)
        fields = subprocess.run(
            ["tshark", "-r", capture, "-o", "tcp.check_checksum:TRUE", "-o",
             "ip.check_checksum:TRUE", "-T", "fields", "-e", "ip.checksum.status", "-e",
             "tcp.checksum.status", "-e", "icmp.checksum.status"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
        rows = [r.split("\t") for r in fields.splitlines()]
        assert len(rows) > 100, f"{capture}: only {len(rows)} packets"
        bad = [r for r in rows if "0" in r]
        assert not bad, f"{capture}: {len(bad)} of {len(rows)} packets with a bad checksum"


def test_many_callers(lab, sanitized):
    """64 connections, no failed request; every one of them is in the store."""
    seconds = 5 if sanitized else 20
    before = lab.counters()["workers"][0]["call"]["settled"]
    done = lab.sh(lab.caller, f"wrk -t1 -c64 -d{seconds}s --timeout 10s -H 'Authorization: Bearer "
                              f"{lab.token()}' {scenarios.API}/v1/bench", timeout=seconds + 30)
    assert "Non-2xx" not in done.stdout and "Socket errors" not in done.stdout, done.stdout
    requests = int(re.search(r"(\d+) requests in", done.stdout).group(1))
    settled = lab.counters()["workers"][0]["call"]["settled"] - before
    print(done.stdout)
    assert requests > 100, done.stdout
    assert settled >= requests, f"{requests} requests answered, {settled} settled"
    verify = lab.tool("audit", "verify", "--directory", lab.path("audit", "store"))
    assert "sound" in verify.stdout


def test_new_connections(lab, sanitized):
    """A connection a call: handshakes, closes and TIME_WAIT, none of which may leak."""
    count = 40 if sanitized else 150
    token = lab.token()
    urls = " ".join(f"{scenarios.API}/v1/charges/{i}" for i in range(count))
    done = lab.sh(lab.caller, f"for u in {urls}; do curl -sS -o /dev/null -w '%{{http_code}} ' "
                              f"--cacert {lab.path('ca.pem')} -H 'Authorization: Bearer {token}' $u; "
                              "done", timeout=180)
    assert done.stdout.split() == ["200"] * count, done.stdout
    scenarios.wait_for("all callers' connections to be freed",
                       lambda: lab.counters()["workers"][0]["callers"] == 0)
