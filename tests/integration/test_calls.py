"""Calls that end before they should: either side leaves in any state, and nothing stays behind."""
import json
import os
import subprocess
import time

import pytest

from conftest import rude_lab
from lab.scenarios import API, SPECIAL, wait_for

# Runs in the caller's namespace: each line of `spec["calls"]` is one connection that sends some
# pieces, waits, and leaves with a FIN or a reset.
LEAVERS = r"""
import json, random, socket, ssl, struct, sys, threading, time
spec = json.load(sys.stdin)
context = ssl.create_default_context(cafile=spec["ca"])
left = []
def one(call):
    try:
        raw = socket.create_connection((call["host"], 443), timeout=20)
        s = raw
        if call["pieces"] is not None:
            s = context.wrap_socket(raw, server_hostname=call["host"])
            for piece in call["pieces"]:
                s.sendall(piece.encode("latin-1"))
        time.sleep(call["stay"])
        if call["reset"]:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
        left.append(1)
    except OSError as e:
        print(call, e, file=sys.stderr)
threads = []
for call in spec["calls"]:
    t = threading.Thread(target=one, args=(call,))
    t.start()
    threads.append(t)
for t in threads:
    t.join()
print(len(left))
"""


@pytest.fixture(scope="module")
def lab(make_lab):
    with rude_lab(make_lab, "r") as lab:
        yield lab


def worker(lab):
    return lab.counters()["workers"][0]


@pytest.fixture(autouse=True)
def nothing_left(lab):
    """After each test: no caller, no memory, and an old generation that nobody holds."""
    wait_for("the callers before", lambda: worker(lab)["callers"] == 0, 20)
    before = worker(lab)["memory_used"]
    yield
    wait_for("all callers to be gone", lambda: worker(lab)["callers"] == 0, 20)
    wait_for("the memory to come back", lambda: worker(lab)["memory_used"] == before, 20)
    lab.ctl("rules", "reload")
    wait_for("the old generation to be freed", lambda: lab.counters()["retired"] == 0, 20)


def leave(lab, calls, timeout=90):
    done = subprocess.run(
        ["ip", "netns", "exec", lab.caller, "/usr/bin/python3", "-c", LEAVERS],
        input=json.dumps({"ca": lab.path("ca.pem"), "calls": calls}), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def request(lab, method, path, *fields, host="special.payments.test", body=""):
    head = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {lab.token()}",
            *fields]
    return "\r\n".join(head) + "\r\n\r\n" + body


def states(lab):
    """A caller for every state of a call: how far it gets before it leaves."""
    get, big = request(lab, "GET", "/v1/ok"), "Content-Length: 50000000"
    api = "api.payments.test"
    kind = "Content-Type: application/json"
    return {
        "handshake": ("special.payments.test", None),
        "idle": ("special.payments.test", []),
        "head": ("special.payments.test", [get[:30]]),
        "body": (api, [request(lab, "POST", "/v1/transfers", kind, "Content-Length: 100",
                               host=api, body='{"amount":')]),
        "held": (api, [request(lab, "POST", "/v1/refunds", kind, "Content-Length: 2", host=api,
                               body="{}")]),
        "connecting": ("nobody.payments.test",
                       [request(lab, "GET", "/v1/ok", host="nobody.payments.test")]),
        "waiting": ("special.payments.test", [request(lab, "GET", "/v1/hang")]),
        "upload": ("special.payments.test",
                   [request(lab, "POST", "/v1/ok", big, "Content-Type: text/plain",
                            body="x" * 300000)]),
        "answer": ("special.payments.test", [request(lab, "GET", "/v1/half")]),
        "pipelined": ("special.payments.test", [get + get + get[:40]]),
        "answered": ("special.payments.test", [get]),
    }


STATES = ["handshake", "idle", "head", "body", "held", "connecting", "waiting", "upload", "answer",
          "pipelined", "answered"]


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("state", STATES)
def test_caller_leaves(lab, state, reset):
    host, pieces = states(lab)[state]
    calls = [{"host": host, "pieces": pieces, "stay": stay, "reset": reset}
             for stay in (0, 0.02, 0.4)]
    assert leave(lab, calls) == len(calls)
    if state == "held":
        wait_for("holds to be cancelled",
                 lambda: not lab.ctl_json("holds", "list")["holds"], 20)


