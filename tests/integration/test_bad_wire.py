"""The wire with faults (tests/wire) does what it says, by numbered datagrams between two kernels; and the whole
box over it. How fast the box is on it: tests/perf/bad_wire."""
import ctypes
import math
import os
import select
import socket
import struct
import subprocess
import threading
import time

import pytest

from lab import lab as lab_module
from conftest import check_log
from test_traffic import MIB, download, make_file, unmasked, upload

NAME = os.environ.get("TURNPIKE_LAB", "tp")
A, WIRE, B = (f"{NAME}-{part}" for part in ("wa", "wm", "wb"))
ADDRESS = {A: "10.30.0.1", B: "10.30.0.2"}
MAC = {A: "02:00:00:00:30:01", B: "02:00:00:00:30:02"}
ADDRESS6 = {A: "fd30::1", B: "fd30::2"}
CLONE_NEWNET = 0x40000000
SO_RCVBUFFORCE, IP_MTU_DISCOVER, IP_MTU, IP_PMTUDISC_DO, IP_RECVERR = 33, 10, 14, 2, 11
IPV6_MTU_DISCOVER, IPV6_MTU = 23, 24


def run_inside(ns, function):
    """The function's result, called by a thread that has entered the namespace."""
    result = []

    def enter():
        with open(f"/run/netns/{ns}") as f:
            if ctypes.CDLL(None, use_errno=True).setns(f.fileno(), CLONE_NEWNET):
                result.append(OSError(ctypes.get_errno(), "setns"))
            else:
                result.append(function())
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if isinstance(result[0], OSError):
        raise result[0]
    return result[0]


