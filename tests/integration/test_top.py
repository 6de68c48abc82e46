"""turnpikectl top, the stages in the status, and the same counters on DPDK's telemetry socket."""
import glob
import json
import os
import pty
import re
import socket
import subprocess
import threading
import time

import pytest

from conftest import checked
from lab.scenarios import API

STAGES = ["net", "tcp", "tls", "http", "identity", "rules", "match", "audit", "call", "output"]


@pytest.fixture(scope="module")
def lab(make_lab):
    with make_lab(workers=2) as lab, checked(lab):
        yield lab


@pytest.fixture
def load(lab):
    """Callers that ask until the test is over."""
    command = ["ip", "netns", "exec", lab.caller, "wrk", "-t1", "-c8", "-d60s", "-H",
               f"Authorization: Bearer {lab.token()}", f"{API}/v1/bench"]
    p = subprocess.Popen(command, env={**os.environ, "SSL_CERT_FILE": lab.path("ca.pem")},
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    requests = lambda: sum(w["call"]["settled"] for w in lab.counters()["workers"])  # noqa: E731
    before, deadline = requests(), time.time() + 20
    while requests() < before + 100:
        assert p.poll() is None and time.time() < deadline, "there is no load"
        time.sleep(0.1)
    yield p
    p.kill()
    p.wait()


def top(lab, *args):
    done = lab.ctl("top", *args)
    return [json.loads(line) for line in done.stdout.splitlines()]


def close(a, b, share=0.001):
    return abs(a - b) <= share * max(abs(a), abs(b))


# ------------------------------------------------------------------------------- top

def test_rates(lab, load):
    before, began = lab.counters(), time.monotonic()
    views = top(lab, "--count", "3", "--interval", "0.5", "--json")
    after, took = lab.counters(), time.monotonic() - began
    assert len(views) == 3
    for v in views:
        assert v["ok"] and 0.45 < v["seconds"] < 3, v
        assert v["all"]["requests"] > 0 and v["all"]["allowed"] > 0, v
        assert v["all"]["callers"] == 8 and len(v["workers"]) == 2, v
        assert v["audit"]["records"] > v["all"]["allowed"] and v["audit"]["commits"] > 0, v
        assert 0 < v["all"]["busy"] <= 2.01, v
        for key in ("requests", "allowed", "busy", "bytes_down", "callers", "vendors"):
            assert close(v["all"][key], sum(w[key] for w in v["workers"])), (key, v)
        for column in [v["all"], *v["workers"]]:
            if column["requests"] > 0:
                assert list(column["stages"]) == STAGES
                assert close(sum(column["stages"].values()), column["cycles_a_request"]), column
                assert close(column["cycles_a_request"] * column["requests"] / after["tsc_hz"],
                             column["busy"]), column
    # What it says of three intervals cannot be more than what was counted around them.
    counted = sum(w["call"]["requests"] for w in after["workers"]) - sum(w["call"]["requests"] for w in before["workers"])
    told = sum(v["all"]["requests"] * v["seconds"] for v in views)
    assert 0.3 * counted * sum(v["seconds"] for v in views) / took <= told <= counted, (told, counted)


def test_stages_are_where_the_work_is(lab, load):
    """Every stage that such a call passes has a part, and TLS a real one."""
    v = top(lab, "--count", "1", "--interval", "2", "--json")[0]
    stages = v["all"]["stages"]
    assert all(stages[s] > 0 for s in STAGES), stages
    assert stages["tls"] > 0.02 * v["all"]["cycles_a_request"], stages


def test_refusals_by_cause(lab):
    views = []
    watch = threading.Thread(target=lambda: views.extend(top(lab, "--count", "1", "--interval", "3", "--json")))
    watch.start()
    time.sleep(1)
    for _ in range(3):
        assert lab.curl(f"{API}/v1/charges/ch_1", token="a.b.c").status == 401
    big = lab.curl(f"{API}/v1/transfers", "-H", "Content-Type: application/json", "-d", '{"amount": 5000000}')
    assert big.status == 403
    watch.join()
    column, seconds = views[0]["all"], views[0]["seconds"]
    counts = {name: round(rate * seconds) for name, rate in column["refusals"].items()}
    assert counts.pop("causes.identity_required") == 3 and counts.pop("causes.blocked_by_rule") == 1, views
    assert counts.pop("identity.token_malformed") == 3, views
    assert list(column["refusals"].values()) == sorted(column["refusals"].values(), reverse=True)
    assert not any(name.startswith(("tls.records", "tls.server_handshakes", "identity.verified")) for name in counts)
    assert round(column["blocked"] * seconds) == 4 and round(column["requests"] * seconds) == 4, views
    # Without requests there is nothing to share cycles among.
    idle = top(lab, "--count", "1", "--interval", "0.2", "--json")[0]["all"]
    assert idle["requests"] == 0 and idle["cycles_a_request"] is None and idle["stages"] is None, idle


def test_lines(lab, load):
    lines = lab.ctl("top", "--count", "1", "--interval", "0.3").stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["audit", "all", "worker 0", "worker 1"], lines
    assert re.search(r"^all: [\d.]+ requests/s .*busy [\d.]+ %.* cycles a request \(net [\d.]+, tcp ", lines[1]), lines
    assert "\x1b" not in "".join(lines)


def test_terminal(lab, load):
    """Each view is drawn over the one before."""
    ours, theirs = pty.openpty()
    p = subprocess.Popen([os.path.join(lab.build, "tools", "turnpikectl", "turnpikectl"), "top", "--count", "2",
                          "--interval", "0.3", "--socket", lab.socket], stdout=theirs)
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 65536):
            seen += piece
    except OSError:  # how a pty tells that the other end has gone
        pass
    os.close(ours)
    assert p.wait() == 0
    views = seen.decode().split("\x1b[H")[2:]
    assert len(views) == 2, seen
    for view in views:
        assert "requests/s" in view and "worker 1" in view and view.endswith("\x1b[J"), view
        assert view.count("\n") <= 24, view


