"""What the codec accepts is what nginx and HAProxy understand: thousands of variants over loopback, and
some hundreds through the whole box with each of them as the vendor."""
import base64
import collections
import json
import os
import subprocess
import sys
import time

import pytest

from conftest import ROOT
from lab.scenarios import SPECIAL, expect, wait_for

sys.path.insert(0, os.path.join(ROOT, "tests", "http"))
import differential  # noqa: E402
from variants import variants  # noqa: E402

HOST = "special.payments.test"
# What the box itself takes out or puts in.
CHANGED = {"authorization", "accept-encoding", "range", "if-range"}

# Runs in the caller's namespace: sends each input on a connection of its own; prints for each the
# answers as [status, what the backend got].
SENDER = r"""
import base64, json, queue, socket, ssl, sys, threading
spec = json.load(sys.stdin)
context = ssl.create_default_context(cafile=spec["ca"])
results, work = [None] * len(spec["inputs"]), queue.Queue()
def answers(f, heads):
    got = []
    while True:
        line = f.readline()
        if not line:
            return got
        status, fields = int(line.split(b" ")[1]), {}
        while (line := f.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            fields[name.lower()] = value.strip()
        if status < 200:
            continue
        if not heads[len(got):len(got) + 1] == [True]:
            f.read(int(fields.get(b"content-length", b"0")))
        echo = fields.get(b"x-echo")
        got.append([status, json.loads(base64.b64decode(echo)) if echo else None])
def one(item):
    s = context.wrap_socket(socket.create_connection((spec["host"], 443), timeout=20),
                            server_hostname=spec["host"])
    try:
        s.sendall(base64.b64decode(item["text"]))
        return answers(s.makefile("rb"), item["heads"])
    except (OSError, ValueError, IndexError) as e:
        return repr(e)
    finally:
        s.close()
def run():
    while True:
        try:
            i = work.get_nowait()
        except queue.Empty:
            return
        results[i] = one(spec["inputs"][i])
for i in range(len(results)):
    work.put(i)
threads = [threading.Thread(target=run) for _ in range(4)]
for t in threads: t.start()
for t in threads: t.join()
json.dump(results, sys.stdout)
"""


def build_of(request):
    return os.path.abspath(request.config.getoption("--build"))


@pytest.mark.parametrize("seed", [0x7e57, None], ids=["known", "new"])
def test_over_loopback(request, sanitized, seed):
    if seed is None:
        seed = int(os.environ.get("TEST_SEED", time.time_ns() & 0xffffffff))
    expect("differences", 0, differential.run(build_of(request), seed, 1500 if sanitized else 5000))


@pytest.fixture(scope="module", params=["nginx", "haproxy"])
def lab(make_lab, request):
    """special.payments.test is that server, with the echoing backend behind it."""
    from conftest import checked
    with make_lab(name=os.environ.get("TURNPIKE_LAB", "tp") + "d") as lab:
        polite = next(p for p in lab.processes if "10.20.0.11" in p.args)
        polite.terminate()
        polite.wait(10)
        directory = lab.path("differential")
        os.makedirs(directory)
        lab.spawn(lab.vendor, "/usr/bin/python3", differential.__file__, "--backend", "127.0.0.1:9000",
                  log="backend.log")
        lab.spawn(lab.vendor, *differential.SERVERS[request.param](
            directory, "10.20.0.11:443", "127.0.0.1:9000", (lab.path("special.pem"), lab.path("special.key"))),
            log="server.log")
        wait_for("the vendor", lambda: lab.curl(f"{SPECIAL}/v1/ready").status == 200)
        with checked(lab):
            yield lab


def send(lab, inputs):
    done = subprocess.run(
        ["ip", "netns", "exec", lab.caller, "/usr/bin/python3", "-c", SENDER],
        input=json.dumps({"host": HOST, "ca": lab.path("ca.pem"), "inputs": inputs}),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def same(ours, got):
    theirs = {n: v for n, v in got["fields"].items() if n not in CHANGED}
    mine = {n: v for n, v in ours.fields.items() if n not in CHANGED}
    return (ours.method, ours.target, ours.body, mine) == (got["method"], got["target"], got["body"], theirs)


def test_through_the_box(lab, request, sanitized):
    seed = int(os.environ.get("TEST_SEED", time.time_ns() & 0xffffffff))
    print(f"TEST_SEED={seed}")
    token = ("Authorization", f"Bearer {lab.token()}")
    texts = list(variants(seed, 200 if sanitized else 800, host=HOST, prefix="/v1", fields=[token]))
    end = f"GET /v1/end HTTP/1.1\r\nHost: {HOST}\r\n{': '.join(token)}\r\nConnection: close\r\n\r\n".encode()
    work = [(t, f, e) for t, (f, e) in zip(texts, differential.understood(build_of(request), texts)) if e != "more"]
    results = send(lab, [{"text": base64.b64encode(t + end).decode(), "heads": [m.method == "HEAD" for m in f]}
                         for t, f, _ in work])
    seen = collections.Counter()
    for (text, found, why), got in zip(work, results):
        where = f"{text!r}: {why}, {len(found)} messages, got {got}"[:1500]
        assert isinstance(got, list), where
        for i, (status, echo) in enumerate(got):
            seen[status] += 1
            if i < len(found):
                assert (echo is None) == (status != 200), where
                assert echo is None or same(found[i], echo), f"{i}: {found[i]} {where}"
            elif why == "none":
                assert i == len(found) and status == 200 and echo["target"] == "/v1/end", where
            else:  # refused for its form, or before its body was looked at
                assert i == len(found) and 400 <= status < 500 and echo is None, where
        # What follows a refusal may stay unanswered; what was accepted and sent on may not.
        if all(status == 200 for status, _ in got[:len(found)]):
            expect("answers", len(found) + (why != "closed"), len(got), where)
    print(f"{len(work)} variants, answers by status {dict(seen)}")
    assert seen[200] > len(work) // 4 and seen[400] > len(work) // 4, seen
