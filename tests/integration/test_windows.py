"""Windows: what many calls may cost together, on two workers, across reloads and restarts."""
import json
import os
import re
import signal
import subprocess

import pytest

from conftest import checked
from lab import scenarios
from lab.scenarios import API, JSON, wait_for

# Rules on budgets by the first word of their names.
RULES = r"""
rules:
  - {id: 7010, name: So many calls, on: payments.budget.transfer, then: block,
     when: 'params.budget.startsWith("calls-") && calls("1h", params.budget) >= 40'}
  - {id: 7020, name: So much, on: payments.budget.transfer, then: block,
     when: 'params.budget.startsWith("spent-") && spent("body.amount", "1h", params.budget) >= 1000'}
  - {id: 7030, name: Only one held, on: payments.budget.transfer, then: block,
     when: 'params.budget.startsWith("held-") && calls("2h", params.budget) >= 2'}
  - {id: 7040, name: Held, on: payments.budget.transfer, then: hold, hold: {groups: [finance], wait: 8s},
     when: 'params.budget.startsWith("held-") && calls("2h", params.budget) >= 1'}
  - {id: 7050, name: Would be too many, on: payments.budget.transfer, then: block, mode: report,
     when: 'params.budget.startsWith("report-") && calls("3h", params.budget) >= 2'}
"""

# Runs in the caller's namespace: so many connections, open before the first call, make calls at the
# same time until each has made its number. Prints how often which status came.
CROWD = r"""
import collections, json, socket, ssl, sys, threading
spec = json.load(sys.stdin)
context = ssl.create_default_context(cafile=spec["ca"])
ready, statuses, lock = threading.Barrier(spec["callers"]), collections.Counter(), threading.Lock()
def answer(f):
    status, length = int(f.readline().split()[1]), 0
    while line := f.readline().strip():
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    f.read(length)
    return status
def run(i):
    s = context.wrap_socket(socket.create_connection(("api.payments.test", 443), timeout=60),
                            server_hostname="api.payments.test")
    f, mine = s.makefile("rb"), collections.Counter()
    ready.wait()
    for _ in range(spec["calls"]):
        s.sendall(spec["request"].encode())
        mine[answer(f)] += 1
    with lock:
        statuses.update(mine)
    s.close()
threads = [threading.Thread(target=run, args=(i,)) for i in range(spec["callers"])]
[t.start() for t in threads]
[t.join() for t in threads]
print(json.dumps(statuses))
"""


@pytest.fixture(scope="module")
def pair(make_lab):
    with make_lab(workers=2) as lab, checked(lab):
        with open(lab.path("rules", "windows.yaml"), "w") as f:
            f.write(RULES)
        lab.ctl("rules", "reload")
        yield lab


def budget(kind):
    return f"{kind}-{os.urandom(6).hex()}x"


def pay(lab, name, amount=1):
    return lab.curl(f"{API}/v1/budgets/{name}/transfers", *JSON, "--data-binary", f'{{"amount": {amount}}}')


def paid(lab, name):
    return sum(f"/budgets/{name}/" in c["target"] for c in lab.vendor_log())


