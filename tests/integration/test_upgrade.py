"""Upgraded connections, interim answers and how long the pool keeps, against the rude vendor."""
import json
import subprocess
import time

import pytest

from conftest import rude_lab
from lab.scenarios import API, SPECIAL, expect, wait_for

# Runs in the caller's namespace. Over BIOs, since only so a TLS session can end one way and go on
# reading: prints what came after the head, and how the peer ended.
CALLER = r"""
import json, socket, ssl, sys
spec = json.load(sys.stdin)
raw = socket.create_connection((spec["host"], 443), timeout=20)
context = ssl.create_default_context(cafile=spec["ca"])
inp, out = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(inp, out, server_hostname=spec["host"])
def step(call, *args):
    while True:
        try:
            return call(*args)
        except ssl.SSLWantReadError:
            raw.sendall(out.read())
            part = raw.recv(65536)
            if not part:
                raise OSError("EOF")
            inp.write(part)
        finally:
            raw.sendall(out.read())
def read():
    try:
        part = step(tls.read, 65536)
        return part, None if part else "closed"
    except ssl.SSLZeroReturnError:
        return b"", "closed"
    except (ssl.SSLError, OSError) as e:
        return b"", "cut" if "EOF" in str(e) else str(e)
step(tls.do_handshake)
step(tls.write, spec["request"].encode())
got, end = b"", None
def until(want):
    global got, end
    while end is None and want not in got:
        part, end = read()
        got += part
until(b"\r\n\r\n")
head, got = got.split(b"\r\n\r\n", 1)
for text in spec["says"]:
    step(tls.write, text.encode())
    until(text[-20:].encode())
if spec["close"]:
    try:
        tls.unwrap()
    except ssl.SSLError:  # it waits for the peer's, or meets what still comes
        pass
    raw.sendall(out.read())
until(b"\0never\0")
print(json.dumps({"head": head.decode("latin-1"), "got": got.decode("latin-1"), "end": end}))
"""


@pytest.fixture(scope="module")
def lab(make_lab):
    with rude_lab(make_lab, "u") as lab:
        yield lab


def worker(lab):
    return lab.counters()["workers"][0]


