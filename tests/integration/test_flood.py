"""A SYN flood from addresses that never answer: kernels' handshakes go on by cookie (RFC 4987), with what they
offered kept in the timestamp (window scale, SACK)."""
import hashlib
import os

from lab import lab as lab_module
from lab import scenarios

FLOOD = r"""
import random, socket, struct, sys
target, count = socket.inet_aton(sys.argv[1]), int(sys.argv[2])
def sum16(b):
    s = sum(struct.unpack(f"!{len(b) // 2}H", b))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff
out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for i in range(count):
    source = socket.inet_aton(f"10.10.0.{20 + i % 200}")
    seq = random.getrandbits(32)
    def tcp(check):
        return struct.pack("!HHIIBBHHHBBH", 1024 + i // 200, 443, seq, 0, 0x60, 2, 64000, check, 0, 2, 4,
                           1460)
    check = sum16(source + target + struct.pack("!BBH", 0, 6, 24) + tcp(0))
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 44, 0, 0, 64, 6, 0, source, target)
    out.sendto(ip + tcp(check), (sys.argv[1], 0))
"""


def tcp_counter(lab, name):
    return lab.counters()["workers"][0]["tcp"][name]


def flood(lab, count):
    script = lab.path("flood.py")
    with open(script, "w") as f:
        f.write(FLOOD)
    host = scenarios.API.split("//")[1].split("/")[0].split(":")[0]
    lab.sh(lab.caller, f"/usr/bin/python3 {script} {lab_module.HOSTS[host]} {count}")


def test_honest_callers_go_on(lab):
    for _ in range(10):
        flood(lab, 3000)
        if tcp_counter(lab, "syn_cookies_sent") > 500:
            break
    assert tcp_counter(lab, "syn_cookies_sent") > 500, "the backlog mark was not reached"
    before = tcp_counter(lab, "syn_cookies_ok")
    for i in range(5):
        assert lab.curl(f"{scenarios.API}/v1/charges/ch_{i}").status == 200
    assert tcp_counter(lab, "syn_cookies_ok") == before + 5
    data = os.urandom(4 << 20)
    path = lab.path("big")
    with open(path, "wb") as f:
        f.write(data)
    a = lab.curl(f"{scenarios.API}/v1/files", "-H", "Content-Type: application/octet-stream", "-T", path,
                 "-X", "POST", timeout=60)
    assert a.status == 200, a
    assert a.json["sha256"] == hashlib.sha256(data).hexdigest(), a
    assert tcp_counter(lab, "syn_cookies_ok") == before + 6
