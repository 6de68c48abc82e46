"""The life of a set of rules on the running appliance: replaced under load, kept by calls that began with it, counted,
rolled back, over a restart too."""
import json
import re
import subprocess
import threading
import time

import pytest

from lab.scenarios import API, wait_for

EXTRA = """rules:
  - id: 9000
    rev: {rev}
    name: Extra
    on: payments.transfer.create
    when: body.amount > {limit}
    then: {then}
    message: Blocked by the extra rule.
"""


def write_extra(lab, rev=1, limit=1000000, then="block"):
    with open(lab.path("rules", "extra.yaml"), "w") as f:
        f.write(EXTRA.format(rev=rev, limit=limit, then=then))


def resident_kib(lab):
    with open(f"/proc/{lab.pid()}/smaps_rollup") as f:
        return int(re.search(r"Private_Dirty: +(\d+) kB", f.read())[1])


def transfer(lab, amount):
    return lab.curl(f"{API}/v1/transfers", "-H", "Content-Type: application/json", "-d", json.dumps({"amount": amount}))


def test_thousand_reloads_under_load(lab, sanitized):
    """No call fails, every set is one that was asked for, old sets go, and memory does not grow."""
    count, warm = (100, 20) if sanitized else (1000, 200)
    first, seconds = lab.counters()["generation"], 12 if sanitized else 40
    load = subprocess.Popen(
        ["ip", "netns", "exec", lab.caller, "wrk", "-t1", "-c16", f"-d{seconds}s", "--timeout", "10s",
         "-H", f"Authorization: Bearer {lab.token()}", f"{API}/v1/bench"], stdout=subprocess.PIPE, text=True)
    sizes, done = [], 0
    while done < count:
        write_extra(lab, rev=done % 7 + 1, limit=1000000 + done)
        answer = lab.ctl_json("rules", "reload")
        done += 1
        assert answer["generation"] == first + done, answer
        if done % warm == 0:
            sizes.append(resident_kib(lab))
    out = load.communicate(timeout=seconds + 30)[0]
    refused = {k: n for k, n in lab.counters()["workers"][0]["call"]["causes"].items() if n}
    assert "Non-2xx" not in out and "Socket errors" not in out, (out, refused)
    assert int(re.search(r"(\d+) requests in", out)[1]) > 100, out
    wait_for("the old sets to be freed", lambda: lab.counters()["retired"] == 0, 20)
    print("private memory after each", warm, "reloads, KiB:", sizes)
    if not sanitized:  # a sanitizer keeps what was freed for a while
        assert sizes[-1] - sizes[0] < 8192, f"private memory after each {warm} reloads, KiB: {sizes}"
    assert len(lab.ctl_json("rules", "history")["sets"]) <= 100
    records = lab.audit("--kind", "rules.loaded", "--limit", "5000")
    assert [r["generation"] for r in records][-count:] == list(range(first + 1, first + count + 1))
    lab.tool("audit", "verify", "--directory", lab.path("audit", "store"))


SLOW = r"""
import socket, ssl, sys
ca, token = sys.argv[1:]
s = ssl.create_default_context(cafile=ca).wrap_socket(socket.create_connection(("api.payments.test", 443), timeout=20),
                                                      server_hostname="api.payments.test")
body = b'{"amount": 40000}'
s.sendall(b"POST /v1/transfers HTTP/1.1\r\nHost: api.payments.test\r\nContent-Type: application/json\r\n"
          b"Authorization: Bearer " + token.encode() + b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n"
          + body[:5])
print("begun", flush=True)
sys.stdin.readline()
s.sendall(body[5:])
print(s.recv(4000).split(b"\r\n")[0].decode())
"""