def upgrade(lab, word, *says, close=False, host="special.payments.test", protocol="websocket", method="GET",
            fields=()):
    request = "\r\n".join([f"{method} /v1/{word} HTTP/1.1", f"Host: {host}",
                           f"Authorization: Bearer {lab.token()}", "Connection: Upgrade",
                           f"Upgrade: {protocol}", "Sec-WebSocket-Key: k", *fields]) + "\r\n\r\n"
    done = subprocess.run(
        ["ip", "netns", "exec", lab.caller, "/usr/bin/python3", "-c", CALLER],
        input=json.dumps({"host": host, "ca": lab.path("ca.pem"), "request": request, "says": says,
                          "close": close}), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def settled(lab):
    return lab.audit("--kind", "call.settled")[-1]


def test_echo_and_half_close(lab):
    """The caller's end is passed on alone: what the vendor says afterwards still comes."""
    says = ["one", "x" * 100000 + "tail-of-the-large-one", "three"]
    r = upgrade(lab, "ws", *says, close=True)
    assert r["head"].startswith("HTTP/1.1 101 "), r
    assert "Upgrade: websocket" in r["head"] and "Sec-WebSocket-Accept: x" in r["head"], r
    expect("echo", "hello" + "".join(says) + "bye", r["got"])
    expect("end", "closed", r["end"])
    total = len("".join(says))
    s = wait_for("the record", lambda: settled(lab) if "tunnel_up" in settled(lab) else None)
    expect("tunnel_up", total, s["tunnel_up"], s)
    expect("tunnel_down", total + len("hellobye"), s["tunnel_down"], s)
    expect("outcome", "ok", s["outcome"], s)
    expect("vendor_status", 101, s["vendor_status"], s)
    head = [json.loads(x) for x in open(lab.path("rude.log"))][-1]["head"]
    assert "Connection: Upgrade" in head and "Upgrade: websocket" in head, head
    assert any(x.startswith("Authorization: Bearer sk_live_CANARY_special") for x in head), head


def test_vendor_ends_first(lab):
    r = upgrade(lab, "ws-push")
    expect("bytes", 200000, len(r["got"]))
    expect("end", "closed", r["end"])


def test_vendor_breaks_off(lab):
    """An end without close_notify must not look like one with it."""
    r = upgrade(lab, "ws-cut")
    expect("bytes", 1000, len(r["got"]))
    expect("end", "cut", r["end"])
    expect("outcome", "vendor_truncated", settled(lab)["outcome"])


def test_vendor_declines(lab):
    r = upgrade(lab, "ws-no", close=True)
    assert r["head"].startswith("HTTP/1.1 403 "), r
    assert "Upgrade" not in r["head"], r


def test_vendor_agrees_to_something_else(lab):
    r = upgrade(lab, "ws-other", close=True)
    assert r["head"].startswith("HTTP/1.1 502 ") and "vendor_switched_protocols" in r["got"], r


def test_idle_time(lab):
    began = time.time()
    r = upgrade(lab, "ws", "ping")
    assert 2.5 < time.time() - began < 15, time.time() - began
    expect("end", "cut", r["end"], r)
    expect("outcome", "upgrade_idle", settled(lab)["outcome"])


@pytest.mark.parametrize("what", [
    {"protocol": "h2c"}, {"protocol": "websocket, h2c"}, {"protocol": "websocket/13"},
    {"fields": ["Upgrade: websocket"]}, {"method": "POST"}, {"fields": ["Content-Length: 1"]},
    {"fields": ["Transfer-Encoding: chunked"]}, {"host": "api.payments.test"}],
    ids=lambda w: "-".join(map(str, w.values())))
def test_not_allowed(lab, what):
    before = lab.vendor_packets(), worker(lab)["call"]["upgraded"]
    time.sleep(1.2)  # pooled connections of earlier tests fall silent
    before = lab.vendor_packets(), worker(lab)["call"]["upgraded"]
    r = upgrade(lab, "ws", close=True, **what)
    assert r["head"].startswith("HTTP/1.1 400 ") and '"cause":"upgrade"' in r["got"], r
    expect("packets that the vendor saw", before[0], lab.vendor_packets())
    expect("upgrades", before[1], worker(lab)["call"]["upgraded"])


def test_upgrade_that_no_connection_option_names_is_ignored(lab):
    """RFC 9110 7.8: such a field has no meaning; it is not sent on."""
    a = lab.curl(f"{SPECIAL}/v1/ok", "-H", "Upgrade: websocket")
    expect("status", 200, a.status, a)
    head = [json.loads(x) for x in open(lab.path("rude.log"))][-1]["head"]
    assert not any(x.lower().startswith("upgrade") for x in head), head


def test_interim_answers_are_passed_on(lab):
    a = subprocess.run(["ip", "netns", "exec", lab.caller, "curl", "-sS", "-i", "--cacert", lab.path("ca.pem"),
                        "-H", f"Authorization: Bearer {lab.token()}", f"{SPECIAL}/v1/interim"],
                       stdout=subprocess.PIPE, text=True, timeout=30).stdout
    heads = [part.split("\n")[0].strip() for part in a.split("HTTP/1.1 ")[1:]]
    expect("answers", ["103 Early Hints", "103 Early Hints", "200 OK"], heads, a)
    assert "Link: </1>" in a and "Link: </2>" in a and "X-Hop" not in a, a


def test_interim_answers_without_end(lab):
    a = lab.curl(f"{SPECIAL}/v1/interims")
    expect("status", 502, a.status, a)
    expect("cause", "too_many_interim_answers", a.cause, a)


def silent_fins(lab):
    return worker(lab)["call"]["vendor_idle_closed"]


def connects(lab):
    return worker(lab)["call"]["vendor_connects"]


def test_the_vendor_says_how_long_it_waits(lab):
    """`Keep-Alive: timeout=2`: ours is closed before, and while it may be used it is."""
    lab.curl(f"{SPECIAL}/v1/told-2s")
    before, closed = connects(lab), silent_fins(lab)
    lab.curl(f"{SPECIAL}/v1/told-2s")
    expect("connects", before, connects(lab))
    wait_for("our close", lambda: silent_fins(lab) > closed, 1.9)
    lab.curl(f"{SPECIAL}/v1/ok")
    expect("connects", before + 1, connects(lab))


def test_the_vendors_limit_is_learned(lab):
    """The vendor ends an idle connection after 2 s; the next one is ended by us at 1.5 s."""
    lab.curl(f"{SPECIAL}/v1/idle-2s")
    closed = silent_fins(lab)
    wait_for("the vendor's close", lambda: silent_fins(lab) > closed, 5)
    lab.curl(f"{SPECIAL}/v1/ok")  # it would wait for 70 s
    closed, began = silent_fins(lab), time.time()
    wait_for("our close", lambda: silent_fins(lab) > closed, 5)
    assert time.time() - began < 1.95, time.time() - began
    assert lab.curl(f"{API}/v1/charges/1").status == 200
