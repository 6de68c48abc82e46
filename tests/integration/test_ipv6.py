"""IPv6 end to end: calls, neighbours, path MTU, checksums, both families at once."""
import json
import os
import re
import shutil
import subprocess
import threading

import pytest

from lab import lab as lab_module
from lab import scenarios
from test_traffic import make_file, file_hash, unmasked

API, API6 = scenarios.API, "https://api6.payments.test"
SPECIAL6 = "https://special6.payments.test"
INSIDE6, OUTSIDE6 = lab_module.INSIDE6, lab_module.OUTSIDE6


def net(lab, name):
    return sum(w["net"][name] for w in lab.counters()["workers"])


def vendors_saw6(lab):
    """TCP packets over IPv6 that have come to any vendor's port 443."""
    def count():
        rows = lab.sh(lab.vendor, "ip6tables -nvxL INPUT").stdout.splitlines()
        return sum(int(r.split()[0]) for r in rows if "dpt:443" in r)
    return lab.quiet(count)


# ---------------------------------------------------------------------------------- calls

def test_allowed(lab):
    """Both legs over IPv6, and the vendor sees its own key."""
    before = vendors_saw6(lab)
    a = lab.curl(f"{API6}/v1/charges/ch_1")
    assert a.status == 200, a
    assert vendors_saw6(lab) > before, "the vendor was not called over IPv6"
    seen = lab.vendor_log()[-1]
    assert seen["authorization"] == f"Bearer {lab_module.SECRETS['payments']}", seen


def test_blocked(lab):
    """Not one packet to the vendor."""
    before, calls = vendors_saw6(lab), len(lab.vendor_log())
    for body in ('{"amount": 5000000}', '{"amount": 1, "amount": 5000000}'):
        a = lab.curl(f"{API6}/v1/transfers", "-H", "Content-Type: application/json", "-d", body)
        assert a.status == 403 and a.cause == "blocked_by_rule", a
    assert len(lab.vendor_log()) == calls
    assert vendors_saw6(lab) == before


def test_masked(lab):
    a = lab.curl(f"{SPECIAL6}/v1/special/cards")
    assert a.status == 200 and a.json["cards"][0] == "*" * 12 + "4242", a
    assert scenarios.CARD not in a.body, a


def test_caller_in_the_record(lab):
    """The record names the caller and the vendor's address as they are written."""
    lab.curl(f"{API6}/v1/charges/ch_6")
    record = json.dumps(lab.audit("--kind", "call.decided")[-1])
    assert lab_module.CALLER6 in record, record


def test_both_families_at_once(lab):
    """Each family's calls end well while the other's run."""
    failed = []

    def calls(url, flag):
        token = lab.token()
        urls = " ".join([f"{url}/v1/charges/1"] * 40)
        done = lab.sh(lab.caller, f"for u in {urls}; do curl {flag} -sS -o /dev/null -w '%{{http_code}} ' "
                                  f"--cacert {lab.path('ca.pem')} -H 'Authorization: Bearer {token}' "
                                  "$u; done", timeout=120, check=False)
        if done.stdout.split() != ["200"] * 40:
            failed.append((url, done.stdout))

    threads = [threading.Thread(target=calls, args=a) for a in ((API, "-4"), (API6, "-6")) * 2]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed, failed


# -------------------------------------------------------------------------------- the box

def box_link_local(lab):
    text = lab.sh(lab.caller, "ip -6 neigh show dev c0").stdout
    mac = re.search(rf"{INSIDE6} lladdr ([0-9a-f:]+)", text).group(1)
    b = [int(x, 16) for x in mac.split(":")]
    return "fe80::%02x%02x:%02xff:fe%02x:%02x%02x" % (b[0] ^ 2, *b[1:])


def test_ping(lab):
    done = lab.sh(lab.caller, f"ping -6 -c 3 -i 0.2 -W 2 {INSIDE6}")
    assert " 0% packet loss" in done.stdout, done.stdout
    done = lab.sh(lab.caller, f"ping -6 -c 3 -i 0.2 -W 2 {box_link_local(lab)}%c0")
    assert " 0% packet loss" in done.stdout, done.stdout
    done = lab.sh(lab.vendor, f"ping -6 -c 3 -i 0.2 -W 2 -s 1400 {OUTSIDE6}")
    assert " 0% packet loss" in done.stdout, done.stdout


def test_neighbour_from_cold(lab):
    """Neither knows the other: the caller asks our group, we ask the vendor's."""
    for ns, end in ((lab.caller, "c0"), (lab.vendor, "v0")):
        lab.sh(ns, f"ip -6 neigh flush dev {end}")
    assert lab.curl(f"{API6}/v1/charges/ch_1").status == 200
    text = lab.sh(lab.caller, f"ip -6 neigh show dev c0 {INSIDE6}").stdout
    assert re.search("REACHABLE|STALE|DELAY", text) and "router" in text, text


