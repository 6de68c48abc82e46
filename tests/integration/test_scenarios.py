"""What the quick start shows, each scenario a test. In order: the audit scenarios look at the calls of
those before them."""
import pytest

from lab import scenarios

ONE_LAB = [(t, f) for t, f in scenarios.SCENARIOS if f is not scenarios.full_disk]


@pytest.mark.parametrize("function", [f for _, f in ONE_LAB], ids=[f.__name__ for _, f in ONE_LAB])
def test_scenario(lab, function):
    function(lab)


def test_full_disk(make_lab):
    with make_lab(audit_mib=12) as lab:
        scenarios.full_disk(lab)