def crowd(lab, name, amount, callers=64, calls=4):
    body = f'{{"amount": {amount}}}'
    request = "\r\n".join([f"POST /v1/budgets/{name}/transfers HTTP/1.1", "Host: api.payments.test",
                           f"Authorization: Bearer {lab.token()}", "Content-Type: application/json",
                           f"Content-Length: {len(body)}"]) + "\r\n\r\n" + body
    spec = {"ca": lab.path("ca.pem"), "callers": callers, "calls": calls, "request": request}
    done = subprocess.run(["ip", "netns", "exec", lab.caller, "/usr/bin/python3", "-c", CROWD],
                          input=json.dumps(spec), text=True, timeout=120, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr + lab.log_tail()
    return json.loads(done.stdout)


def restart(lab, how=signal.SIGTERM):
    lab.stop_turnpike(how)
    lab.start_turnpike()


def counts(lab, kind):
    return [r for r in lab.audit("--kind", kind) if "counted" in r or "returned" in r]


def test_the_eleventh_transfer(pair):
    scenarios.spend_window(pair)


@pytest.mark.parametrize("round", range(3))
def test_exactly_so_many_calls_of_a_crowd(pair, round):
    """256 calls of 64 callers on two workers: 40 are let through, not one more or less."""
    before, name = pair.counters(), budget("calls")
    assert crowd(pair, name, 1) == {"200": 40, "403": 256 - 40}
    assert paid(pair, name) == 40
    after = pair.counters()
    by_worker = [a["call"]["requests"] - b["call"]["requests"]
                 for a, b in zip(after["workers"], before["workers"])]
    assert all(by_worker), f"calls by worker: {by_worker}"
    print(by_worker, [w["call"]["window_retries"] for w in after["workers"]])


def test_exactly_so_much_of_a_crowd(pair):
    """Calls go while less than 1000 has been spent: in sevens those are 143."""
    name = budget("spent")
    assert crowd(pair, name, 7) == {"200": 143, "403": 256 - 143}
    assert pay(pair, name, 1).status == 403


def test_refused_calls_do_not_count(pair):
    name = budget("spent")
    for amount in ("-1", '"7"', "1e13", "null"):  # unknown, and refused
        assert pay(pair, name, amount).status == 403
    assert pay(pair, name, 999).status == 200
    assert pay(pair, name, '"7"').status == 403
    assert pay(pair, name, 0.5).status == 200
    assert pay(pair, name, "5e-1").status == 200
    assert pay(pair, name, 1).status == 403


def test_a_reload_keeps_the_counts(pair):
    name = budget("calls")
    for _ in range(39):
        assert pay(pair, name).status == 200
    pair.ctl("rules", "reload")
    assert pay(pair, name).status == 200
    pair.ctl("rules", "reload")
    assert pay(pair, name).status == 403


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_keeps_the_counts(pair, how):
    name = budget("calls")
    assert crowd(pair, name, 1, callers=13, calls=3) == {"200": 39}
    restart(pair, how)
    assert re.search(r"windows: \d+ records read back", pair.log_tail()), pair.log_tail()
    assert pay(pair, name).status == 200
    restart(pair, how)
    assert pay(pair, name).status == 403
    assert pair.counters()["windows"]["in_use"] > 1


def hold(lab, name):
    url = f"{API}/v1/budgets/{name}/transfers"
    p = subprocess.Popen(["ip", "netns", "exec", lab.caller, "curl", "-sS", "--cacert", lab.path("ca.pem"), "-H",
                          f"Authorization: Bearer {lab.token()}", *JSON, "-d", '{"amount": 1}', "-o", "/dev/null",
                          "-w", "%{http_code}", url], stdout=subprocess.PIPE, text=True)
    held = wait_for("a held call", lambda: [h for h in lab.ctl_json("holds", "list")["holds"] if h["state"] == "held"])
    return p, held[0]["id"]


def test_held_calls_count_and_denied_ones_are_given_back(pair):
    name = budget("held")
    assert pay(pair, name).status == 200
    p, held = hold(pair, name)
    assert pay(pair, name).status == 403  # the one that waits counts
    pair.ctl("holds", "deny", held)
    assert p.communicate(timeout=30)[0] == "403"
    given = wait_for("the record", lambda: counts(pair, "call.settled"))[-1]
    asked = next(r for r in counts(pair, "call.decided") if r["call"] == given["call"])
    assert given["returned"] == asked["counted"] and asked["decision"] == "hold"
    p, held = hold(pair, name)  # there is room again
    p.terminate()  # and the caller leaves
    p.wait(10)
    wait_for("the second one given back", lambda: len(counts(pair, "call.settled")) == 2)
    restart(pair)  # both stay given back
    p, held = hold(pair, name)
    pair.ctl("holds", "approve", held)
    assert p.communicate(timeout=30)[0] == "200"
    assert pay(pair, name).status == 403
    restart(pair)
    assert pay(pair, name).status == 403  # approved: counted once, and for good
    both = [r for r in pair.audit("--kind", "call.decided") if r["decision"] == "allow" and r["cause"] == "approved"]
    assert both and not any("counted" in r for r in both)


def test_what_is_never_sent_is_given_back(pair):
    """The vendor cannot be reached."""
    name, gone = budget("calls"), len(counts(pair, "call.settled"))
    pair.sh(pair.vendor, "iptables -I INPUT -p tcp --dport 443 --syn -j REJECT --reject-with tcp-reset")
    try:
        restart(pair)  # no pooled connections
        assert pay(pair, name).status == 502
    finally:
        pair.sh(pair.vendor, "iptables -D INPUT -p tcp --dport 443 --syn -j REJECT --reject-with tcp-reset")
    wait_for("the record", lambda: len(counts(pair, "call.settled")) == gone + 1)
    assert crowd(pair, name, 1) == {"200": 40, "403": 256 - 40}


def test_a_rule_that_reports(pair):
    name = budget("report")
    assert [pay(pair, name).status for _ in range(4)] == [200] * 4
    said = [r.get("would_have") for r in pair.audit("--kind", "call.decided")][-4:]
    assert said == [None, None, ["7050 block"], ["7050 block"]]


def test_a_lost_key_is_not_a_second_limit(pair):
    key = pair.path("audit", "store", "window.key")
    assert os.stat(key).st_mode & 0o777 == 0o600
    assert pay(pair, budget("spent")).status == 200
    os.rename(key, key + ".away")
    restart(pair)
    assert "is not known for certain" in pair.log_tail()
    refused = pay(pair, budget("spent"))
    assert refused.status == 403
    assert pair.audit("--kind", "call.decided")[-1]["unknown"] == 1
    assert pair.curl(f"{API}/v1/charges/ch_1").status == 200  # windows have no say there
    pair.stop_turnpike()
    os.rename(key + ".away", key)
    pair.start_turnpike()
    assert pay(pair, budget("spent")).status == 200


def test_a_full_table_refuses(make_lab):
    with make_lab() as lab, checked(lab):
        with open(lab.path("turnpike.yaml"), "a") as f:
            f.write("windows: {keys: 16}\n")
        restart(lab)
        names = [budget("b") for _ in range(17)]
        assert [pay(lab, n).status for n in names] == [200] * 16 + [403]
        assert pay(lab, names[0]).status == 200
        status = lab.counters()
        assert status["windows"] == {"keys": 16, "in_use": 16}
        assert status["workers"][0]["call"]["window_full"] == 1
