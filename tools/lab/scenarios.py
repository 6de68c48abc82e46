"""What turnpike must show, one function a scenario: it drives real peers, raises AssertionError with what was
expected and what came, and returns a short story for the person who watches. The quick start
prints them; the integration tests run each as a test of its own."""
import json
import os
import shutil
import subprocess
import time

from . import lab as lab_module
from . import pki

API = "https://api.payments.test"
SPECIAL = "https://special.payments.test"
JSON = ("-H", "Content-Type: application/json")
CARD = "4242424242424242"
SCENARIOS = []


def scenario(title):
    def keep(function):
        SCENARIOS.append((title, function))
        return function
    return keep


def expect(what, wanted, got, context=""):
    if wanted != got:
        raise AssertionError(f"{what}: expected {wanted!r}, got {got!r} {context}")


def wait_for(what, function, seconds=10):
    deadline = time.time() + seconds
    while time.time() < deadline:
        value = function()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


def refused(lab, answer, status, cause, calls_before, vendor="vendor"):
    """Refused with that status and cause, and the vendor saw nothing."""
    expect("status", status, answer.status, answer)
    expect("cause", cause, answer.cause, answer)
    expect("calls that the vendor saw", calls_before, len(lab.vendor_log(vendor)))


def transfer(lab, body, *headers):
    return lab.curl(f"{API}/v1/transfers", *(headers or JSON), "--data-binary", body)


# ------------------------------------------------------------------------------ allowed

@scenario("an allowed read reaches the vendor with the real key")
def allowed_read(lab):
    before, token = len(lab.vendor_log()), lab.token()
    a = lab.curl(f"{API}/v1/charges/ch_1", token=token)
    expect("status", 200, a.status, a)
    calls = lab.vendor_log()
    expect("calls", before + 1, len(calls))
    expect("the vendor's key", f"Bearer {lab_module.SECRETS['payments']}",
           calls[-1]["authorization"])
    expect("the caller's token in the vendor's log", False, token in json.dumps(calls))
    expect("decision field", "allow", a.fields.get("turnpike-decision"), a)
    return "200; the vendor saw its own key, never the caller's token"


@scenario("a transfer under the limit goes through")
def small_transfer(lab):
    for body, headers in (('{"amount": 5000, "currency": "usd"}', JSON), ("amount=5000", ("-X", "POST"))):
        a = transfer(lab, body, *headers)
        expect("status", 200, a.status, a)
    return "200, as JSON and as a form"


@scenario("a transfer over the limit is blocked before the vendor sees a packet")
def large_transfer(lab):
    bodies = {
        "JSON": ('{"amount": 5000000}', JSON), "a form": ("amount=5000000", ("-X", "POST")),
        "amount twice": ('{"amount": 1, "amount": 5000000}', JSON),
        "amount twice, small last": ('{"amount": 5000000, "amount": 1}', JSON),
        "amount twice in a form": ("amount=1&amount=5000000", ("-X", "POST")),
        "1e9": ('{"amount": 1e9}', JSON), "a string": ('{"amount": "100"}', JSON),
        "missing": ('{"currency": "usd"}', JSON), "escaped key": ('{"\\u0061mount": 5000000}', JSON),
        "cut short": ('{"amount": 1', JSON), "wrong type": ("amount=1", ("-H", "Content-Type: text/plain")),
    }
    time.sleep(0.5)  # the last acknowledgement of the calls before is on its way
    packets = lab.vendor_packets()
    for name, (body, headers) in bodies.items():
        before = len(lab.vendor_log())
        a = transfer(lab, body, *headers)
        refused(lab, a, 403, "blocked_by_rule", before)
        expect(f"{name}: the rule's message",
               "Transfers over 500.00 USD are not sent from CI; ask finance.",
               a.json["error"]["message"], a)
        expect(f"{name}: rule", 210, a.json["turnpike"]["rule"], a)
    expect("TCP packets that the vendors saw", packets, lab.vendor_packets())
    return f"403 with the rule's message for {', '.join(bodies)}"


@scenario("a call that no rule names is blocked")
def unlisted(lab):
    before = len(lab.vendor_log())
    a = lab.curl(f"{API}/v1/payouts", *JSON, "-d", "{}")
    refused(lab, a, 403, "no_rule_allows", before)
    return "403 no_rule_allows"


# -------------------------------------------------------------------------------- masks

