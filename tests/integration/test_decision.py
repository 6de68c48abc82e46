"""How rules decide together, through the wire and in the record."""
import os
import time

import pytest

from lab import scenarios
from lab.scenarios import API

READ, OTHER = "payments.read", "payments.unlisted"


def rule(number, then, path, on=READ, more=""):
    """No two have the same condition: one of them would be refused, since it could never decide."""
    hold = ", hold: {groups: [finance], wait: 200ms}" if then == "hold" else ""
    return (f"  - {{id: {number}, name: r{number}, on: {on}, then: {then}{hold}, "
            f"when: 'request.path in [\"/v1/{path}\", \"/v1/{number}\"]'{', ' + more if more else ''}}}\n")


REPORT, PAST = "mode: report", "expires: 2020-01-01"
# In no order: rule 100 of the lab allows every GET.
RULES = "rules:\n" + "".join([
    rule(8003, "block", "strictest"), rule(8001, "hold", "strictest"),
    rule(8002, "block", "strictest", more="message: The strictest."),
    rule(8010, "hold", "held"),
    rule(8021, "hold", "report", more=REPORT), rule(8020, "block", "report", more=REPORT),
    "  - {id: 8022, name: r8022, on: payments.read, then: block, mode: report,\n"
    "     when: 'request.path == \"/v1/report-unknown\" && caller.claims.nobody_has_it == \"x\"'}\n",
    rule(8030, "allow", "report-allow", OTHER, REPORT),
    rule(8040, "allow", "expired-allow", OTHER, PAST), rule(8041, "block", "expired-block", more=PAST),
    rule(8042, "allow", "later-allow", OTHER, "expires: 2100-01-01"),
    *[rule(8139 - i, "block", "many", more=REPORT if i >= 35 else "") for i in range(40)],
    *[rule(8200 + i, "block", "many-report", more=REPORT) for i in range(40)],
    "  - {id: 8300, name: Left, on: payments.*, when: caller.claims.sub in lists.left, then: block,\n"
    "     message: 'Whose this job is has left; hand it over.'}\n",
    "lists:\n  left: ['repo:acme/gone', 'repo:acme/gone-too']\n",
])


@pytest.fixture(scope="module")
def box(lab):
    from lab import pki
    pki.write(lab.path("rules", "decision.yaml"), RULES, 0o644)
    lab.ctl("rules", "reload")
    return lab


def decided(box, path, *args):
    """The answer, the record, and how many calls the vendor saw."""
    before = len(box.vendor_log())
    a = box.curl(f"{API}/v1/{path}", *args)
    records = box.audit("--call", a.fields["turnpike-call"], "--kind", "call.decided")
    assert len(records) == 1, records
    return a, records[0], len(box.vendor_log()) - before


def test_the_strictest_wins_and_all_are_recorded(box):
    a, r, seen = decided(box, "strictest")
    assert (a.status, a.cause, a.json["turnpike"]["rule"], seen) == (403, "blocked_by_rule", 8002, 0), a
    assert a.json["error"]["message"] == "The strictest.", a
    assert r["matched"] == ["8002 block", "8003 block", "8001 hold", "100 allow"], r
    assert (r["decision"], r["rule"]) == ("block", 8002) and "would_have" not in r and "matched_more" not in r, r


def test_hold_is_stricter_than_allow(box):
    a, r, seen = decided(box, "held")
    assert (a.status, a.cause, seen) == (403, "approval_pending", 0), a
    assert (r["decision"], r["rule"], r["matched"]) == ("hold", 8010, ["8010 hold", "100 allow"]), r


def test_report_decides_nothing_and_says_what_it_would_have(box):
    a, r, seen = decided(box, "report")
    assert a.status == 200 and seen == 1, a
    assert (r["decision"], r["rule"], r["matched"]) == ("allow", 100, ["100 allow"]), r
    assert r["would_have"] == ["8020 block", "8021 hold"], r
    a, r, seen = decided(box, "report-unknown")
    assert a.status == 200 and seen == 1 and r["would_have"] == ["8022 block (unknown)"], (a, r)
    assert "unknown" not in r, r
    a, r, seen = decided(box, "report-allow", "-X", "PUT")
    assert (a.status, a.cause, seen) == (403, "no_rule_allows", 0), a
    assert r["would_have"] == ["8030 allow"] and "matched" not in r and "rule" not in r, r


def test_an_expired_rule_stops_allowing_and_keeps_blocking(box):
    a, r, seen = decided(box, "expired-allow", "-X", "PUT")
    assert (a.status, a.cause, seen) == (403, "no_rule_allows", 0) and "matched" not in r, (a, r)
    a, r, seen = decided(box, "later-allow", "-X", "PUT")
    assert r["decision"] == "allow" and r["rule"] == 8042 and seen == 1, (a, r)
    a, r, seen = decided(box, "expired-block")
    assert (a.status, a.cause, r["rule"], seen) == (403, "blocked_by_rule", 8041, 0), (a, r)


def test_more_matches_than_are_listed_are_counted(box):
    a, r, seen = decided(box, "many")
    assert (a.cause, r["rule"], seen) == ("blocked_by_rule", 8105, 0), (a, r)
    assert r["would_have"] == [f"{n} block" for n in range(8100, 8105)], r
    assert r["matched"] == [f"{n} block" for n in range(8105, 8132)], r
    assert r["matched_more"] == 8 + 1, r
    # The rule that decides is none of those that are listed.
    a, r, seen = decided(box, "many-report")
    assert (a.status, r["decision"], r["rule"], seen) == (200, "allow", 100, 1), (a, r)
    assert len(r["would_have"]) == 32 and "matched" not in r and r["matched_more"] == 9, r


def test_the_job_of_a_contractor_who_has_left(box):
    scenarios.contractor(box)


def test_the_job_of_somebody_on_a_list_of_those_who_left(box):
    before, packets = len(box.vendor_log()), box.vendor_packets()
    done = scenarios.nightly(box, box.token("repo:acme/gone-too"))
    assert done.returncode == 1 and "Whose this job is has left; hand it over." in done.stdout, done.stdout
    assert box.vendor_packets() == packets and len(box.vendor_log()) == before
    done = scenarios.nightly(box, box.token("repo:acme/here"))
    assert done.returncode == 0 and len(box.vendor_log()) == before + 2, done.stdout


def test_each_event_says_under_which_rules(box):
    def events():
        return [r for r in box.audit() if r["kind"].startswith(("call.", "hold.", "connection."))]
    first = box.audit("--kind", "rules.loaded")[-1]
    os.rename(box.path("rules", "decision.yaml"), box.path("rules", "decisions.yaml"))
    box.ctl("rules", "reload")
    last = box.audit("--kind", "rules.loaded")[-1]
    assert first["generation"] + 1 == last["generation"] and first["rules_hash"] != last["rules_hash"], (first, last)
    before = len(events())
    for path in ("report", "strictest", "held?again=1"):
        box.curl(f"{API}/v1/{path}")
    box.sh(box.caller, "echo | timeout 10 openssl s_client -connect 10.20.0.10:443 -noservername 2>&1", check=False)
    time.sleep(0.3)
    told = events()
    assert {r["kind"] for r in told[before:]} >= {"call.decided", "call.settled", "hold.opened", "hold.pending",
                                                  "connection.refused"}, told[before:]
    for r in told:
        assert "generation" in r and "rules_hash" in r, r
    for r in told[before:]:
        assert (r["generation"], r["rules_hash"]) == (last["generation"], last["rules_hash"]), r