def test_a_call_keeps_the_set_it_began_with(lab):
    write_extra(lab)
    generation = lab.ctl_json("rules", "reload")["generation"]
    call = subprocess.Popen(["ip", "netns", "exec", lab.caller, "/usr/bin/python3", "-c", SLOW, lab.path("ca.pem"),
                             lab.token()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert call.stdout.readline() == "begun\n"
    wait_for("the call to arrive", lambda: lab.counters()["workers"][0]["callers"] > 0)
    time.sleep(0.2)
    write_extra(lab, rev=2, limit=30000)
    lab.ctl("rules", "reload")
    a = transfer(lab, 40000)
    assert (a.status, a.cause) == (403, "blocked_by_rule"), a
    assert lab.counters()["retired"] == 1
    out = call.communicate("go\n", timeout=20)[0]
    assert out == "HTTP/1.1 200 OK\n", out
    wait_for("the old set to be freed", lambda: lab.counters()["retired"] == 0, 20)
    first, second = [r for r in lab.audit("--kind", "call.decided", "--function", "payments.transfer.create")][-2:]
    assert (first["decision"], first["generation"]) == ("block", generation + 1), first
    assert (second["decision"], second["generation"]) == ("allow", generation), second


def hits(lab, rule):
    return next(r for r in lab.ctl_json("rules", "hits")["rules"] if r["id"] == rule)


def test_hits(lab):
    write_extra(lab, rev=100, limit=30000)
    lab.ctl("rules", "reload")
    assert hits(lab, 9000)["matched"] == 0
    assert "9000" in lab.ctl("rules", "hits", "--never").stdout
    before = hits(lab, 200)
    assert transfer(lab, 40000).status == 403
    assert transfer(lab, 100).status == 200
    lab.curl(f"{API}/v1/transfers", "-H", "Content-Type: application/json", "-d", "{}")  # rule 210 is named for it
    extra, small = hits(lab, 9000), hits(lab, 200)
    assert (extra["matched"], extra["decided"], extra["unknown"]) == (2, 1, 1), extra
    assert small["matched"] - before["matched"] == 2, (before, small)  # 40000 is one too: the block was stricter
    assert small["decided"] - before["decided"] == 1, (before, small)
    lab.ctl("rules", "reload")
    assert hits(lab, 9000) == extra  # kept over a reload


def test_rollback(lab):
    write_extra(lab, rev=201, limit=30000)
    good = lab.ctl_json("rules", "reload")["set"]
    write_extra(lab, rev=202, limit=10)  # somebody's slip: nothing passes
    lab.ctl("rules", "reload")
    assert transfer(lab, 100).status == 403
    answer = lab.ctl_json("rules", "rollback")
    assert answer["set"] == good, answer
    assert transfer(lab, 100).status == 200
    record = lab.audit("--kind", "rules.loaded")[-1]
    assert record["detail"] == f"rolled back to set {good}", record
    assert lab.counters()["rolled_back"] is True
    assert lab.stop_turnpike() == 0
    lab.start_turnpike()  # the rules directory still holds the slip
    assert lab.counters()["set"] == good and lab.counters()["rolled_back"] is True
    assert transfer(lab, 100).status == 200
    lab.ctl("rules", "reload")
    assert transfer(lab, 100).status == 403
    assert lab.ctl("rules", "rollback", "4711", check=False).returncode == 4
    assert lab.ctl("rules", "rollback", str(good)).returncode == 0
    assert transfer(lab, 100).status == 200


FOUND = """rules:
  - id: 9100
    name: No card in what is read, and no more than two in what is paid
    on: [payments.read, payments.transfer.create]
    when: found("pci.card") > 2
    then: block
    message: Too many cards.
"""


def test_found(lab):
    """What detectors find in path, query, fields and body decides, in a body of any size too."""
    with open(lab.path("rules", "extra.yaml"), "w") as f:
        f.write(FOUND)
    lab.ctl("rules", "reload")
    card, filler = "4242424242424242", "x" * 40000

    def send(cards):
        return lab.curl(f"{API}/v1/transfers", "-H", "Content-Type: application/json", "-d",
                        json.dumps({"amount": 1, "cards": cards}))
    assert send([card, card]).status == 200
    a = send([card, card, card])
    assert (a.status, a.cause) == (403, "blocked_by_rule") and "Too many cards." in a.body, a
    assert send([card, filler, card, filler, card]).status == 403  # longer than one look
    assert send([card, filler, card, filler]).status == 200
    assert lab.curl(f"{API}/v1/bench?a={card}&b={card}", "-H", f"X-Note: {card}").status == 403
    assert lab.curl(f"{API}/v1/bench?a={card}&b={card}").status == 200


@pytest.fixture(autouse=True)
def as_it_was(lab):
    yield
    write_extra(lab)
    lab.ctl("rules", "reload")
