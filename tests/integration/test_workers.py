"""One worker or several: the same calls get the same answers and leave the same records."""
import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest

from conftest import check_log
from lab import scenarios
from lab.scenarios import API, SPECIAL

# Runs in the caller's namespace: each entry of `spec` is a connection with the bytes to send and
# how many answers to read; the connections are made one after the other, so their ports, and with
# them their workers, differ.
CALLER = r"""
import json, socket, ssl, sys
spec = json.load(sys.stdin)
context = ssl.create_default_context(cafile=spec["ca"])
def answer(f):
    status, fields, body = int(f.readline().split()[1]), {}, b""
    while line := f.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip()
    if fields.get("transfer-encoding") == "chunked":
        while size := int(f.readline(), 16):
            body += f.read(size)
            f.readline()
        f.readline()
    else:
        body = f.read(int(fields["content-length"]))
    return [status, fields, body.decode("latin-1")]
out = []
for c in spec["connections"]:
    s = context.wrap_socket(socket.create_connection((c["host"], 443), timeout=30), server_hostname=c["host"])
    f = s.makefile("rb")
    got = []
    for step in c["steps"]:
        s.sendall(step["send"].encode("latin-1"))
        got += [answer(f) for _ in range(step["answers"])]
    out.append(got)
    s.close()
print(json.dumps(out))
"""

# What one run has of its own: identities, times, places.
OF_A_RUN = {"seq", "time", "boot", "call", "worker", "hold", "client_port", "hash", "previous", "rules_hash",
            "decide_us", "audit_us", "vendor_us", "total_us", "digest"}


def call(lab, method, target, body="", kind=None, host="api.payments.test", token=""):
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token or lab.token()}")
    if kind:
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines) + "\r\n\r\n" + body


def script(lab):
    """The steps of one connection: whatever a call can come to, on one keep-alive connection."""
    kind, form = "application/json", "application/x-www-form-urlencoded"
    get = call(lab, "GET", "/v1/charges/ch_1")
    small = call(lab, "POST", "/v1/transfers", '{"amount": 5000}', kind)
    large = call(lab, "POST", "/v1/transfers", '{"amount": 5000000}', kind)
    steps = [{"send": s, "answers": 1} for s in (
        get, small, large, call(lab, "POST", "/v1/transfers", "amount=700", form),
        call(lab, "POST", "/v1/transfers", "amount=7000000", form), call(lab, "POST", "/v1/payouts", "{}", kind),
        call(lab, "GET", "/v1/x", token=None),
        call(lab, "POST", "/v1/files", "0123456789" * 3000, "application/octet-stream"))]
    steps.append({"send": get + small + large + get, "answers": 4})
    api = {"host": "api.payments.test", "steps": steps}
    special = {"host": "special.payments.test", "steps": [
        {"send": call(lab, "GET", target, host="special.payments.test"), "answers": 1}
        for target in ("/v1/special/cards", "/v1/special/split", "/v1/special/echo")]}
    return [api, special]


