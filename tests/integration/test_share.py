"""Workers share nothing: which cache lines two threads touched while calls passed, on a build of the appliance that
notes every access (tests/share/share_runtime.c). A line that two workers touched and one of them wrote is a
fault; what workers share with the control thread and the audit writer is named below, and nothing else may be."""
import json
import os
import signal
import subprocess
import threading
import time

import pytest

from lab import scenarios
from lab.scenarios import API, SPECIAL

pytestmark = pytest.mark.plain

OTHERS = "7"  # control, audit writer

# What a worker and another thread of ours may share, by the functions that touch it.
WITH_OTHERS = {
    "the worker's audit ring": {"lib/audit/"},
    "rings to and from control": {"ring to-control", "ring from-control"},
    "a held call's request, handed to control and back": {"lib/call/held.c", "lib/call/record.c", "lib/hold/",
                                                          "lib/base/"},
    "counters that control reads": {"lib/control/ask_status.c", "lib/base/stages.c"},
    "windows of rules, which control sweeps": {"lib/window/"},
    "the generation in use, its pins and its number": {"lib/control/reload.c", "lib/call/generation.c"},
}

# Frames that came to the wrong worker, and the way they go.
PASSED_ON = ("frames of net_pool", "pool cache net_pool", "pool net_pool", "ring mesh")

# Where calls are counted that count together: written by whichever worker decides one. There is no other way to
# be exact; no call touches them unless a rule on its function asks for a window.
WINDOWS = "lib/window/"

# Locks that OpenSSL 3.0 keeps for the whole process. Taken when a connection is made and when a token is
# seen for the first time, never for a call on an open connection.
OPENSSL = {"CRYPTO_THREAD_read_lock", "CRYPTO_THREAD_write_lock", "CRYPTO_THREAD_unlock"}