def test_first_call_after_start(lab):
    """turnpike knows nobody; its first packet to the vendor waits for the answer."""
    assert lab.stop_turnpike() == 0
    lab.start_turnpike()
    assert lab.curl(f"{API6}/v1/charges/ch_1").status == 200
    assert net(lab, "nd_solicits_sent") > 0 and net(lab, "nd_received") > 0
    assert net(lab, "address_conflicts") == 0


def change_mac(lab, ns, end, mac):
    """A card is changed: the interface comes back with its addresses and another MAC."""
    addresses = re.findall(r"inet6 (fd\S+)", lab.sh(ns, f"ip -6 addr show dev {end}").stdout)
    routes = lab.sh(ns, "ip -6 route show default").stdout.strip()
    lab.sh(ns, f"ip link set {end} down; ip link set {end} address {mac}; ip link set {end} up")
    for address in addresses:
        lab.sh(ns, f"ip addr replace {address} dev {end} nodad")
    for ns4, script in ((lab.caller, f"ip route replace default via {lab_module.INSIDE}; "
                                     f"ip -6 route replace default via {INSIDE6}"),):
        if ns == ns4 and routes:
            lab.sh(ns, script)


@pytest.mark.parametrize("which", ["caller", "vendor"])
def test_neighbour_changes_mac(lab, which):
    assert lab.curl(f"{API6}/v1/charges/ch_1").status == 200
    ns, end = (lab.caller, "c0") if which == "caller" else (lab.vendor, "v0")
    change_mac(lab, ns, end, "02:00:00:00:77:01")
    # The old connection in the pool may end first: what counts is that calls come through again.
    scenarios.wait_for(f"a call after the {which}'s MAC has changed",
                       lambda: lab.curl(f"{API6}/v1/charges/ch_1", timeout=10).status == 200, 60)


@pytest.fixture
def third(lab):
    """One more namespace, with no interface but lo."""
    ns = f"{lab.name}-third"
    lab_module.run("ip", "netns", "del", ns, check=False)
    lab_module.run("ip", "netns", "add", ns)
    os.makedirs(f"/etc/netns/{ns}", exist_ok=True)
    with open(f"/etc/netns/{ns}/hosts", "w") as f:
        f.writelines(f"{a} {n}\n" for n, a in lab_module.HOSTS.items())
    yield ns
    lab_module.run("ip", "netns", "del", ns, check=False)
    shutil.rmtree(f"/etc/netns/{ns}", ignore_errors=True)


def ip6_by_hand(lab, ns, end):
    where = f"net.ipv6.conf.{end}"
    lab.sh(ns, f"sysctl -qw {where}.disable_ipv6=0 {where}.accept_dad=0 {where}.accept_ra=0")


def test_conflict_is_told(lab, third):
    """Another host on the link claims our address: an error in the log, a count, and calls go on."""
    lab.sh(lab.caller, "ip link add fake link c0 type macvlan mode bridge")
    lab_module.run("ip", "-n", lab.caller, "link", "set", "fake", "netns", third)
    ip6_by_hand(lab, third, "fake")
    # The kernel announces each address when the interface comes up (ndisc_notify).
    lab.sh(third, "sysctl -qw net.ipv6.conf.fake.ndisc_notify=1; ip link set fake up; "
                  f"ip addr add {INSIDE6}/64 dev fake nodad; sleep 0.2; "
                  "ip link set fake addr 02:00:00:00:66:66")
    scenarios.wait_for("the conflict to be counted", lambda: net(lab, "address_conflicts") > 0)
    scenarios.wait_for("the log to tell", lambda: f"has our address {INSIDE6}" in lab.log_tail(400))
    lab_module.run("ip", "-n", third, "link", "del", "fake")
    lab.sh(lab.caller, "ip -6 neigh flush dev c0")
    assert lab.curl(f"{API6}/v1/charges/ch_1").status == 200


# ------------------------------------------------------------------------------- path MTU