def udp(ns, family=socket.AF_INET):
    def make():
        s = socket.socket(family, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        s.bind(((ADDRESS if family == socket.AF_INET else ADDRESS6)[ns], 7000))
        s.setblocking(False)
        return s
    return run_inside(ns, make)


def use_ipv6(ns, on):
    lab_module.run("ip", "netns", "exec", ns, "sysctl", "-qw",
                   f"net.ipv6.conf.all.disable_ipv6={int(not on)}",
                   f"net.ipv6.conf.default.disable_ipv6={int(not on)}")


@pytest.fixture
def ipv6(ends):
    for ns in (A, B):
        use_ipv6(ns, True)
        lab_module.run("ip", "-n", ns, "addr", "add", f"{ADDRESS6[ns]}/64", "dev", "e0", "nodad")
    yield
    for ns in (A, B):
        use_ipv6(ns, False)


@pytest.fixture(scope="module")
def ends():
    try:
        for ns in (A, WIRE, B):
            lab_module.run("ip", "netns", "del", ns, check=False)
            lab_module.run("ip", "netns", "add", ns)
            lab_module.run("ip", "-n", ns, "link", "set", "lo", "up")
            use_ipv6(ns, False)  # its group reports would be among the counted
        lab_module.join(A, "e0", WIRE, "w0")
        lab_module.join(B, "e0", WIRE, "w1")
        for ns in (A, B):
            lab_module.run("ip", "-n", ns, "link", "set", "e0", "address", MAC[ns])
            lab_module.run("ip", "-n", ns, "addr", "add", f"{ADDRESS[ns]}/24", "dev", "e0")
        yield
    finally:
        for ns in (A, WIRE, B):
            lab_module.run("ip", "netns", "del", ns, check=False)


@pytest.fixture(scope="module")
def program(request):
    return os.path.join(os.path.abspath(request.config.getoption("--build")), "tests", "wire",
                        "badwire")


@pytest.fixture
def wire(ends, program):
    """wire(options) starts one; an earlier one of the same test is stopped."""
    running = []

    def start(*options):
        while running:
            running.pop().stop()
        for ns, other in ((A, B), (B, A)):
            # Known from the start: what waits for an address can be dropped before the wire.
            lab_module.run("ip", "-n", ns, "neigh", "replace", ADDRESS[other], "lladdr", MAC[other], "nud",
                           "reachable", "dev", "e0")
            lab_module.run("ip", "-n", ns, "route", "flush", "cache")
            lab_module.run("ip", "-n", ns, "-6", "route", "flush", "cache")
        running.append(lab_module.BadWire(program, WIRE, "w0", "w1", *options))
        return running[0]
    yield start
    while running:
        running.pop().stop()


def drain(s, into, wait=0.0):
    while select.select([s], [], [], wait)[0]:
        try:
            into.append(s.recv(2048))
        except BlockingIOError:
            pass  # the kernel found a bad checksum only when asked for the datagram


def send_numbered(source, target, count, size=200, to=ADDRESS[B]):
    """Returns the datagrams' numbers in the order they came; every byte is checked."""
    a, b = udp(source), udp(target)
    got = []
    filler = bytes(range(256)) * 8
    with a, b:
        for i in range(count):
            a.sendto(struct.pack("!I", i) + filler[:size - 4], (to, 7000))
            if i % 64 == 63:
                drain(b, got)
                time.sleep(0.0005)
        drain(b, got, wait=0.3)
    assert all(d[4:] == filler[:size - 4] for d in got), "a damaged datagram was delivered"
    return [struct.unpack("!I", d[:4])[0] for d in got]


def overtaken(numbers):
    """number -> how many larger ones came before it."""
    late, most = {}, -1
    for at, n in enumerate(numbers):
        if n < most:
            late[n] = sum(1 for m in numbers[max(0, at - 64):at] if m > n)
        most = max(most, n)
    return late


def settle(w, count):
    """The counters of A to B; void runs are not judged."""
    c = w.counters()["a_to_b"]
    assert c["missed"] == c["unsent"] == c["oversize"] == 0, f"the instrument itself lost frames: {c}"
    assert c["carried"] + c["lost"] >= count, c
    return c


def near(count, got, probability, what):
    """Within five standard deviations of the binomial: one run in a million fails by chance, and none
    does for a fixed seed."""
    mean, sigma = count * probability, math.sqrt(count * probability * (1 - probability))
    assert abs(got - mean) <= 5 * sigma, f"{what}: expected {mean:.0f} +- {5 * sigma:.0f}, got {got}"


COUNT = 10000


def test_clean(wire):
    w = wire("--seed", 1)
    assert send_numbered(A, B, COUNT) == list(range(COUNT)), "a clean wire changed what it carried"
    c = settle(w, COUNT)
    assert c["lost"] + c["damaged"] + c["duplicated"] + c["reordered"] + c["queue_drops"] == 0, c
    assert c["carried"] - c["exempt"] == COUNT, c


@pytest.mark.plain
@pytest.mark.parametrize("percent", [0.5, 5, 50])
def test_loss(wire, percent):
    w = wire("--seed", 2, "--loss", percent)
    got = send_numbered(A, B, COUNT)
    c = settle(w, COUNT)
    assert len(got) == COUNT - c["lost"], f"received {len(got)} of {COUNT}, counted lost {c['lost']}"
    assert got == sorted(got), "lossy is not reordered"
    near(COUNT, c["lost"], percent / 100, "lost")


@pytest.mark.plain
def test_duplicates(wire):
    w = wire("--seed", 3, "--duplicate", 4)
    got = send_numbered(A, B, COUNT)
    c = settle(w, COUNT)
    assert sorted(set(got)) == list(range(COUNT))
    assert len(got) == COUNT + c["duplicated"], (len(got), c)
    near(COUNT, c["duplicated"], 0.04, "duplicated")


@pytest.mark.plain
@pytest.mark.parametrize("frames", [1, 3, 8])
def test_reordering(wire, frames):
    """A held frame comes after exactly so many later ones."""
    w = wire("--seed", 4, "--reorder", 2, "--reorder-frames", frames, "--reorder-ms", 1000)
    got = send_numbered(A, B, COUNT)
    c = settle(w, COUNT)
    assert sorted(got) == list(range(COUNT))
    near(COUNT, c["reordered"], 0.02, "reordered")
    late = overtaken(got)
    # Two held within each other's reach count each other, or not: those apart are exact.
    exact = sum(1 for n in late.values() if n == frames)
    assert exact > 0.6 * c["reordered"], f"{exact} of {c['reordered']} overtaken by {frames}: {late}"


@pytest.mark.plain
def test_reordering_is_bounded_in_time(wire):
    w = wire("--seed", 5, "--reorder", 100, "--reorder-frames", 1000, "--reorder-ms", 50)
    a, b = udp(A), udp(B)
    with a, b:
        start = time.monotonic()
        a.sendto(b"alone", (ADDRESS[B], 7000))
        assert select.select([b], [], [], 2)[0], "a held frame never came"
        took = time.monotonic() - start
    assert 0.05 <= took < 0.3, f"held for 50 ms, came after {took * 1000:.1f} ms"
    assert w.counters()["a_to_b"]["reordered"] >= 1


@pytest.mark.plain
def test_damage_is_caught(wire):
    """The kernel's UDP checksum sees every one of them: none is delivered, none counted twice."""
    w = wire("--seed", 6, "--damage", 10)
    got = send_numbered(A, B, COUNT)
    c = settle(w, COUNT)
    assert len(got) == COUNT - c["damaged"], (len(got), c)
    near(COUNT, c["damaged"], 0.1, "damaged")


@pytest.mark.plain
def test_a_seed_repeats_itself(wire):
    def missing(*options, source=A, target=B):
        wire(*options)
        got = send_numbered(source, target, 3000, to=ADDRESS[target])
        return set(range(3000)) - set(got)
    first = missing("--seed", 7, "--loss", 5)
    assert 90 < len(first) < 210, len(first)
    assert missing("--seed", 7, "--loss", 5) == first, "the same seed lost others"
    assert missing("--seed", 7, "--loss", 5, "--reorder", 10, "--duplicate", 5) == first, \
        "other faults moved the losses"
    assert missing("--seed", 8, "--loss", 5) != first, "another seed lost the same"
    back = missing("--seed", 7, "--loss", "0,5", source=B, target=A)
    assert 90 < len(back) < 210 and back != first, "each direction has losses of its own"
    assert not missing("--seed", 7, "--loss", "0,5"), "B to A only"


@pytest.mark.plain
def test_delay(wire):
    wire("--delay", "10,30")
    out = lab_module.run("ip", "netns", "exec", A, "ping", "-c", "20", "-i", "0.02", "-q",
                         ADDRESS[B]).stdout
    least, mean = (float(x) for x in out.split("= ")[1].split("/")[:2])
    assert 40 <= least < 43 and mean < 60, f"10 ms and 30 ms: {out}"


def arrivals(count, size):
    a, b = udp(A), udp(B)
    times = []
    with a, b:
        a.sendto(b"x", (ADDRESS[B], 7000))  # resolves the address
        assert select.select([b], [], [], 2)[0]
        b.recv(10)
        time.sleep(0.1)
        for _ in range(count):
            a.sendto(bytes(size), (ADDRESS[B], 7000))
        while select.select([b], [], [], 0.3)[0]:
            b.recv(2048)
            times.append(time.monotonic())
    return times


@pytest.mark.plain
def test_rate(wire):
    """A burst of 200 frames of 1042 bytes meets 8 Mbit/s: about 1 ms each; 64 KiB wait, the rest is dropped."""
    w = wire("--rate", "8,0", "--queue", 64)
    times = arrivals(200, 1000)
    c = w.counters()["a_to_b"]
    room = 64 * 1024 // 1042
    assert room <= len(times) <= room + 20, f"{len(times)} of 200 came, {room} fit the queue"
    assert len(times) + c["queue_drops"] == 200, c
    wanted = (len(times) - 1) * 1042 * 8 / 8e6
    took = times[-1] - times[0]
    assert 0.8 * wanted < took < 1.6 * wanted, f"expected {wanted * 1000:.0f} ms, took {took * 1000:.0f}"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize("source", [None, "10.30.0.99 fd30::99"])
def test_mtu(ipv6, wire, family, source):
    options = [x for s in (source or "").split() for x in ("--icmp-source", s)]
    w = wire("--mtu", 1280, *options)
    v4 = family == socket.AF_INET
    to = ((ADDRESS if v4 else ADDRESS6)[B], 7000)
    level, discover, mtu = ((socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_MTU) if v4 else
                            (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_MTU))
    headers = 28 if v4 else 48
    a, b = udp(A, family), udp(B, family)
    with a, b:
        a.setsockopt(level, discover, IP_PMTUDISC_DO)
        a.connect(to)
        b.setblocking(False)
        a.send(bytes(1280 - headers))
        assert select.select([b], [], [], 2)[0], "1280 bytes fit"
        b.recv(2048)
        a.send(bytes(1281 - headers))
        deadline = time.monotonic() + 2
        while a.getsockopt(level, mtu) != 1280 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert a.getsockopt(level, mtu) == 1280, "the kernel believed no ICMP answer"
        assert not select.select([b], [], [], 0.1)[0], "1281 bytes came through"
        with pytest.raises(OSError):
            a.send(bytes(1281 - headers))
            a.send(bytes(1281 - headers))
    c = w.counters()["a_to_b"]
    assert c["too_big"] == 1 and c["icmp"] == 1, c


@pytest.mark.plain
def test_icmp_source(wire):
    """Who answers: the address given, or the packet's destination."""
    for options, wanted in (((), ADDRESS[B]), (("--icmp-source", "10.30.0.99"), "10.30.0.99")):
        wire("--mtu", 1280, *options)
        a = udp(A)
        with a:
            a.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
            a.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            a.sendto(bytes(1400), (ADDRESS[B], 7000))
            deadline, who = time.monotonic() + 2, None
            while not who and time.monotonic() < deadline:
                try:
                    _, extra, _, _ = a.recvmsg(2048, 512, socket.MSG_ERRQUEUE)
                except BlockingIOError:
                    time.sleep(0.01)
                    continue
                # struct sock_extended_err, then the offender's sockaddr_in
                error, _, kind, code, _, info = struct.unpack("=IBBBBI", extra[0][2][:12])
                assert (error, kind, code, info) == (90, 3, 4, 1280), "EMSGSIZE, type 3 code 4, MTU"
                who = socket.inet_ntoa(extra[0][2][20:24])
        assert who == wanted, f"expected an answer from {wanted}, got {who}"


@pytest.mark.plain
def test_black_hole(wire):
    w = wire("--mtu", 1280, "--icmp-silent")
    a = udp(A)
    with a:
        a.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
        for _ in range(3):
            a.sendto(bytes(1400), (ADDRESS[B], 7000))
            time.sleep(0.05)
    c = w.counters()["a_to_b"]
    assert c["too_big"] == 3 and c["icmp"] == 0, c


@pytest.mark.plain
def test_neighbours_are_spared(ipv6, wire):
    for options, resolved in ((("--loss", 100), True), (("--loss", 100, "--impair-all"), False)):
        wire(*options)
        for ns in (A, B):
            lab_module.run("ip", "-n", ns, "neigh", "flush", "all")
        for address in (ADDRESS[B], ADDRESS6[B]):
            lab_module.run("ip", "netns", "exec", A, "ping", "-c", "1", "-W", "1", address, check=False)
            entry = lab_module.run("ip", "-n", A, "neigh", "show", address).stdout
            assert ("lladdr" in entry) == resolved, f"{options}: {entry!r}"


@pytest.mark.parametrize("arguments,code", [
    (["--help"], 0), ([], 64), (["one"], 64), (["--loss", "101", "w0", "w1"], 64),
    (["--loss", "-1", "w0", "w1"], 64), (["--loss", "1,2,3", "w0", "w1"], 64),
    (["--delay", "nan", "w0", "w1"], 64), (["--seed", "x", "w0", "w1"], 64),
    (["--icmp-source", "nobody", "w0", "w1"], 64), (["--nonsense", "w0", "w1"], 64),
    (["none-such", "w1"], 66)])
def test_exit_codes(ends, program, arguments, code):
    done = subprocess.run(["ip", "netns", "exec", WIRE, program, *arguments], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == code, done
    assert bool(done.stderr) == bool(code), done
    if arguments == ["--help"]:
        for word in ("--seed", "--loss", "--duplicate", "--reorder", "--damage", "--delay", "--mtu",
                     "--rate", "--queue", "--icmp-source", "Exit codes"):
            assert word in done.stdout, f"--help says nothing of {word}"


@pytest.fixture(scope="module")
def bad_lab(make_lab):
    with make_lab(bad=("caller", "vendor")) as lab:
        unmasked(lab)
        yield lab
        assert lab.turnpike.poll() is None, "turnpike has ended by itself:\n" + lab.log_tail()
        check_log(lab)


BAD = {
    "loss": ("--loss", 1, "--delay", 10),
    "reordering": ("--reorder", 10, "--delay", 10),
    "duplicates": ("--duplicate", 3, "--delay", 10),
    "damage": ("--damage", 0.5, "--delay", 10),
    "mtu": ("--mtu", 1280, "--delay", 10),
    "all": ("--loss", 0.3, "--reorder", 3, "--duplicate", 1, "--damage", 0.3, "--mtu", 1280,
            "--delay", 5, "--rate", 50, "--queue", 64),
}


@pytest.mark.parametrize("place", ["caller", "vendor"])
@pytest.mark.parametrize("fault", BAD)
def test_through_the_box(bad_lab, place, fault):
    """What arrives is what was sent, both ways, by length and chunked."""
    lab = bad_lab
    path = lab.path("www", "files", "bad")
    wanted = make_file(path, MIB)
    other = {"caller": "vendor", "vendor": "caller"}[place]
    lab.start_wire(other)
    lab.start_wire(place, "--seed", 11, *BAD[fault])
    download(lab, "bad", wanted, 60)
    upload(lab, path, wanted, 60)
    upload(lab, path, wanted, 60, "-H", "Transfer-Encoding: chunked", "-H", "Content-Length:")
    both = lab.stop_wire(place).values()
    struck = {"loss": "lost", "reordering": "reordered", "duplicates": "duplicated",
              "damage": "damaged", "mtu": "too_big", "all": "lost"}[fault]
    assert sum(c[struck] for c in both) > 0, f"the wire did nothing: {both}"