@pytest.fixture(scope="module")
def program(request):
    build = os.path.abspath(request.config.getoption("--build"))
    done = subprocess.run(["ninja", "-C", build, "tests/share/turnpike-share"], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    return os.path.join(build, "tests", "share", "turnpike-share")


class Notes:
    """A recording: from entering to leaving it."""

    def __init__(self, lab):
        self.lab, self.path = lab, lab.path("share")

    def __enter__(self):
        self.before = self.passed()
        os.kill(self.lab.pid(), signal.SIGUSR1)
        scenarios.wait_for("the recording to begin", lambda: os.path.exists(self.path + ".on"), 30)
        return self

    def __exit__(self, *exc):
        os.kill(self.lab.pid(), signal.SIGUSR2)
        scenarios.wait_for("the report", lambda: os.path.exists(self.path), 60)
        with open(self.path) as f:
            *self.lines, self.sums = [json.loads(line) for line in f]
        os.unlink(self.path)
        os.unlink(self.path + ".on")
        self.after = self.passed()
        self.places = self._places()

    def passed(self):
        return sum(w["net"][k] for w in self.lab.counters()["workers"] for k in ("respread", "arp_received"))

    def _places(self):
        """Address in the program -> "function file:line" of every inlined frame, innermost first."""
        addresses = sorted({a for line in self.lines for by in line["by"].values() for a in by.values()} - {"0"})
        done = subprocess.run(["addr2line", "-f", "-i", "-a", "-e", self.lab.program], text=True,
                              input="\n".join(hex(int(a, 16) - 1) for a in addresses), stdout=subprocess.PIPE)
        places, rows = {}, done.stdout.splitlines()
        for row in rows:
            if row.startswith("0x"):
                frames = places[int(row, 16) + 1] = []
            else:
                frames.append(row)
        return {a: list(zip(f[::2], f[1::2])) for a, f in places.items()}

    def frames(self, line, threads=None):
        return [f for t, by in line["by"].items() if threads is None or t in threads
                for a in by.values() if a != "0" for f in self.places[int(a, 16)]]

    def accesses(self, line):
        """The frames of each access by a worker."""
        return [self.places[int(a, 16)] for t, by in line["by"].items() if t != OTHERS
                for a in by.values() if a != "0"]

    def describe(self, line):
        said = []
        for thread, by in line["by"].items():
            for what, a in by.items():
                if a != "0":
                    way = " < ".join(f"{n} {at.split(' ')[0]}" for n, at in self.places[int(a, 16)])
                    said.append(f"{'others' if thread == OTHERS else 'worker ' + thread} {what}: {way}")
        return f"{line['line']} in {line['in']} {' < '.join(line['lock'])}\n    " + "\n    ".join(said)

    def between_workers(self):
        """Lines that one worker wrote and another one touched."""
        def of_workers(line):
            return [by for thread, by in line["by"].items() if thread != OTHERS]
        return [line for line in self.lines
                if len(of_workers(line)) > 1 and any(by["wrote"] != "0" for by in of_workers(line))]

    def unnamed(self):
        """Lines that workers share with another thread, and no entry of WITH_OTHERS names."""
        allowed = set().union(*WITH_OTHERS.values())
        left = []
        for line in self.lines:
            where = line["in"] + " " + " ".join(at for _, at in self.frames(line))
            if OTHERS in line["by"] and len(line["by"]) > 1 and not any(a in where for a in allowed):
                left.append(line)
        return left


def show(notes, lines):
    return f"{len(lines)} lines:\n" + "\n".join(notes.describe(line) for line in lines[:12])


def start(make_lab, program, **kw):
    lab = make_lab(workers=2, **kw)
    lab.program, lab.environment = program, {"TURNPIKE_SHARE": lab.path("share")}
    return lab


def load(lab, seconds):
    return lab.sh(lab.caller, f"wrk -t1 -c16 -d{seconds}s --timeout 10s -H 'Authorization: Bearer {lab.token()}' "
                              f"{API}/v1/bench", timeout=seconds + 60)


def test_calls_share_nothing(make_lab, program):
    """On a port that gives each worker its own: not one line, and not one lock."""
    with start(make_lab, program, driver="tap") as lab:
        for _ in range(3):
            thread = threading.Thread(target=load, args=(lab, 7))
            thread.start()
            time.sleep(3)
            settled = [w["call"]["settled"] for w in lab.counters()["workers"]]
            with Notes(lab) as notes:
                time.sleep(2)
            calls = [w["call"]["settled"] - n for w, n in zip(lab.counters()["workers"], settled)]
            thread.join()
            if notes.after == notes.before:  # else a frame was passed on meanwhile: another time
                break
        print(notes.sums, "calls", calls)
        assert all(n > 50 for n in calls), calls
        assert notes.sums["not_noted"] == 0 and notes.sums["by_workers"] > 1000, notes.sums
        assert notes.after == notes.before, "frames were passed on in each of three windows"
        assert not notes.between_workers(), show(notes, notes.between_workers())
        assert not notes.unnamed(), show(notes, notes.unnamed())
        assert notes.sums["locks"] == 0, notes.sums


def test_what_may_be_shared(make_lab, program):
    """With everything that happens beside calls on open connections: frames passed on, handshakes, tokens,
    holds, windows. Two workers meet on the frames that one passes to the other, on OpenSSL's own locks, and where
    they count together."""
    with start(make_lab, program, driver="af_packet") as lab:
        lab.curl(f"{SPECIAL}/v1/special/cards")
        with Notes(lab) as notes:
            load(lab, 2)
            for i in range(10):
                assert lab.curl(f"{API}/v1/charges/{i}").status == 200
            for _ in range(3):
                scenarios.approved_refund(lab)
            for _ in range(3):
                scenarios.spend_window(lab)
            scenarios.masked_answers(lab)
        print(notes.sums)
        assert notes.sums["not_noted"] == 0 and notes.sums["locks"] > 0, notes.sums
        assert notes.after > notes.before
        between = notes.between_workers()
        frames = [line for line in between if line["in"].startswith(PASSED_ON)]
        locks = [line for line in between if OPENSSL & set(line["lock"])]
        windows = [line for line in between
                   if all(any(WINDOWS in at for _, at in frames) for frames in notes.accesses(line))]
        known = {id(line) for line in frames + locks + windows}  # there are many: compared one by one they would take minutes
        rest = [line for line in between if id(line) not in known]
        print(f"{len(frames)} lines of frames and of the rings that carry them; {len(locks)} locks of OpenSSL's:")
        for line in locks:
            print("   ", " < ".join(line["lock"]))
        print(f"{len(windows)} lines of windows")
        assert windows, "both workers counted in one window, so this should have been seen"
        assert frames, "frames were passed on, so this should have been seen"
        assert not rest, show(notes, rest)
        assert not notes.unnamed(), show(notes, notes.unnamed())
