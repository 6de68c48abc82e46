"""Every message of tests/http/hostile.txt through the whole box: refused by its cause, the vendor sees
nothing of it, and what stands behind it on the connection is not taken for a request."""
import base64
import collections
import json
import os
import subprocess
import sys

import pytest

from conftest import ROOT, rude_lab
from lab.scenarios import SPECIAL, expect, wait_for

sys.path.insert(0, os.path.join(ROOT, "tests", "http"))
import hostile  # noqa: E402

# Runs in the caller's namespace: a connection a message; prints what came and how it ended.
SENDER = r"""
import base64, json, queue, socket, ssl, sys, threading
spec = json.load(sys.stdin)
context = ssl.create_default_context(cafile=spec["ca"])
results, work = [None] * len(spec["messages"]), queue.Queue()
def one(message):
    out, end = b"", "closed"
    s = context.wrap_socket(socket.create_connection((spec["host"], 443), timeout=20),
                            server_hostname=spec["host"], suppress_ragged_eofs=False)
    try:
        try:
            s.sendall(base64.b64decode(message))
        except OSError:
            pass
        while part := s.recv(65536):
            out += part
    except OSError as e:
        end = str(e)
    s.close()
    return [base64.b64encode(out).decode(), end]
def run():
    while True:
        try:
            i = work.get_nowait()
        except queue.Empty:
            return
        results[i] = one(spec["messages"][i])
for i in range(len(results)):
    work.put(i)
threads = [threading.Thread(target=run) for _ in range(4)]
for t in threads: t.start()
for t in threads: t.join()
json.dump(results, sys.stdout)
"""


@pytest.fixture(scope="module")
def lab(make_lab):
    with rude_lab(make_lab, "h") as lab:
        yield lab


def send(lab, messages, host):
    done = subprocess.run(
        ["ip", "netns", "exec", lab.caller, "/usr/bin/python3", "-c", SENDER],
        input=json.dumps({"host": host, "ca": lab.path("ca.pem"),
                          "messages": [base64.b64encode(m).decode() for m in messages]}),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [(base64.b64decode(out), end) for out, end in json.loads(done.stdout)]


def head(lab, line, *fields, host="api.payments.test"):
    return "\r\n".join([line, f"Host: {host}", f"Authorization: Bearer {lab.token()}", *fields,
                        "", ""]).encode()


def answers(text):
    return [int(part[:3]) for part in text.split(b"HTTP/1.1 ")[1:]]


def cause_of(text):
    return json.loads(text.split(b"\r\n\r\n", 1)[1])["turnpike"]["cause"]


def test_requests(lab):
    rows = list(hostile.rows("request", "field", "target", "host", "chunks"))
    chunked = head(lab, "POST /v1/transfers HTTP/1.1", "Transfer-Encoding: chunked",
                   "Content-Type: application/json")
    behind = head(lab, "GET /v1/smuggled HTTP/1.1")
    lab.curl(f"{SPECIAL}/v1/idle-fin")
    wait_for("a silent pool", lambda: lab.counters()["workers"][0]["vendors"] == 0, 60)
    packets, records = lab.vendor_packets(), len(lab.audit("--kind", "call.decided"))
    results = send(lab, [(chunked + r.bytes if r.kind == "chunks" else hostile.whole(r)) + behind
                         for r in rows], "api.payments.test")
    for row, (text, end) in zip(rows, results):
        where = f"hostile.txt:{row.line}: {row}: {text!r} {end}"[:900]
        expect("answers", [400], answers(text), where)
        expect("cause", row.cause, cause_of(text), where)
        expect("end", "closed", end, where)
    expect("packets that the vendor saw", packets, lab.vendor_packets())
    new = lab.audit("--kind", "call.decided")[records:]
    expect("causes in the records", collections.Counter(r.cause for r in rows),
           collections.Counter(r["cause"] for r in new))
    assert all(r["decision"] == "block" for r in new)
    print(f"{len(rows)} hostile requests")


def say(lab, text):
    return head(lab, "POST /v1/say HTTP/1.1", f"Content-Length: {len(text)}",
                "Content-Type: application/octet-stream", host="special.payments.test") + text


def test_answers(lab):
    """The caller gets one 502 with the cause, and its connection is still in step."""
    rows = list(hostile.rows("answer", "answer-field"))
    behind = head(lab, "GET /v1/ok HTTP/1.1", "Connection: close", host="special.payments.test")
    results = send(lab, [say(lab, hostile.whole(r)) + behind for r in rows], "special.payments.test")
    for row, (text, end) in zip(rows, results):
        where = f"hostile.txt:{row.line}: {row}: {text!r} {end}"[:900]
        expect("answers", [502, 200], answers(text), where)
        expect("cause", row.cause, cause_of(text.rsplit(b"HTTP/1.1 200", 1)[0]), where)
        expect("end", "closed", end, where)
    print(f"{len(rows)} hostile answers")


def test_answers_in_chunks(lab):
    """The head has been passed on: only a connection that breaks can say that the body is not whole."""
    rows = list(hostile.rows("chunks"))
    before = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    behind = head(lab, "GET /v1/ok HTTP/1.1", "Connection: close", host="special.payments.test")
    results = send(lab, [say(lab, before + r.bytes) + behind for r in rows], "special.payments.test")
    for row, (text, end) in zip(rows, results):
        where = f"hostile.txt:{row.line}: {row}: {text!r} {end}"[:900]
        assert not text.endswith(b"0\r\n\r\n") and len(answers(text)) < 2, where
        assert end != "closed", where
    print(f"{len(rows)} hostile bodies of answers")