@scenario("card numbers in an answer are masked, also when cut over chunks and segments")
def masked_answers(lab):
    a = lab.curl(f"{SPECIAL}/v1/special/cards")
    expect("status", 200, a.status, a)
    sent = len(json.dumps({"cards": [CARD, "5555-5555-5555-4444"], "number": int(CARD),
                           "mail": "ann@example.com", "order": "1234567890123456"}))
    expect("length", sent, len(a.body), a)
    expect("first card", "*" * 12 + "4242", a.json["cards"][0], a)
    expect("last digits of the second", "4444", a.json["cards"][1][-4:], a)
    expect("a number that is no card", "1234567890123456", a.json["order"], a)
    expect("a bare number stays a number", int, type(a.json["number"]), a)
    for value in (CARD, "5555-5555-5555-4444", "ann@example.com"):
        expect(f"{value} in the answer", False, value in a.body, a)
    b = lab.curl(f"{SPECIAL}/v1/special/split")
    expect("status", 200, b.status, b)
    expect("split card", {"card": "*" * 12 + "4242", "note": "none"}, b.json, b)
    return f"the caller sees {'*' * 12}4242; length kept, JSON valid"


@scenario("a vendor that echoes the credential does not give it to the caller")
def echoed_credential(lab):
    a = lab.curl(f"{SPECIAL}/v1/special/echo")
    expect("status", 200, a.status, a)
    key = lab_module.SECRETS["special"]
    expect("the key in the body", False, key in a.body, a)
    expect("the key in a field", False, key in json.dumps(a.fields), a)
    expect("masked in the body", f"Bearer {'*' * len(key)}", a.json["authorization"], a)
    return "masked in body and header field"


@scenario("a spend window stops the 11th transfer")
def spend_window(lab):
    url, body = f"{API}/v1/budgets/{os.urandom(4).hex()}-x/transfers", '{"amount": 5000}'
    for i in range(10):
        a = lab.curl(url, *JSON, "--data-binary", body)
        expect(f"status of transfer {i + 1}", 200, a.status, a)
    before = len(lab.vendor_log())
    a = lab.curl(url, *JSON, "--data-binary", body)
    refused(lab, a, 403, "blocked_by_rule", before)
    expect("the rule's message", True, "500.00" in a.body, a)
    a = lab.curl(url.replace("-x", "-y"), *JSON, "--data-binary", body)
    expect("status from another budget", 200, a.status, a)
    return "ten transfers of 50.00 use up a budget of 500.00 a day; the eleventh gets 403, another budget's goes"


# -------------------------------------------------------------------------------- holds

REFUND = json.dumps({"charge": "ch_1", "amount": 700, "card": CARD})


