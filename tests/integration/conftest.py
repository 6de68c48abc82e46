"""Integration tests: root, network namespaces, real peers. One lab serves a whole file unless a test
needs its own. Options: --build DIR (build), --sanitized (the build has ASan: smaller sizes), --driver NAME."""
import contextlib
import os
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

from lab import lab as lab_module  # noqa: E402
from lab.scenarios import SPECIAL, wait_for  # noqa: E402

# A sanitizer's complaint must be seen, and must fail the test that made it.
HERE = os.path.dirname(os.path.abspath(__file__))
SANITIZER = {"ASAN_OPTIONS": "abort_on_error=0:exitcode=99:detect_leaks=1:log_path=stderr",
             "LSAN_OPTIONS": f"suppressions={HERE}/lsan.supp:print_suppressions=0",
             "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99"}


def pytest_addoption(parser):
    parser.addoption("--build", default=os.path.join(ROOT, "build"))
    parser.addoption("--driver", default="af_packet")
    parser.addoption("--sanitized", action="store_true")


def pytest_configure(config):
    config.addinivalue_line("markers", "plain: says nothing more of a sanitized build, and is left out there")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--sanitized"):
        config.hook.pytest_deselected(items=[i for i in items if i.get_closest_marker("plain")])
        items[:] = [i for i in items if not i.get_closest_marker("plain")]


@pytest.fixture(scope="session")
def sanitized(request):
    return request.config.getoption("--sanitized")


@pytest.fixture(scope="session")
def make_lab(request):
    def make(**kw):
        options = {"driver": request.config.getoption("--driver"), **kw}
        return lab_module.Lab(build=os.path.abspath(request.config.getoption("--build")),
                              environment=SANITIZER, **options)
    return make


def check_log(lab):
    log = lab.log_tail(100000)
    for word in ("ERROR: AddressSanitizer", "runtime error:", "SUMMARY: "):
        assert word not in log, log[-6000:]


def lacks(what):
    """Leaves a test out since the machine has not what it needs. tools/test counts any other skip as a failure."""
    pytest.skip(f"this machine lacks {what}")


@contextlib.contextmanager
def checked(lab):
    """Whatever the tests did to it, it must still be there, without a complaint, and end in order."""
    yield lab
    assert lab.turnpike.poll() is None, "turnpike has ended by itself:\n" + lab.log_tail()
    check_log(lab)
    code = lab.stop_turnpike()
    assert code == 0, f"turnpike ended with {code} on SIGTERM:\n" + lab.log_tail()
    check_log(lab)


@contextlib.contextmanager
def rude_lab(make_lab, suffix):
    """A lab in which special.payments.test is the rude vendor."""
    with make_lab(name=os.environ.get("TURNPIKE_LAB", "tp") + suffix) as lab:
        polite = next(p for p in lab.processes if "10.20.0.11" in p.args)
        polite.terminate()
        polite.wait(10)
        lab.spawn(lab.vendor, "/usr/bin/python3", os.path.join(HERE, "rude_vendor.py"),
                  "10.20.0.11", "443", lab.path("special.pem"), lab.path("special.key"),
                  lab.path("rude.log"), log="rude.err")
        wait_for("the rude vendor", lambda: lab.curl(f"{SPECIAL}/v1/ok").status == 200)
        with checked(lab):
            yield lab


@pytest.fixture(scope="module")
def lab(make_lab):
    with make_lab() as lab, checked(lab):
        yield lab
