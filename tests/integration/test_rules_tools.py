"""turnpikectl rules: test, explain and diff, without an appliance but for the records that diff and explain read."""
import json
import os
import shutil
import subprocess

import pytest

from conftest import ROOT
from lab.scenarios import API

EXAMPLE = os.path.join(ROOT, "rules", "example")


@pytest.fixture(scope="module")
def rules(request):
    program = os.path.join(os.path.abspath(request.config.getoption("--build")), "tools", "turnpikectl", "turnpikectl")

    def run(*args):
        return subprocess.run([program, "rules", *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=60, env={**os.environ, "NO_COLOR": "1"})
    return run


@pytest.fixture
def example(tmp_path):
    return shutil.copytree(EXAMPLE, tmp_path / "rules")


def change(path, old, new):
    text = path.read_text()
    assert old in text, f"{old} is not in {path}"
    path.write_text(text.replace(old, new, 1))


def test_the_example_decides_as_it_says(rules):
    done = rules("test", EXAMPLE)
    assert done.returncode == 0 and " as expected, 0 not" in done.stdout, done
    assert "no call has matched" not in done.stdout, done.stdout  # each rule of the example has a call


def test_drift_is_said_and_exits_1(rules, example):
    change(example / "stripe.yaml", "body.amount > 50000", "body.amount > 70000")
    done = rules("test", example)
    assert done.returncode == 1, done
    assert "payments.yaml:" in done.stdout and "A transfer of 600.00" in done.stdout, done.stdout
    assert "expected  block by rule 1110, known\n    got       allow by rule 1100" in done.stdout, done.stdout
    answer = json.loads(rules("test", example, "--json").stdout)
    assert (answer["ok"], answer["failed"]) == (False, 1), answer
    failure = answer["failures"][0]
    assert failure["name"] == "A transfer of 600.00" and failure["got"].startswith("allow by rule 1100"), failure


@pytest.mark.parametrize("old, new, complaint", [
    ("expect: block", "expect: deny", "expected one of allow, hold, block"),
    ("as: app", "as: nobody", "there is no caller `nobody`"),
    ("request: GET https://api.openai.com/v1/models", "request: GET api.openai.com", "a request is written as"),
    ("json: {model: gpt-4o-mini", "form: {a: b}\n    json: {model: gpt-4o-mini", "a call has one body"),
    ("    expect: {decision: allow, rule: 2000}", "", "`expect` is missing"),
    ("expect: {decision: allow, rule: 2000}", "expected: allow", "did you mean `expect`?"),
])
def test_files_with_errors_exit_2(rules, example, old, new, complaint):
    change(example / "tests" / "models.yaml", old, new)
    done = rules("test", example)
    assert done.returncode == 2 and complaint in done.stderr and "models.yaml:" in done.stderr, done


def test_rules_with_errors_exit_2(rules, example):
    change(example / "stripe.yaml", "then: allow", "then: perhaps")
    for command in (["test", example], ["explain", example, "--call", example / "tests" / "models.yaml"]):
        done = rules(*command)
        assert done.returncode == 2 and "stripe.yaml:" in done.stderr, done


def test_no_fixtures(rules, example):
    shutil.rmtree(example / "tests")
    done = rules("test", example)
    assert done.returncode == 2 and "tests: error: cannot be read" in done.stderr, done


def explained(rules, *args):
    return json.loads(rules("explain", *args, "--json").stdout)


def test_explain(rules):
    calls = os.path.join(EXAMPLE, "tests", "payments.yaml")
    done = rules("explain", EXAMPLE, "--call", calls, "--name", "A transfer of 600.00")
    assert done.returncode == 0, done
    for line in ("decision  block, blocked_by_rule, rule 1110", "1110 block: No transfer over 500.00: decides",
                 "1100 allow: Transfers: matches", "1120 block: Transfers only in our currencies: does not match"):
        assert line in done.stdout, done.stdout
    parts = {" ".join(line.split()[:-1]): line.split()[-1] for line in done.stdout.splitlines() if line[:6] == "      "}
    assert parts["body.amount > 50000"] == "true" and parts["body.amount"] == '"60000"', done.stdout
    assert parts['body.currency in ["usd", "eur"]'] == "true", done.stdout


def test_explain_as_somebody_else(rules):
    calls = os.path.join(EXAMPLE, "tests", "payments.yaml")
    name = ["--name", "Payouts of finance wait too"]
    assert explained(rules, EXAMPLE, "--call", calls, *name)[0]["decision"] == "hold"
    assert explained(rules, EXAMPLE, "--call", calls, *name, "--as", "laptop")[0]["decision"] == "block"
    assert rules("explain", EXAMPLE, "--call", calls, "--as", "nobody").returncode == 2
    assert rules("explain", EXAMPLE, "--call", calls, "--name", "no such").returncode == 4


def test_explain_unknown(rules):
    calls = os.path.join(EXAMPLE, "tests", "payments.yaml")
    answer = explained(rules, EXAMPLE, "--call", calls, "--name", "A transfer that says its amount twice")[0]
    rule = next(r for r in answer["rules"] if r["id"] == 1110)
    assert rule["decided"] and rule["unknown"], rule
    assert [p["value"] for p in rule["condition"]][:2] == ["unknown", "unknown"], rule


def test_diff_and_explain_of_recorded_calls(rules, lab, tmp_path):
    """What the lab's own calls would have met under other rules."""
    def transfer(amount):
        return lab.curl(f"{API}/v1/transfers", "-H", "Content-Type: application/json", "-d",
                        json.dumps({"amount": amount}))
    statuses = [transfer(a).status for a in (100, 30000, 40000, 60000)]
    assert statuses == [200, 200, 200, 403], statuses
    lab.curl(f"{API}/v1/bench")
    old, new = lab.path("rules"), shutil.copytree(lab.path("rules"), tmp_path / "new")
    store = ["--directory", lab.path("audit", "store")]
    same = rules("diff", old, old, *store)
    assert same.returncode == 0 and "5 recorded calls: 5 decided as before, 0 otherwise" in same.stdout, same
    change(new / "payments.yaml", "body.amount <= 50000", "body.amount <= 20000")
    done = rules("diff", old, new, *store)
    assert done.returncode == 1, done
    assert "5 recorded calls: 3 decided as before, 2 otherwise (2 more strictly, 0 less)" in done.stdout, done.stdout
    assert "2  payments.transfer.create: allow (rule 200) -> block (no rule)" in done.stdout, done.stdout
    answer = json.loads(rules("diff", old, new, *store, "--since", "7d", "--json").stdout)
    call = answer["changes"][0]["examples"][0]
    assert answer["changed"] == 2 and answer["decided_otherwise_then"] == 0, answer
    assert rules("diff", old, new, *store, "--until", "2020-01-01T00:00:00Z").returncode == 0
    why = explained(rules, new, "--call", call, *store)[0]
    assert (why["decision"], why["function"]) == ("block", "payments.transfer.create"), why
    assert rules("explain", new, "--call", "00ff", *store).returncode == 4


CARDS = """callers: {shop: {id: shop}}
calls:
  - {name: a token, as: shop, request: GET https://api.x.example/, headers: {X-Api-Key: "4242424242424242"}, expect: allow}
  - {name: a note, as: shop, request: GET https://api.x.example/, headers: {X-Note: "4242424242424242"}, expect: block}
"""


def test_found_does_not_look_at_who_calls(rules, tmp_path):
    """As the appliance does: a card in a field that names the caller is none of the call's."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "a.yaml").write_text(
        "connections:\n  x: {hosts: [api.x.example], identify: [], functions: {read: GET /**}}\nrules:\n"
        "  - {id: 1, name: read, on: x.read, then: allow}\n"
        "  - {id: 2, name: no cards, on: x.read, when: 'found(\"pci.card\")', then: block}\n")
    (tmp_path / "tests" / "a.yaml").write_text(CARDS)
    done = rules("test", tmp_path)
    assert done.returncode == 0, done


def test_usage(rules):
    for args in (["test"], ["diff", "a"], ["explain", EXAMPLE], ["nonsense"], ["diff", "a", "b", "--since", "soon"]):
        assert rules(*args).returncode == 64, args