def test_random_leavers(lab, sanitized):
    import random
    seed = int(os.environ.get("TEST_SEED", time.time_ns() & 0xffffffff))
    print(f"TEST_SEED={seed}")
    dice, kinds = random.Random(seed), states(lab)
    calls = []
    for _ in range(60 if sanitized else 200):
        host, pieces = kinds[dice.choice(STATES)]
        if pieces and dice.random() < 0.3:  # cut anywhere
            pieces = [pieces[0][:dice.randrange(len(pieces[0]))]]
        calls.append({"host": host, "pieces": pieces, "stay": dice.choice([0, 0.01, 0.1, 0.5, 2]),
                      "reset": dice.random() < 0.5})
    assert leave(lab, calls) > len(calls) // 2
    assert lab.curl(f"{SPECIAL}/v1/ok").status == 200
    verify = lab.tool("audit", "verify", "--directory", lab.path("audit", "store"))
    assert "sound" in verify.stdout


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_retry_when_a_pooled_connection_has_gone(lab, how):
    url = f"{SPECIAL}/v1/once-{how}"
    retries = worker(lab)["call"]["vendor_retries"]

    def settle(*args):
        # The first fills the pool with a connection that takes one request; the second meets it.
        assert lab.curl(f"{SPECIAL}/v1/once-{how}").status == 200
        return lab.curl(url, *args)

    a = settle()
    assert a.status == 200 and a.json["number"] == 1, a
    for field in ("Idempotency-Key: k1", "repeat-token: k2"):
        a = settle("-X", "POST", "-d", "x=1", "-H", field)
        assert a.status == 200 and a.json["number"] == 1, a
    assert worker(lab)["call"]["vendor_retries"] >= retries + 3
    # Whether one of these ran is unknown, so it is not sent twice.
    for fields in ((), ("-H", "Repeat-Token;"), ("-H", "Other-Token: k3"),
                   ("-H", "Repeat-Token: k4", "-H", "Repeat-Token: k5"),
                   ("-H", "Repeat-Token: k6", "-H", "Connection: Repeat-Token")):
        a = settle("-X", "POST", "-d", "x=1", *fields)
        assert a.status == 502 and a.cause == "vendor_closed", (fields, a)


def test_an_answer_nobody_asked_for_reaches_nobody(lab):
    for _ in range(5):
        a = lab.curl(f"{SPECIAL}/v1/extra")
        assert a.status == 200 and a.json["number"] != 666, a
        a = lab.curl(f"{SPECIAL}/v1/ok")
        assert a.status == 200 and a.json["number"] != 666, a


def test_vendor_ends_an_idle_connection(lab):
    for _ in range(3):
        assert lab.curl(f"{SPECIAL}/v1/idle-fin").status == 200
        time.sleep(0.6)
    assert lab.curl(f"{SPECIAL}/v1/ok").status == 200


def test_vendor_breaks_off(lab):
    a = lab.curl(f"{SPECIAL}/v1/none-rst")
    assert a.status == 502 and a.cause == "vendor_closed", a
    a = lab.curl(f"{SPECIAL}/v1/half-rst")
    assert a.exit != 0, f"a cut answer must not look whole: {a}"
    settled = lab.audit("--kind", "call.settled")[-1]
    assert settled["outcome"] == "vendor_truncated", settled
    a = lab.curl("https://nobody.payments.test/v1/ok", timeout=40)
    assert a.status == 502 and a.cause == "vendor_unreachable", a


def test_early_answer_to_a_large_upload(lab):
    path = lab.path("large")
    with open(path, "wb") as f:
        f.write(b"x" * (20 << 20))
    for _ in range(3):
        a = lab.curl(f"{SPECIAL}/v1/early", "-X", "POST", "-T", path, "-H", "Expect:", "-H",
                     "Content-Type: text/plain")
        assert a.status == 413, a
    assert lab.curl(f"{SPECIAL}/v1/ok").status == 200


def test_fields_that_are_judged_are_sent_on(lab):
    """Without its Content-Type the vendor reads the body as a form: what was judged was not that."""
    body = '{"amount": 1, "x": "&amount=99999999&y="}'
    args = ("-X", "POST", "-d", body, "-H", "Content-Type: application/json")
    assert lab.curl(f"{API}/v1/transfers", *args).status == 200
    for name in ("content-type", "idempotency-key", "content-encoding"):
        a = lab.curl(f"{API}/v1/transfers", *args, "-H", f"Connection: {name}", "-H",
                     "Idempotency-Key: k3")
        assert a.status == 400 and a.cause == "bad_connection", a


def test_pool_is_bounded_and_used(lab):
    before = worker(lab)["call"]
    for _ in range(20):
        assert lab.curl(f"{SPECIAL}/v1/ok").status == 200
    after = worker(lab)["call"]
    assert after["vendor_reused"] - before["vendor_reused"] >= 19
    assert after["vendor_connects"] - before["vendor_connects"] <= 1