def run_script(lab, times):
    spec = {"ca": lab.path("ca.pem"), "connections": script(lab) * times}
    done = subprocess.run(["ip", "netns", "exec", lab.caller, "/usr/bin/python3", "-c", CALLER],
                          input=json.dumps(spec), text=True, timeout=120, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr + lab.log_tail()
    return json.loads(done.stdout)


def plain(answer):
    """Without the call's identity and the date."""
    status, fields, body = answer
    fields = {k: v for k, v in fields.items() if k not in ("turnpike-call", "request-id", "date")}
    return [status, fields, re.sub(r'"call":"[0-9a-f]{32}"', '"call":"-"', body)]


def records(lab):
    kept = [{k: v for k, v in r.items() if k not in OF_A_RUN} for r in lab.audit()]
    return sorted(json.dumps(r, sort_keys=True) for r in kept)


def each(lab, group, name):
    return [w[group][name] for w in lab.counters()["workers"]]


def stop(lab):
    assert lab.turnpike.poll() is None, lab.log_tail()
    assert lab.stop_turnpike() == 0, lab.log_tail()
    check_log(lab)


def results(make_lab, workers):
    with make_lab(workers=workers) as lab:
        answers = [[plain(a) for a in connection] for connection in run_script(lab, 12)]
        for _ in range(4):
            scenarios.approved_refund(lab)
        done, pool = each(lab, "call", "settled"), each(lab, "call", "vendor_connects")
        assert all(done), f"settled by worker: {done}"
        assert all(n <= 8 for n in pool), f"connections in each worker's pool: {pool}"
        status = lab.ctl("status").stdout
        assert status.count("\nworker ") == workers and ("all " in status) == (workers > 1), status
        calls = [r["call"] for r in lab.audit("--kind", "call.decided") if r["decision"] != "allow" or
                 r["cause"] != "approved"]
        assert len(set(calls)) == len(calls), "a call id came twice"
        stop(lab)
        lab.tool("audit", "verify", "--directory", lab.path("audit", "store"))
        return answers, records(lab)


def test_equal_results(make_lab):
    answers, kept = results(make_lab, 1)
    assert [a[0] for a in answers[0]] == [200, 200, 403, 200, 403, 403, 401, 200, 200, 200, 403, 200], answers[0]
    assert all(a == answers[i % 2] for i, a in enumerate(answers))
    for workers in (2, 3):
        other, other_kept = results(make_lab, workers)
        assert other == answers, f"answers with {workers} workers differ"
        assert len(other_kept) == len(kept)
        for a, b in zip(kept, other_kept):
            assert a == b, f"records with {workers} workers differ"


PORTS = [("af_packet", 3, 2), ("af_packet", 2, 1), ("af_xdp", 2, 1), ("tap", 2, 2)]


@pytest.mark.parametrize("driver,workers,queues", PORTS)
def test_ports(make_lab, driver, workers, queues):
    """Whatever the port does with what comes in, and however many queues it has."""
    with make_lab(driver=driver, workers=workers, queues=queues) as lab:
        for function in (scenarios.allowed_read, scenarios.small_transfer, scenarios.large_transfer,
                         scenarios.masked_answers, scenarios.approved_refund, scenarios.restart):
            function(lab)
        run_script(lab, 20)  # so many connections that no worker is left out by chance
        assert all(each(lab, "call", "settled")), each(lab, "call", "settled")
        assert not sum(each(lab, "net", "drop_spread_full"))
        if queues < workers:
            assert each(lab, "net", "rx_packets")[queues:] == [0] * (workers - queues)
            assert all(each(lab, "net", "tx_handed_over")[queues:])
        stop(lab)


@pytest.fixture(scope="module")
def pair(make_lab):
    with make_lab(workers=2) as lab:
        yield lab
        stop(lab)


def test_load_and_reload(pair, sanitized):
    """Both workers under load while the rules are replaced: no call fails, all are recorded."""
    lab, seconds = pair, 5 if sanitized else 8
    before, first = sum(each(lab, "call", "settled")), lab.counters()["generation"]
    failed = []

    def reload():
        for _ in range(4):
            time.sleep(seconds / 6)
            done = lab.ctl("rules", "reload", check=False)
            if done.returncode:
                failed.append(done.stderr)
    thread = threading.Thread(target=reload)
    thread.start()
    done = lab.sh(lab.caller, f"wrk -t1 -c32 -d{seconds}s --timeout 10s -H 'Authorization: Bearer "
                              f"{lab.token()}' {API}/v1/bench", timeout=seconds + 30)
    thread.join()
    assert not failed, failed
    assert "Non-2xx" not in done.stdout and "Socket errors" not in done.stdout, done.stdout
    requests = int(re.search(r"(\d+) requests in", done.stdout).group(1))
    settled = each(lab, "call", "settled")
    print(done.stdout, settled)
    assert sum(settled) - before >= requests > 100
    assert min(settled) > 0.1 * sum(settled), f"settled by worker: {settled}"
    assert [w["generation"] for w in lab.counters()["workers"]] == [first + 4] * 2
    scenarios.wait_for("the old sets to be freed", lambda: lab.counters()["retired"] == 0, 20)
    lab.tool("audit", "verify", "--directory", lab.path("audit", "store"))


RESUMER = r"""
import socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[1])
if sys.argv[2] == "1.2":
    context.maximum_version = ssl.TLSVersion.TLSv1_2
session, reused = None, []
for i in range(17):
    s = context.wrap_socket(socket.create_connection(("api.payments.test", 443), timeout=20),
                            server_hostname="api.payments.test", session=session)
    s.sendall(b"GET /v1/x HTTP/1.1\r\nHost: api.payments.test\r\n\r\n")
    s.recv(100)
    session = session or s.session
    reused.append(s.session_reused)
    s.close()
print(sum(reused[1:]))
"""


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_tickets_are_good_on_every_worker(pair, version):
    before = each(pair, "tls", "server_resumed")
    done = pair.sh(pair.caller, f"/usr/bin/python3 -c '{RESUMER}' {pair.path('ca.pem')} {version}")
    assert done.stdout.strip() == "16", f"resumed of 16: {done.stdout}"
    resumed = [a - b for a, b in zip(each(pair, "tls", "server_resumed"), before)]
    assert sum(resumed) == 16 and all(resumed), f"resumed by worker: {resumed}"


def test_calls_in_progress_end(make_lab):
    """SIGTERM while calls are on their way on both workers: all of them are answered."""
    with make_lab(workers=2) as lab:
        curl = ["ip", "netns", "exec", lab.caller, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}",
                "--cacert", lab.path("ca.pem"), "-H", f"Authorization: Bearer {lab.token()}",
                f"{SPECIAL}/v1/special/slow"]
        lab.curl(f"{SPECIAL}/v1/special/cards")
        calls = [subprocess.Popen(curl, stdout=subprocess.PIPE, text=True) for _ in range(12)]
        scenarios.wait_for("all calls to be sent", lambda: sum(each(lab, "call", "forwarded")) == 13)
        assert all(each(lab, "call", "forwarded")), each(lab, "call", "forwarded")
        os.killpg(lab.turnpike.pid, signal.SIGTERM)
        codes = [c.communicate(timeout=30)[0] for c in calls]
        assert codes == ["200"] * 12, codes
        assert lab.turnpike.wait(20) == 0, lab.log_tail()
        lab.processes.remove(lab.turnpike)
        settled = lab.audit("--kind", "call.settled")
        assert [r["outcome"] for r in settled] == ["ok"] * 13, settled
        check_log(lab)
