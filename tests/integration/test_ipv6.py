"""IPv6 end to end: calls, neighbours, path MTU, checksums, both families at once."""
import pytest

from lab import lab as lab_module
from lab import scenarios

API, API6 = scenarios.API, "https://api6.payments.test"
SPECIAL6 = "https://special6.payments.test"


def test_allowed_and_credential(lab):
    a = lab.curl(f"{API6}/v1/charges/ch_1")
    assert a.status == 200, a
    seen = lab.vendor_log()[-1]
    assert seen["authorization"] == f"Bearer {lab_module.SECRETS['payments']}", seen


def test_ping(lab):
    for target in ("fd00:10::1",):
        done = lab.sh(lab.caller, f"ping -6 -c 3 -i 0.2 -W 2 {target}")
        assert " 0% packet loss" in done.stdout, done.stdout
