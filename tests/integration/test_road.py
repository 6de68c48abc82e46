"""tests/perf/road works: turnpike between memif ports, the generator, the floor. What it measures is not judged here."""
import json
import os
import subprocess
import sys

import pytest

from conftest import ROOT

from lab import bench_rules

ROAD = os.path.join(ROOT, "tests", "perf", "road")

pytestmark = pytest.mark.plain


@pytest.fixture(scope="module")
def run(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("road") / "road.json"
    done = subprocess.run([sys.executable, "-B", ROAD, "--short", "--json", str(path), "--build",
                           os.path.abspath(request.config.getoption("--build"))],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads(path.read_text())


def test_calls_go_through_and_none_fails(run):
    text, got = run
    (r,) = got["results"]["1 KB, 64 callers"]
    assert r["failures"] == 0, r
    assert r["calls"] > 100 and r["connections"] == 64, r
    assert 0 < r["per_busy_core_second"] == pytest.approx(r["tsc_hz"] / r["cycles"], rel=0.01)
    assert 0 <= r["worker_idle"] <= 1 and 0 < r["generator_busy"] <= 1, r
    assert r["limit"] and "1 KB, 64 callers" in text


def test_the_floor_stands_beside_it(run):
    text, got = run
    (f,) = got["results"]["floor"]
    assert set(f["parts"]) == {"read_request", "write_request", "read_answer", "write_answer", "copies", "scan_answer",
                               "scan_record", "digests"}
    assert all(v > 0 for v in f["parts"].values()), f
    assert sum(f["parts"].values()) == pytest.approx(f["sum"], abs=len(f["parts"]))
    assert f["sum"] < got["results"]["1 KB, 64 callers"][0]["cycles"], "nothing is cheaper than the floor"


def test_targets_are_judged_or_said_not_to_be(run):
    text, got = run
    by_name = {t["what"]: t for t in got["targets"]}
    assert by_name["cycles a request over the floor's"]["met"] in (True, False)
    assert by_name["cycles a request, 100,000 open over 100"]["met"] is None
    assert text.count("\n  MISSED ") + text.count("\n  met ") + text.count("\n  -  ") == len(got["targets"])


def test_what_cannot_be_is_refused(tmp_path):
    done = subprocess.run([sys.executable, "-B", ROAD, "--only", "calls,walls"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and "walls" in done.stderr
    done = subprocess.run([sys.executable, "-B", ROAD, "--short", "--build", str(tmp_path), "--json", os.devnull],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "not built" in done.stderr, done.stderr


def test_the_rules_are_both_sets(tmp_path):
    secrets = bench_rules.merged_rules(tmp_path)
    assert ("stripe-live", "stripe") in secrets and ("openai", "openai") in secrets and len(secrets) == 4
    assert r"E-\d{7}" in bench_rules.patterns(tmp_path)
    names = {p.name for p in tmp_path.iterdir()}
    assert {"payments.yaml", "example-stripe.yaml", "example-jwks.json"} <= names and "jwks.json" not in names
