"""tests/perf/race in its short form: every gateway of it starts, is called, stops, and every number is there. How fast
they are is not judged: other things run on this machine."""
import json
import os
import re
import subprocess

import pytest

from conftest import ROOT

pytestmark = pytest.mark.plain
RACE = os.path.join(ROOT, "tests", "perf", "race")
GATEWAYS = ("direct", "haproxy", "turnpike-af_packet")
LOADS = ("1k-64", "events")


def race(*args, timeout=150):
    return subprocess.run([RACE, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout)


@pytest.fixture(scope="module")
def short(request, tmp_path_factory):
    where = tmp_path_factory.mktemp("race") / "race.json"
    build = os.path.abspath(request.config.getoption("--build"))
    done = race("--short", "--json", str(where), "--build", build)
    assert done.returncode == 0, done.stdout
    return done.stdout, json.loads(where.read_text())


def test_every_run_is_there_and_valid(short):
    text, result = short
    assert {(r["load"], r["gateway"]) for r in result["runs"]} == {(x, g) for x in LOADS for g in GATEWAYS}
    for r in result["runs"]:
        assert "invalid" not in r, r
        assert r["calls"] > 0 and r["rate"] > 0 and r["per_core"] > 0, r
        assert 0 < r["p50_us"] <= r["p99_us"], r
        assert 0 < r["busy_s"] <= 2.2 * r["seconds"], f"more than two processors have: {r}"


def test_both_clocks_agree(short):
    """What wrk has counted and what the vendor has: rates within a factor, for the run is a part of wrk's."""
    for r in short[1]["runs"]:
        if r["load"] == "1k-64":
            told = r["wrk"]["calls"] / (r["wrk"]["micros"] / 1e6)
            assert 0.4 < r["rate"] / told < 2.5, r


def test_turnpike_does_what_the_table_says(short):
    seen = short[1]["gateways"]
    assert seen["turnpike-af_packet"]["masked"] == {"card": True, "mail": True}
    assert seen["turnpike-af_packet"]["vendor_saw"] == seen["haproxy"]["vendor_saw"] == "vendor key"
    assert seen["direct"]["vendor_saw"] == "caller's own" and not seen["haproxy"]["masked"]["card"]
    for name, f in seen.items():
        for leg in ("caller_leg", "vendor_leg"):
            assert (f[leg]["protocol"], f[leg]["suite"]) == ("TLSv1.3", "TLS_AES_128_GCM_SHA256"), (name, leg)
    assert short[1]["machine"]["kernel"] == os.uname().release


def test_the_table_has_every_row(short):
    parts = re.split(r"(?m)^(?=\S)", short[0])
    for load in LOADS:
        rows = next(p for p in parts if p.startswith(f"{load}: "))
        for gateway in GATEWAYS:
            row = next(line for line in rows.splitlines() if line.split()[:1] == [gateway])
            assert len(row.split()) >= 7 and "  -  " not in row, row
    targets = next(p for p in parts if p.startswith("Targets"))
    assert re.search(r"(met|MISSED) .*64 callers.*target >= 1.30x", targets), targets


def test_wrong_arguments_are_told(short):
    for args, word in ((("--only", "apache"), "apache"), (("--rounds", "0"), "--rounds"), (("--loads", "2k"), "2k")):
        done = race(*args)
        assert done.returncode == 64 and word in done.stdout, done
