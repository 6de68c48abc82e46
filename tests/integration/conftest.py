"""Integration tests: root, network namespaces, real peers. One lab serves a whole file unless a test
needs its own. Options: --build DIR (build), --sanitized (the build has ASan: smaller sizes), --driver NAME."""
import os
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))

from lab import lab as lab_module  # noqa: E402

# A sanitizer's complaint must be seen, and must fail the test that made it.
HERE = os.path.dirname(os.path.abspath(__file__))
SANITIZER = {"ASAN_OPTIONS": "abort_on_error=0:exitcode=99:detect_leaks=1:log_path=stderr",
             "LSAN_OPTIONS": f"suppressions={HERE}/lsan.supp:print_suppressions=0",
             "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99"}


def pytest_addoption(parser):
    parser.addoption("--build", default=os.path.join(ROOT, "build"))
    parser.addoption("--driver", default="af_packet")
    parser.addoption("--sanitized", action="store_true")


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


@pytest.fixture(scope="module")
def lab(make_lab):
    with make_lab() as lab:
        yield lab
        assert lab.turnpike.poll() is None, "turnpike has ended by itself:\n" + lab.log_tail()
        check_log(lab)
        code = lab.stop_turnpike()
        assert code == 0, f"turnpike ended with {code} on SIGTERM:\n" + lab.log_tail()
        check_log(lab)