def hold_a_refund(lab, body=REFUND):
    """curl in the background, and the record that it waits in."""
    known = {h["id"] for h in lab.ctl_json("holds", "list", "--all")["holds"]}
    head = lab.path(f"held-{time.time_ns()}")
    p = subprocess.Popen(
        ["ip", "netns", "exec", lab.caller, "curl", "-sS", "--max-time", "40", "--cacert",
         lab.path("ca.pem"), "-D", head, "-H", f"Authorization: Bearer {lab.token()}", *JSON,
         "--data-binary", body, f"{API}/v1/refunds"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def mine():
        return [h for h in lab.ctl_json("holds", "list")["holds"]
                if h["id"] not in known and h["state"] == "held"]
    return p, head, wait_for("a held call in `holds list`", mine)[0]


def finish(p, head):
    body, errors = p.communicate(timeout=45)
    with open(head, encoding="latin-1") as f:
        return lab_module.Answer(p.returncode, f.read(), body, errors)


@scenario("a refund waits for a person: approved, it runs once")
def approved_refund(lab):
    before = len(lab.vendor_log())
    p, head, held = hold_a_refund(lab)
    shown = lab.ctl("holds", "show", held["id"]).stdout
    expect("the card in what the reviewer sees", False, CARD in shown, shown)
    expect("masked card shown", True, "*" * 12 + "4242" in shown, shown)
    expect("calls before the approval", before, len(lab.vendor_log()))
    lab.ctl("holds", "approve", held["id"], "--reason", "checked with support")
    a = finish(p, head)
    expect("status", 200, a.status, a)
    expect("decision field", "approved", a.fields.get("turnpike-decision"), a)
    expect("calls after it", before + 1, len(lab.vendor_log()))
    expect("approving twice", True,
           lab.ctl("holds", "approve", held["id"], check=False).returncode != 0)
    expect("calls after a second approval", before + 1, len(lab.vendor_log()))
    return f"{held['id']} shown masked; approved: 200, the vendor saw one call"


@scenario("a denied refund gets 403")
def denied_refund(lab):
    before = len(lab.vendor_log())
    p, head, held = hold_a_refund(lab, '{"amount": 701}')
    lab.ctl("holds", "deny", held["id"], "--reason", "wrong charge")
    a = finish(p, head)
    refused(lab, a, 403, "approval_denied", before)
    expect("the reviewer's reason is told", True, "wrong charge" in a.body, a)
    return "403 approval_denied with the reviewer's reason"


@scenario("a held call whose caller leaves never runs")
def abandoned_refund(lab):
    before = len(lab.vendor_log())
    p, _, held = hold_a_refund(lab, '{"amount": 702}')
    p.kill()
    p.communicate()
    wait_for("the record to be cancelled",
             lambda: lab.ctl_json("holds", "show", held["id"])["state"] == "cancelled")
    lab.ctl("holds", "approve", held["id"], check=False)
    time.sleep(0.5)
    expect("calls that the vendor saw", before, len(lab.vendor_log()))
    return "cancelled; an approval afterwards changes nothing"


@scenario("a refund that nobody decides on is told so, and runs after a later approval")
def pending_refund(lab):
    before = len(lab.vendor_log())
    p, head, held = hold_a_refund(lab, '{"amount": 703}')
    a = finish(p, head)
    refused(lab, a, 403, "approval_pending", before)
    expect("approval id", held["id"], a.json["turnpike"]["approval"], a)
    lab.ctl("holds", "approve", held["id"])
    b = lab.curl(f"{API}/v1/refunds", *JSON, "--data-binary", '{"amount": 703}')
    expect("status of the same call again", 200, b.status, b)
    expect("calls", before + 1, len(lab.vendor_log()))
    return "403 approval_pending after the wait; approved later, the same call ran once"


# ----------------------------------------------------------------------------- identity

@scenario("a caller without a good token is not known")
def bad_tokens(lab):
    forged = pki.Issuer(lab.issuer.url, "turnpike")
    cases = {
        "missing": (None, "token_missing"),
        "expired": (lab.token(exp=int(time.time()) - 3600), "token_expired"),
        "wrong audience": (lab.token(aud="somebody-else"), "token_audience"),
        "alg none": (lab.issuer.token("x", header={"alg": "none"}, repository="a", ref="b"),
                     "token_algorithm"),
        "bad signature": (lab.issuer.token("x", key=forged.key, repository="a", ref="b"),
                          "token_signature"),
        "a static key": ("sk_live_somebodys_old_key", "token_malformed"),
    }
    for name, (token, cause) in cases.items():
        before = len(lab.vendor_log())
        a = lab.curl(f"{API}/v1/charges/ch_1", token=token)
        refused(lab, a, 401, cause, before)
        expect(f"{name}: the token in the answer", False, bool(token) and token in a.body)
    return f"401, each with its cause: {', '.join(cases)}"


# A job as they stand in many a crontab.
NIGHTLY = """
for day in mon tue; do
    curl -sS --fail-with-body --cacert "$CA" -H "Authorization: Bearer $TOKEN" "$API/v1/reports?day=$day" || exit 1
done
"""


def nightly(lab, token):
    return subprocess.run(["ip", "netns", "exec", lab.caller, "sh", "-c", NIGHTLY], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, "CA": lab.path("ca.pem"), "TOKEN": token, "API": API})


@scenario("the nightly job of a contractor who has left stops, and says why")
def contractor(lab):
    before = len(lab.vendor_log())
    done = nightly(lab, lab.token(employment="contractor", engagement="active"))
    expect("exit code while engaged", 0, done.returncode, done.stdout)
    expect("calls that the vendor saw", before + 2, len(lab.vendor_log()))
    packets = lab.vendor_packets()
    for name, claims in {"ended": {"engagement": "ended"}, "no longer said": {}}.items():
        done = nightly(lab, lab.token(employment="contractor", **claims))
        expect(f"{name}: exit code", 1, done.returncode, done.stdout)
        expect(f"{name}: the job's output", True,
               "This job runs as a contractor whose engagement has ended" in done.stdout, done.stdout)
        expect(f"{name}: rule", True, '"rule":120' in done.stdout, done.stdout)
    expect("TCP packets that the vendors saw", packets, lab.vendor_packets())
    return "worked last night, exits 1 tonight with the rule's message; the vendor saw no packet"


# ------------------------------------------------------------------------ wrong targets

@scenario("a host that no connection names is refused")
def unregistered(lab):
    a = lab.curl("https://unregistered.test/v1/charges/ch_1")
    expect("status", 403, a.status, a)
    expect("cause", "host_not_registered", a.cause, a)
    return "403 host_not_registered, inside TLS"


@scenario("a Host other than the TLS server name is refused")
def host_mismatch(lab):
    before = len(lab.vendor_log())
    a = lab.curl(f"{API}/v1/charges/ch_1", "-H", "Host: special.payments.test")
    refused(lab, a, 421, "host_mismatch", before)
    return "421 host_mismatch"


@scenario("a vendor with a wrong certificate gets no credential")
def impostor(lab):
    a = lab.curl("https://impostor.payments.test/v1/charges/ch_1")
    refused(lab, a, 502, "vendor_not_verified", 0, "impostor")
    return "502 vendor_not_verified; no request, no credential left the box"


@scenario("a vendor that does not answer is told")
def unreachable(lab):
    a = lab.curl("https://nobody.payments.test/v1/charges/ch_1")
    expect("status", 502, a.status, a)
    expect("cause", "vendor_unreachable", a.cause, a)
    return "502 vendor_unreachable"


@scenario("plain HTTP is refused")
def plain_http(lab):
    before = len(lab.vendor_log())
    a = lab.curl("http://api.payments.test:443/v1/charges/ch_1")
    refused(lab, a, 400, "plain_http", before)
    b = lab.curl("http://api.payments.test/v1/charges/ch_1", timeout=5)
    expect("curl on port 80: could not connect", 7, b.exit, b)
    expect("calls", before, len(lab.vendor_log()))
    return "400 plain_http on port 443; port 80 does not pass"


def counter(lab, group, name):
    return sum(w[group][name] for w in lab.counters()["workers"])


@scenario("QUIC is dropped, so that clients fall back to TCP")
def quic(lab):
    before = counter(lab, "net", "drop_udp_quic")
    lab.sh(lab.caller, "/usr/bin/python3 -c \"import socket; s = socket.socket(socket.AF_INET, "
                       "socket.SOCK_DGRAM); s.sendto(b'x' * 1200, ('10.20.0.10', 443))\"")
    wait_for("drop_udp_quic to count", lambda: counter(lab, "net", "drop_udp_quic") > before)
    return "dropped and counted (drop_udp_quic)"


@scenario("no server name, no handshake")
def no_sni(lab):
    done = lab.sh(lab.caller, "echo | timeout 10 openssl s_client -connect 10.20.0.10:443 -noservername "
                              "2>&1", check=False)
    expect("handshake", True, "alert" in done.stdout.lower(), done.stdout[-500:])
    return "TLS alert, recorded as no_sni"


# -------------------------------------------------------------------------------- rules

@scenario("a broken rules file is refused with its place; the running set stays")
def broken_rules(lab):
    path = lab.path("rules", "broken.yaml")
    before = lab.ctl_json("status")["generation"]
    pki.write(path, "rules:\n  - id: 1\n    rev: 1\n    name: x\n    on: payments.read\n"
                    "    then: permit\n", 0o644)
    try:
        check = subprocess.run([os.path.join(lab.build, "app", "turnpike"), "-c",
                                lab.path("turnpike.yaml"), "--check"], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True,
                               env={**os.environ, **lab.environment})
        expect("exit code of --check", 2, check.returncode, check.stdout)
        expect("place", True, "broken.yaml:6:11" in check.stdout, check.stdout)
        reload = lab.ctl("rules", "reload", check=False)
        expect("exit code of reload", 2, reload.returncode, reload.stdout + reload.stderr)
        expect("place", True, "broken.yaml:6:11" in reload.stdout + reload.stderr, reload.stderr)
        expect("generation", before, lab.ctl_json("status")["generation"])
        expect("status of a call", 200, lab.curl(f"{API}/v1/charges/ch_1").status)
    finally:
        os.unlink(path)
    lab.ctl("rules", "reload")
    expect("generation after mending", before + 1, lab.ctl_json("status")["generation"])
    return "--check and reload name broken.yaml:6:11; mended, generation " + str(before + 1)


# -------------------------------------------------------------------------------- audit

def raw_bytes(directory):
    for folder, _, files in os.walk(directory):
        for name in files:
            with open(os.path.join(folder, name), "rb") as f:
                yield name, f.read()


@scenario("the audit store has every call, and neither a card nor a key")
def audit_complete(lab):
    calls = lab.audit("--kind", "call.decided")
    for decision, function, rule in (("allow", "payments.read", 100), ("block", "payments.transfer.create", 210),
                                     ("hold", "payments.refund.create", 300), ("allow", "payments.transfer.create", 200)):
        found = [c for c in calls if c.get("decision") == decision and c.get("function") == function
                 and c.get("rule") == rule and c.get("caller") == "acme/shop@main"]
        expect(f"{decision} of {function} by rule {rule}", True, bool(found))
    causes = {c.get("cause") for c in calls} | {
        c.get("cause") for c in lab.audit("--kind", "connection.refused")}
    for cause in ("token_missing", "token_expired", "token_audience", "token_algorithm",
                  "token_signature", "host_not_registered", "host_mismatch", "no_rule_allows",
                  "plain_http", "no_sni", "approved"):
        expect(f"cause {cause} in the store", True, cause in causes, sorted(map(str, causes)))
    settled = {c.get("cause") for c in lab.audit("--kind", "call.settled")}
    for cause in ("vendor_not_verified", "vendor_unreachable", "approval_denied"):
        expect(f"cause {cause} of a settled call", True, cause in settled, sorted(map(str, settled)))
    for name, data in raw_bytes(lab.path("audit")):
        for secret in (CARD, *lab_module.SECRETS.values(), lab.token().split(".")[0] + "."):
            expect(f"{secret[:12]}... in {name}", False, secret.encode() in data)
    verify = lab.tool("audit", "verify", "--directory", lab.path("audit", "store"))
    return f"{len(calls)} decisions; {verify.stdout.strip().splitlines()[-1]}"


@scenario("one flipped byte in a copy of the store names its record")
def flipped_byte(lab):
    wanted = lab.audit("--kind", "call.decided")[3]
    copy = lab.path("copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(lab.path("audit", "store"), copy)
    needle, flipped = wanted["call"].encode(), False
    for folder, _, files in os.walk(copy):
        for name in files:
            path = os.path.join(folder, name)
            with open(path, "r+b") as f:
                data = f.read()
                at = data.find(needle)
                while at >= 0 and not flipped:
                    f.seek(at)
                    f.write(bytes([data[at] ^ 1]))
                    flipped = True
    expect("the record's bytes found in the copy", True, flipped)
    done = lab.tool("audit", "verify", "--directory", copy, "--json", check=False)
    report = json.loads(done.stdout)
    expect("exit code is not 0", True, done.returncode != 0, done.stdout)
    expect("fault", "altered", report["fault"], report)
    numbers = [r["seq"] for r in lab.audit("--call", wanted["call"])]
    expect("the named record is one of that call's", True, report["first_bad"] in numbers, report)
    return f"verify: {report['fault']} at {report['first_bad']}"


# ------------------------------------------------------------------------- a full disk

@scenario("a full audit disk stops calls; space brings them back")
def full_disk(lab):
    """Needs a lab whose store is on a file system of its own (audit_mib)."""
    filler, before = lab.path("audit", "filler"), len(lab.vendor_log())
    try:
        with open(filler, "wb") as f:
            try:
                while True:
                    f.write(b"\0" * 65536)
                    f.flush()
            except OSError:
                pass

        def stopped():
            a = lab.curl(f"{API}/v1/charges/ch_1", timeout=20)
            return a if a.status == 503 else None
        a = wait_for("503 once the disk is full", stopped, 60)
        expect("cause", "audit_unavailable", a.cause, a)
        before = len(lab.vendor_log())
        for _ in range(3):
            a = lab.curl(f"{API}/v1/charges/ch_1", timeout=20)
            expect("status while the disk is full", 503, a.status, a)
        expect("calls that the vendor saw meanwhile", before, len(lab.vendor_log()))
    finally:
        os.unlink(filler)

    def back():
        return lab.curl(f"{API}/v1/charges/ch_1").status == 200
    wait_for("200 once there is space again", back, 20)
    lab.tool("audit", "verify", "--directory", lab.path("audit", "store"))
    return "503 audit_unavailable, the vendor saw nothing; recovered by itself, the chain is sound"


# ------------------------------------------------------------------------- stop and start

@scenario("it stops on SIGTERM and starts again on the same store, the chain unbroken")
def restart(lab):
    last = lab.audit()[-1]["seq"]
    expect("exit code", 0, lab.stop_turnpike(), lab.log_tail())
    lab.start_turnpike()
    expect("status of a call", 200, lab.curl(f"{API}/v1/charges/ch_1").status)
    kinds = [r["kind"] for r in lab.audit("--from-seq", str(last))]
    expect("stop and start in the store", True, "stop" in kinds and "start" in kinds, kinds)
    lab.tool("audit", "verify", "--directory", lab.path("audit", "store"))
    return "exit 0, started again, chain unbroken"
