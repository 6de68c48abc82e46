"""What waits for the disk and what does not. The store's disk is stalled or refuses at will: LD_PRELOAD of fdatasync into
turnpike, which looks for a file."""
import os
import subprocess
import threading
import time

import pytest

from conftest import SANITIZER, checked
from lab.scenarios import API, SPECIAL, wait_for

# While `stall` is there a sync does not return, while `refuse` is there it fails.
SLOW_DISK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_there(const char *name)
{
    char path[4096];

    strcpy(path, getenv("SLOW_DISK"));
    strcat(path, name);
    return access(path, F_OK) == 0;
}

int fdatasync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");

    while (is_there("/stall"))
        usleep(1000);
    if (is_there("/refuse")) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}
"""


def rewrite(path, *changes):
    with open(path) as f:
        text = f.read()
    for old, new in changes:
        assert old in text, (path, old)
        text = text.replace(old, new)
    with open(path, "w") as f:
        f.write(text)


class Disk:
    def __init__(self, where):
        self.where = where

    def library(self):
        source, built = os.path.join(self.where, "disk.c"), os.path.join(self.where, "disk.so")
        with open(source, "w") as f:
            f.write(SLOW_DISK)
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", built, source, "-ldl"], check=True)
        return built

    def set(self, how, on):
        path = os.path.join(self.where, how)
        if on:
            open(path, "w").close()
        elif os.path.exists(path):
            os.unlink(path)

    def free(self):
        self.set("stall", False)
        self.set("refuse", False)


@pytest.fixture(scope="module")
def box(make_lab, tmp_path_factory, sanitized):
    """`payments` says nothing and so is strict, `special` is relaxed; the ring is of the smallest."""
    disk = Disk(str(tmp_path_factory.mktemp("disk")))
    with make_lab(name=os.environ.get("TURNPIKE_LAB", "tp") + "r") as lab:
        lab.stop_turnpike()
        rewrite(lab.path("rules", "payments.yaml"),
                ("    upgrade: websocket\n", "    upgrade: websocket\n    durability: relaxed\n"),
                ("special.read, special.head", "special.head"),
                ("rules:\n", "rules:\n  - {id: 90, name: Special, on: special.read, "
                             "when: request.path != '/v1/held', then: allow}\n"
                             "  - {id: 91, name: Held, on: special.read, when: request.path == '/v1/held', "
                             "then: hold, hold: {wait: 20s}}\n"))
        rewrite(lab.path("turnpike.yaml"), ("ring: 16MiB", "ring: 1MiB"))
        preload = disk.library()
        if sanitized:
            asan = subprocess.run(["cc", "-print-file-name=libasan.so"], stdout=subprocess.PIPE, text=True,
                                  check=True).stdout.strip()
            preload = f"{asan}:{preload}"
        lab.wrapper = ["env", f"LD_PRELOAD={preload}", f"SLOW_DISK={disk.where}"]
        lab.start_turnpike()
        lab.disk = disk
        with checked(lab):
            yield lab
            disk.free()


@pytest.fixture(autouse=True)
def working_disk(box):
    yield
    box.disk.free()
    wait_for("calls after the disk has come back", lambda: box.curl(f"{API}/v1/charges/ch_1").status == 200, 20)


def in_background(box, url):
    answers = []
    t = threading.Thread(target=lambda: answers.append(box.curl(url)))
    t.start()
    return t, answers


def decided(box, target, **more):
    """The one call.decided of that target."""
    found = wait_for(f"the record of {target}", lambda: [
        r for r in box.audit() if r["kind"] == "call.decided" and r["target"] == target
        and all(r.get(k) == v for k, v in more.items())])
    assert len(found) == 1, found
    return found[0]


def settled(box, call):
    return wait_for("its end", lambda: [r for r in box.audit("--call", call) if r["kind"] == "call.settled"])[0]


def test_relaxed_goes_and_strict_waits_while_the_disk_stands_still(box):
    seen = len(box.vendor_log())
    box.disk.set("stall", True)
    time.sleep(0.1)  # a sync may have been under way
    thread, answers = in_background(box, f"{API}/v1/strict-stalled")
    for i in range(3):
        a = box.curl(f"{SPECIAL}/v1/relaxed-stalled-{i}", timeout=5)
        assert a.status == 200, a
    assert any(c["target"] == "/v1/relaxed-stalled-2" for c in box.vendor_log("special"))
    time.sleep(0.5)
    assert thread.is_alive() and len(box.vendor_log()) == seen, "a strict call must wait for the disk"
    assert not [r for r in box.audit() if "stalled" in r.get("target", "")], "nothing can be on disk"
    box.disk.set("stall", False)
    thread.join(20)
    assert answers[0].status == 200, answers
    for i in range(3):
        r = decided(box, f"/v1/relaxed-stalled-{i}")
        assert r["durability"] == "relaxed" and r["decision"] == "allow", r
        assert "audit_us" not in settled(box, r["call"])
    r = decided(box, "/v1/strict-stalled")
    assert "durability" not in r, r
    assert settled(box, r["call"])["audit_us"] > 400000
    box.tool("audit", "verify", "--directory", box.path("audit", "store"))


def test_a_store_that_refuses_stops_both(box):
    before = len(box.vendor_log()), len(box.vendor_log("special"))
    box.disk.set("refuse", True)

    def refused():
        a = box.curl(f"{SPECIAL}/v1/before-refusing")
        return a.status == 503 and a
    assert wait_for("a refusal", refused, 20).cause == "audit_unavailable"
    during = len(box.vendor_log("special"))
    for url in (f"{API}/v1/refused", f"{SPECIAL}/v1/refused"):
        a = box.curl(url)
        assert (a.status, a.cause) == (503, "audit_unavailable"), a
    assert len(box.vendor_log()) == before[0] and len(box.vendor_log("special")) == during
    box.disk.set("refuse", False)
    wait_for("calls again", lambda: box.curl(f"{SPECIAL}/v1/after-refusing").status == 200, 20)
    for r in [r for r in box.audit() if r.get("target") == "/v1/refused"]:
        assert r["decision"] == "block" and "durability" not in r, r
    box.tool("audit", "verify", "--directory", box.path("audit", "store"))


def test_a_full_ring_stops_both(box):
    """Three quarters of 1 MiB, with a record of 1 to 2 KiB twice a call."""
    box.disk.set("stall", True)
    time.sleep(0.1)
    filler = "x" * 3000

    def full():
        a = box.curl(f"{SPECIAL}/v1/filler?{filler}&[1-100]")
        return a.status == 503 and a
    a = wait_for("a full ring", full, 60)
    assert a.cause == "audit_unavailable", a
    seen = len(box.vendor_log()), len(box.vendor_log("special"))
    for url in (f"{API}/v1/full", f"{SPECIAL}/v1/full"):
        a = box.curl(url)
        assert (a.status, a.cause) == (503, "audit_unavailable"), a
    assert (len(box.vendor_log()), len(box.vendor_log("special"))) == seen
    box.disk.set("stall", False)
    wait_for("calls again", lambda: box.curl(f"{SPECIAL}/v1/after-full").status == 200, 20)
    recorded = [r for r in box.audit() if r["kind"] == "call.decided" and r["target"].startswith("/v1/filler")
                and r["decision"] == "allow"]
    sent = [c for c in box.vendor_log("special") if c["target"].startswith("/v1/filler")]
    assert len(recorded) == len(sent) > 100, "each call that the vendor saw has its record"
    assert all(r["durability"] == "relaxed" for r in recorded)


def test_what_is_held_waits_for_the_disk(box):
    thread, answers = in_background(box, f"{SPECIAL}/v1/held")
    hold = wait_for("the hold", lambda: box.ctl_json("holds", "list")["holds"])[0]
    box.disk.set("stall", True)
    time.sleep(0.1)
    box.ctl("holds", "approve", hold["id"])
    time.sleep(0.7)
    assert thread.is_alive() and not [c for c in box.vendor_log("special") if c["target"] == "/v1/held"]
    box.disk.set("stall", False)
    thread.join(20)
    assert answers[0].status == 200, answers
    assert "durability" not in decided(box, "/v1/held", decision="allow")


def test_the_default_of_the_file_and_a_connection_of_its_own_word(box):
    assert box.stop_turnpike() == 0
    rewrite(box.path("turnpike.yaml"), ("durability: strict", "durability: relaxed"))
    rewrite(box.path("rules", "payments.yaml"), ("durability: relaxed", "durability: strict"))
    box.start_turnpike()
    try:
        assert box.curl(f"{API}/v1/by-default").status == 200
        assert box.curl(f"{SPECIAL}/v1/own-word").status == 200
        assert decided(box, "/v1/by-default")["durability"] == "relaxed"
        assert "durability" not in decided(box, "/v1/own-word")
    finally:
        rewrite(box.path("turnpike.yaml"), ("durability: relaxed", "durability: strict"))
        rewrite(box.path("rules", "payments.yaml"), ("durability: strict", "durability: relaxed"))
        assert box.stop_turnpike() == 0
        box.start_turnpike()


def test_a_wrong_word_is_told_with_its_place(box):
    wrong = box.path("wrong.yaml")
    with open(box.path("turnpike.yaml")) as f:
        lines = f.read().replace("durability: strict", "durability: lax").splitlines(True)
    with open(wrong, "w") as f:
        f.writelines(lines)
    line, column = next((i, t.index("lax") + 1) for i, t in enumerate(lines, 1) if "lax" in t)
    done = subprocess.run([box.program, "-c", wrong, "--check"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, env={**os.environ, **SANITIZER})
    assert done.returncode == 2 and f"wrong.yaml:{line}:{column}" in done.stdout and "relaxed" in done.stdout, \
        done.stdout