@pytest.mark.parametrize("args", [
    ("--interval", "0"), ("--interval", "-1"), ("--interval", "0.01"), ("--interval", "1s"), ("--interval", ""),
    ("--interval", "nan"), ("--interval", "1e9"), ("--count", "0"), ("--count", "-1"), ("--count", "many"),
    ("--count", ""), ("now",), ("--interval",), ("--nothing",)])
def test_bad_arguments(lab, args):
    done = lab.ctl("top", *args, check=False) if args != ("--interval",) else lab.tool("top", *args, check=False)
    assert done.returncode == 64 and not done.stdout and done.stderr, done


def test_nobody_answers(lab):
    done = lab.tool("top", "--socket", lab.path("nobody.sock"), "--count", "1", check=False)
    assert done.returncode == 1 and "does not answer" in done.stderr, done


# ---------------------------------------------------------------------------- status

def test_stages_add_up(lab, load):
    for _ in range(5):
        for w in lab.counters()["workers"]:
            assert list(w["stages"]) == STAGES
            assert sum(w["stages"].values()) == w["call"]["cycles_busy"]
            assert w["stages_measured"]["loops"] <= w["call"]["loops_busy"]
    busy = sum(w["call"]["loops_busy"] for w in lab.counters()["workers"])
    measured = sum(w["stages_measured"]["loops"] for w in lab.counters()["workers"])
    assert busy / 64 < measured < busy / 16, (measured, busy)


# ------------------------------------------------------------------------- telemetry

class Telemetry:
    """DPDK's socket of this lab's process; others may stand beside it."""

    def __init__(self, pid):
        for path in glob.glob("/var/run/dpdk/turnpike/dpdk_telemetry.v2*"):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                self.socket.connect(path)
                if json.loads(self.socket.recv(1024))["pid"] == pid:
                    return
            except OSError:
                pass
            self.socket.close()
        raise AssertionError("there is no telemetry socket of this process")

    def ask(self, command):
        self.socket.send(command.encode())
        answer = json.loads(self.socket.recv(1 << 17))
        return answer[command.partition(",")[0]]


@pytest.fixture
def telemetry(lab):
    t = Telemetry(lab.pid())
    yield t
    t.socket.close()


def test_telemetry_agrees(lab, load, telemetry):
    """Counters only grow, so what it says lies between what the status says before and after."""
    assert telemetry.ask("/turnpike/workers") == [0, 1]
    for n in range(2):
        before = lab.counters()
        groups = {g: telemetry.ask(f"/turnpike/counters,{n},{g}") for g in ("net", "tcp", "tls", "identity", "call",
                                                                            "causes")}
        stages, audit = telemetry.ask(f"/turnpike/stages,{n}"), telemetry.ask("/turnpike/audit")
        after = lab.counters()
        b, a = before["workers"][n], after["workers"][n]
        assert groups["call"].pop("callers") == a["callers"] and groups["call"].pop("vendors") <= 64
        for w in (a, b):
            w["causes"] = w["call"].pop("causes")
        for group, values in groups.items():
            assert set(values) == set(a[group]), group
            assert all(b[group][k] <= values[k] <= a[group][k] for k in values), (group, b[group], values, a[group])
        assert groups["call"]["requests"] > 0
        busy = stages.pop("cycles_busy")
        assert b["call"]["cycles_busy"] <= busy <= a["call"]["cycles_busy"]
        assert stages.pop("tsc_hz") == after["tsc_hz"]
        assert list(stages) == STAGES and sum(stages.values()) == busy
        assert set(audit) == set(after["audit"])
        assert all(before["audit"][k] <= audit[k] <= after["audit"][k] for k in audit)


@pytest.mark.parametrize("command", [
    "/turnpike/stages", "/turnpike/stages,2", "/turnpike/stages,x", "/turnpike/stages,-1", "/turnpike/stages,0,net",
    "/turnpike/counters", "/turnpike/counters,0", "/turnpike/counters,0,nothing", "/turnpike/counters,9,net",
    "/turnpike/counters,,net", "/turnpike/counters,18446744073709551616,net"])
def test_telemetry_refuses(lab, telemetry, command):
    assert telemetry.ask(command) is None
    assert telemetry.ask("/turnpike/workers") == [0, 1]


def test_telemetry_helps(telemetry):
    commands = [c for c in telemetry.ask("/") if c.startswith("/turnpike/")]
    assert commands == ["/turnpike/audit", "/turnpike/counters", "/turnpike/stages", "/turnpike/workers"]
    for c in commands:
        telemetry.socket.send(f"/help,{c}".encode())
        assert "arameter" in telemetry.socket.recv(1 << 14).decode()
