"""The same appliance on every kind of port that a machine without a card has."""
import pytest

from lab import scenarios


@pytest.mark.parametrize("driver", ["af_xdp", "tap"])
def test_driver(make_lab, driver):
    with make_lab(driver=driver) as lab:
        for function in (scenarios.allowed_read, scenarios.large_transfer, scenarios.masked_answers,
                         scenarios.restart):
            function(lab)