def test_path_mtu(lab, third):
    """The caller stands behind a router whose next link carries 1280 bytes; its own interface takes
    more, so that its MSS promises what the path cannot carry. Packet too big comes to us."""
    unmasked(lab)
    path, out = lab.path("www", "files", "mtu"), lab.path("mtu.out")
    wanted = make_file(path, 1 << 20)
    lab_module.run("ip", "-n", lab.caller, "link", "add", "r0", "type", "veth", "peer", "name", "f0",
                   "netns", third)
    ip6_by_hand(lab, lab.caller, "r0")
    ip6_by_hand(lab, third, "f0")
    lab.sh(lab.caller, "sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.c0.proxy_ndp=1; "
                       "ip link set r0 mtu 1280 up; ip addr add fd00:10::2:1/112 dev r0 nodad; "
                       "ip -6 neigh add proxy fd00:10::2:2 dev c0; "
                       f"ip -6 route replace default via {INSIDE6} dev c0; "
                       "ethtool -K r0 tx off rx off tso off gso off gro off >/dev/null 2>&1; true")
    lab.sh(third, "ip link set f0 up; ip addr add fd00:10::2:2/112 dev f0 nodad; "
                  "ip -6 route add default via fd00:10::2:1; "
                  "ethtool -K f0 tx off rx off tso off gso off gro off >/dev/null 2>&1; true")
    before = net(lab, "icmp_errors_received")
    try:
        lab.sh(third, f"curl -sS --fail --max-time 60 --cacert {lab.path('ca.pem')} "
                      f"-H 'Authorization: Bearer {lab.token()}' -o {out} {API6}/files/mtu", timeout=70)
        got = file_hash(out)
    finally:
        lab.sh(lab.caller, "ip link del r0; ip -6 neigh del proxy fd00:10::2:2 dev c0; "
                           "sysctl -qw net.ipv6.conf.all.forwarding=0 net.ipv6.conf.c0.proxy_ndp=0; "
                           f"ip -6 route replace default via {INSIDE6} dev c0", check=False)
    assert got == wanted, f"SHA-256 of the download: expected {wanted}, got {got}"
    assert net(lab, "icmp_errors_received") > before, "no packet too big came"


# ------------------------------------------------------------------------------ checksums

def test_checksums(lab):
    """Captures on both kernel sides while calls and pings pass: not one bad checksum."""
    captures = []
    for ns, end in ((lab.caller, "c0"), (lab.vendor, "v0")):
        path = lab.path(f"{end}-6.pcap")
        p = lab.spawn(ns, "tcpdump", "-i", end, "-w", path, "-U", "--immediate-mode", "ip6")
        captures.append((p, path))
    scenarios.wait_for("both captures", lambda: all(os.path.exists(c) for _, c in captures))
    path = lab.path("www", "files", "small6")
    make_file(path, 1 << 20)
    for end, ns in (("c0", lab.caller), ("v0", lab.vendor)):
        lab.sh(ns, f"ip -6 neigh flush dev {end}")
    for _ in range(3):
        assert lab.curl(f"{API6}/v1/charges/ch_1").status == 200
    assert lab.curl(f"{API6}/files/small6", timeout=60).exit == 0
    for ns, target in ((lab.caller, INSIDE6), (lab.vendor, OUTSIDE6)):
        lab.sh(ns, f"ping -6 -c 3 -i 0.2 -W 2 {target}")
    lab.sh(lab.caller, "python3 -c \"import socket; s = socket.socket(socket.AF_INET6, "
                       "socket.SOCK_DGRAM); s.sendto(b'x' * 1200, ('fd00:20::10', 443))\"")
    for p, capture in captures:
        p.terminate()
        p.wait(10)
        fields = subprocess.run(
            ["tshark", "-r", capture, "-o", "tcp.check_checksum:TRUE", "-T", "fields", "-e",
             "tcp.checksum.status", "-e", "icmpv6.checksum.status", "-e", "frame.number", "-e", "ipv6.src", "-e",
             "tcp.seq_raw", "-e", "tcp.len", "-e", "tcp.analysis.retransmission"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
        rows = [r.split("\t") for r in fields.splitlines()]
        assert len(rows) > 100, f"{capture}: only {len(rows)} packets"
        assert sum("1" in r[1] for r in rows) > 2, f"{capture}: no ICMPv6 was judged"
        bad = [r for r in rows if "0" in ",".join(r[:2]).split(",")]
        assert not bad, f"{capture}: {len(bad)} of {len(rows)} packets with a bad checksum: {bad[:5]}"


def test_quic_is_refused(lab):
    """UDP/443 over IPv6 is answered with port unreachable, so that the caller falls back at once."""
    before = net(lab, "drop_udp_quic")
    done = lab.sh(lab.caller, "python3 -c \"import socket; s = socket.socket(socket.AF_INET6, "
                              "socket.SOCK_DGRAM); s.settimeout(3); s.connect(('fd00:20::10', 443)); "
                              "s.send(b'x' * 1200); s.recv(1)\"", check=False)
    assert "ConnectionRefusedError" in done.stdout, done.stdout
    assert net(lab, "drop_udp_quic") == before + 1
