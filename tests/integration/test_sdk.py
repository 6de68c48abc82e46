"""The vendors' own Node SDKs, unmodified, against the box: what they make of our answers, and that they do not ask again
what has been answered for good. They are fetched once into the build directory, by exact version."""
import calendar
import json
import os
import shutil
import subprocess
import time

import pytest

from conftest import checked, lacks
from lab.scenarios import wait_for
from test_durability import Disk

pytestmark = pytest.mark.plain

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sdk")
PACKAGES = ["stripe@23.1.0", "openai@6.30.1", "@anthropic-ai/sdk@1.14.0", "twilio@6.3.1"]
NODE = 20  # the least that they all run on
ADDRESS = "10.20.0.40"
HOSTS = {"stripe": "api.stripe.com", "openai": "api.openai.com", "anthropic": "api.anthropic.com",
         "twilio": "api.twilio.com"}


def node_version():
    try:
        said = subprocess.run(["node", "--version"], stdout=subprocess.PIPE, text=True).stdout
        return int(said.lstrip("v").split(".")[0])
    except (OSError, ValueError):
        return 0


@pytest.fixture(scope="module")
def sdks(request):
    if node_version() < NODE or not shutil.which("npm"):
        lacks(f"Node {NODE} or npm, which the vendors' SDKs need")
    where = os.path.join(os.path.abspath(request.config.getoption("--build")), "sdks")
    done = os.path.join(where, "complete")
    wanted = "\n".join(PACKAGES)
    if not os.path.exists(done) or open(done).read() != wanted:
        os.makedirs(where, exist_ok=True)
        fetched = subprocess.run(["timeout", "300", "npm", "install", "--prefix", where, "--no-save", "--no-package-lock",
                                  "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES], stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True)
        if fetched.returncode:
            lacks("a way to npm's packages: " + fetched.stdout[-300:])
        with open(done, "w") as f:
            f.write(wanted)
    return where


@pytest.fixture(scope="module")
def box(make_lab, sdks, tmp_path_factory):
    from lab import pki
    disk = Disk(str(tmp_path_factory.mktemp("disk")))
    wrapper = ["env", f"LD_PRELOAD={disk.library()}", f"SLOW_DISK={disk.where}"]
    with make_lab(wrapper=wrapper) as lab, checked(lab):
        lab.disk = disk
        key, cert = lab.vendor_ca.issue(*HOSTS.values())
        pki.write(lab.path("sdk.pem"), pki.pem_cert(cert), 0o644)
        pki.write(lab.path("sdk.key"), pki.pem_key(key))
        lab.sh(lab.vendor, f"ip addr add {ADDRESS}/24 dev v0")
        with open(f"/etc/netns/{lab.caller}/hosts", "a") as f:
            f.writelines(f"{ADDRESS} {h}\n" for h in HOSTS.values())
        lab.spawn(lab.vendor, "/usr/bin/python3", os.path.join(HERE, "sdk_vendor.py"), ADDRESS, "443",
                  lab.path("sdk.pem"), lab.path("sdk.key"), lab.path("sdk.log"), log="sdk.err")
        with open(os.path.join(HERE, "rules.yaml")) as f:
            pki.write(lab.path("rules", "sdk.yaml"), f.read(), 0o644)
        lab.ctl("rules", "reload")
        yield lab


def start(lab, sdks, vendor, *cases):
    env = {**os.environ, "HOME": lab.dir, "NODE_EXTRA_CA_CERTS": lab.path("ca.pem"), "TOKEN": lab.token(), "SDKS": sdks}
    return subprocess.Popen(["ip", "netns", "exec", lab.caller, "node", os.path.join(HERE, "calls.mjs"), vendor,
                             ",".join(cases)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return {c["case"]: c for c in map(json.loads, out.splitlines())}


def decisions(lab, vendor, case):
    """The records of that case's requests: those of its host, between its beginning and its end."""
    def at(r):  # ms, of 2026-11-29T07:00:00.123456789Z
        return calendar.timegm(time.strptime(r["time"][:19], "%Y-%m-%dT%H:%M:%S")) * 1000 + int(r["time"][20:23])
    return [r for r in lab.records if r.get("host") == HOSTS[vendor] and case["began"] <= at(r) <= case["ended"]]


CASES = ["blocked", "unlisted", "identity", "pending", "unknown", "broken"]
MORE = {"stripe": ["allowed", "allowed_post"], "openai": ["allowed", "stream", "upload", "blocked_stream", "blocked_upload"],
        "anthropic": ["allowed", "stream", "blocked_stream"], "twilio": ["allowed", "allowed_post"]}


@pytest.fixture(scope="module")
def said(box, sdks):
    """All cases of all SDKs, the SDKs beside each other."""
    running = {v: start(box, sdks, v, *MORE[v], *CASES) for v in HOSTS}
    answers = {v: finish(p) for v, p in running.items()}
    box.records = box.audit("--kind", "call.decided")
    return answers


@pytest.mark.parametrize("vendor, case, answer", [
    ("stripe", "allowed", "x1"), ("stripe", "allowed_post", "x1"), ("openai", "allowed", "Hello"),
    ("openai", "stream", "Hello"), ("openai", "upload", "batch.jsonl 50000 batch"), ("anthropic", "allowed", "Hello"),
    ("anthropic", "stream", "Hello"), ("twilio", "allowed", "SM1"), ("twilio", "allowed_post", "SM1")])
def test_allowed(box, said, vendor, case, answer):
    c = said[vendor][case]
    assert c.get("answer") == answer, c
    assert [r["decision"] for r in decisions(box, vendor, c)] == ["allow"]


MESSAGES = {"stripe": "Refunds over 500.00 USD are not sent from CI; ask finance.",
            "openai": "At most 1000 tokens an answer; ask the platform team.",
            "anthropic": "At most 1000 tokens an answer; ask the platform team.",
            "twilio": "Messages are valid for 100 s at most."}
# status, cause, in the message (None: the rule's)
REFUSALS = {"blocked": (403, "blocked_by_rule", None), "blocked_stream": (403, "blocked_by_rule", None),
            "unknown": (403, "blocked_by_rule", None), "unlisted": (403, "no_rule_allows", "No rule allows this call."),
            "blocked_upload": (403, "no_rule_allows", "No rule allows this call."),
            "identity": (401, "token_malformed", "The caller is not known: the token is not a JWT."),
            "pending": (403, "approval_pending", "This call waits for approval as h-"),
            "broken": (502, "bad_content_length", "The vendor's answer is malformed.")}
CLASSES = {("stripe", 401): "StripeAuthenticationError", ("stripe", 403): "StripePermissionError",
           ("stripe", 502): "StripeAPIError", ("openai", 401): "AuthenticationError",
           ("openai", 403): "PermissionDeniedError", ("openai", 502): "InternalServerError",
           ("anthropic", 401): "AuthenticationError", ("anthropic", 403): "PermissionDeniedError",
           ("anthropic", 502): "InternalServerError", ("twilio", 401): "RestException", ("twilio", 403): "RestException",
           ("twilio", 502): "RestException"}

KINDS = {("stripe", 401): "invalid_request_error", ("stripe", 403): "invalid_request_error", ("stripe", 502): "api_error",
         ("openai", 401): "invalid_request_error", ("openai", 403): "invalid_request_error",
         ("openai", 502): "server_error", ("anthropic", 401): "authentication_error",
         ("anthropic", 403): "permission_error", ("anthropic", 502): "api_error"}
DECIDED = {"pending": "held_by_rule", "broken": "allowed_by_rule"}  # what the record said before the end


@pytest.mark.parametrize("vendor, case", [(v, c) for v in HOSTS for c in CASES + MORE[v] if c in REFUSALS])
def test_refused(box, said, vendor, case):
    c, (status, cause, message) = said[vendor][case], REFUSALS[case]
    error, records = c["error"], decisions(box, vendor, c)
    assert CLASSES[vendor, status] in c["classes"], c
    assert error["status"] == status, c
    assert (message or MESSAGES[vendor]) in error["message"], c
    assert len(records) == 1, f"asked {len(records)} times: {records}"
    assert records[0]["cause"] == DECIDED.get(case, cause), records
    assert error["id"] == records[0]["call"] and error["code"] == cause, (c, records)
    if vendor == "twilio":
        assert error["number"] == status, c
    else:
        assert error["kind"] == KINDS[vendor, status], c
    if vendor in ("openai", "anthropic"):
        assert error["message"].startswith(f"{status} {message or MESSAGES[vendor]}"[:24]), c


def test_no_disk(box, sdks):
    """503 passes: the SDKs that try again by themselves do so, after the 5 s that we ask for, and then say it."""
    try:
        box.disk.set("refuse", True)
        wait_for("503 once the disk refuses", lambda: box.curl("https://api.stripe.com/v1/charges/ch_1").status == 503, 60)
        before = box.counters()["workers"][0]["call"]["requests"]
        running = {v: start(box, sdks, v, "busy") for v in HOSTS}
        answers = {v: finish(p)["busy"] for v, p in running.items()}
        requests = box.counters()["workers"][0]["call"]["requests"] - before
    finally:
        box.disk.free()
    # Stripe's takes no notice of the 5 s.
    for vendor, name, least in (("stripe", "StripeAPIError", 1000), ("openai", "InternalServerError", 10000),
                                ("anthropic", "InternalServerError", 10000), ("twilio", "RestException", 0)):
        c = answers[vendor]
        assert name in c["classes"] and c["error"]["status"] == 503, c
        assert "The call cannot be recorded, so it was not sent." in c["error"]["message"], c
        assert c["ended"] - c["began"] >= least, c
    assert requests == 3 + 3 + 3 + 1
    wait_for("200 once the disk works again",
             lambda: box.curl("https://api.stripe.com/v1/charges/ch_1").status == 200, 20)
