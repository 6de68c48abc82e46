"""A lab for load: more addresses on both sides, a vendor for many connections, limits of its own, and the tools of
tests/load. The box's worker has a processor to itself; every tool and vendor runs on the other one."""
import json
import os
import re
import select
import signal
import subprocess
import time

from . import lab as lab_module

SOURCES = "10.10.0.100-10.10.0.115"   # holders
FOES = "10.10.0.140-10.10.0.143"      # attackers with real connections
SPOOFED = "10.10.0.160-10.10.0.253"  # nobody has them
TARGETS = "10.20.0.100-10.20.0.115"   # the vendor for many connections
NGINX = "10.20.0.10"
NAME = "api.payments.test"             # nginx
MANY = "special.payments.test"         # the vendor for many


def addresses(text):
    first, _, last = text.partition("-")
    head, low = first.rsplit(".", 1)
    return [f"{head}.{i}" for i in range(int(low), int((last or first).rsplit(".", 1)[1]) + 1)]


class Tool:
    """One of tests/load's, its standard output read line by line as JSON."""

    def __init__(self, lab, ns, *args):
        self.name = args[0]
        self.p = subprocess.Popen(
            ["ip", "netns", "exec", ns, "taskset", "-c", "0",
             os.path.join(lab.build, "tests", "load", args[0]), *args[1:]],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True)
        self.unread = b""
        lab.processes.append(self.p)
        lab.tools.append(self)

    def line(self, timeout=60):
        deadline = time.time() + timeout
        while b"\n" not in self.unread:
            if not select.select([self.p.stdout], [], [], max(0, deadline - time.time()))[0]:
                raise RuntimeError(f"{self.name} said nothing for {timeout} s")
            more = os.read(self.p.stdout.fileno(), 65536)
            if not more:
                raise RuntimeError(f"{self.name} ended: {self.p.stderr.read().decode()}")
            self.unread += more
        line, self.unread = self.unread.split(b"\n", 1)
        return json.loads(line)

    def say(self, text):
        self.p.stdin.write(text.encode() + b"\n")
        self.p.stdin.flush()

    def report(self, timeout=60):
        answer = {}
        while answer.get("what") != "report":
            answer = {**answer, **self.line(timeout)}
        return answer

    def ask(self, text, timeout=60):
        self.say(text)
        return self.report(timeout)

    def end(self):
        """The holders close what they hold."""
        self.p.stdin.close()
        self.p.wait(60)

    def kill(self):
        if self.p.poll() is None:
            self.p.kill()
            self.p.wait(10)


class Crowd:
    """Several of the holders' or the vendor's processes as one: the files that one may open are bounded. Numbers are
    added up, times are the longest."""

    def __init__(self, tools):
        self.tools = tools

    def sum(self, answers):
        out = {}
        for a in answers:
            for key, value in a.items():
                if isinstance(value, dict):
                    out[key] = self.sum([out.get(key, {}), value])
                elif isinstance(value, str):
                    out[key] = value
                else:
                    out[key] = max(out.get(key, 0), value) if key == "seconds" else out.get(key, 0) + value
        return out

    def line(self, timeout=60):
        return self.sum([t.line(timeout) for t in self.tools])

    def ask(self, text, timeout=60):
        for t in self.tools:
            t.say(text)
        return self.sum([t.report(timeout) for t in self.tools])

    def signal(self, how):
        for t in self.tools:
            os.kill(t.p.pid, how)

    def end(self):
        for t in self.tools:
            t.end()

    def kill(self):
        for t in self.tools:
            t.kill()


class BoundsLab(lab_module.Lab):
    def __init__(self, limits="", profile=None, many=1000, **kw):
        super().__init__(**kw)
        self.crowd = -(-many // 15000)  # processes on each side
        self.limits, self.profile, self.tools = limits, profile or {}, []

    # ------------------------------------------------------------------ set-up

    def _wires(self):
        super()._wires()
        for a in addresses(SOURCES) + addresses(FOES):
            self.sh(self.caller, f"ip addr add {a}/24 dev c0")
        for a in addresses(TARGETS):
            self.sh(self.vendor, f"ip addr add {a}/24 dev v0")
        for ns in (self.caller, self.vendor):
            self.sh(ns, "sysctl -qw net.ipv4.ip_local_port_range='2048 65000' net.core.somaxconn=4096 "
                        "net.ipv4.tcp_max_syn_backlog=8192; "
                        "ip route add default via 10.10.0.1 2>/dev/null; true")

    def _config(self):
        super()._config()
        with open(self.path("turnpike.yaml"), "a") as f:
            f.write(self.limits)
        with open(self.path("profile.yaml")) as f:
            text = f.read()
        for key, value in self.profile.items():
            text = re.sub(rf"(?m)^{key}:.*$", f"{key}: {value}", text)
        with open(self.path("profile.yaml"), "w") as f:
            f.write(text)

    def _vendors(self):
        super()._vendors()
        with open(self.path("www", "files", "large"), "wb") as f:
            f.write(b"x" * (8 << 20))
        places = addresses(TARGETS)
        each = len(places) // self.crowd
        self.streams = Crowd([
            Tool(self, self.vendor, "streams", "--listen", f"{places[i * each]}-{places[i * each + each - 1]}",
                 "--certificate", self.path("special.pem"), "--key", self.path("special.key"))
            for i in range(self.crowd)])
        self.used = each * self.crowd

    def up(self):
        super().up()
        for p in self.processes:  # nginx and its workers: off the worker's processor
            if p is not self.turnpike:
                lab_module.run("taskset", "-a", "-cp", "0", str(p.pid), check=False)
        with open(self.path("nginx.pid")) as f:
            parent = f.read().strip()
        for pid in lab_module.run("pgrep", "-P", parent, check=False).stdout.split():
            lab_module.run("taskset", "-a", "-cp", "0", pid, check=False)
        lab_module.pki.write(self.path("token"), self.token(ttl=86400), 0o600)
        self.curl(f"https://{NAME}/v1/warm")
        return self

    def token(self, sub="repo:acme/shop", ttl=600, **kw):
        return super().token(sub, ttl=ttl, **kw)

    # ------------------------------------------------------------------- tools

    def holders(self, n, *more, stream=False, rate=2000):
        first = addresses(TARGETS)[0]
        last = addresses(TARGETS)[self.used - 1]
        return Crowd([
            Tool(self, self.caller, "holders", "--connections", str(n // self.crowd), "--pending",
                 str(64 // self.crowd), "--rate", str(rate // self.crowd), "--sources", SOURCES, "--targets",
                 f"{first}-{last}", "--name", MANY, "--token-file", self.path("token"), "--path",
                 "/v1/stream" if stream else "/v1/hold", *(["--stream"] if stream else []), *more)
            for _ in range(self.crowd)])

    def event(self):
        """One more event for every open stream."""
        self.streams.signal(signal.SIGUSR1)

    def attack(self, kind, *more, seconds=5):
        mac = self.sh(self.box, "cat /sys/class/net/in0/address").stdout.strip()
        return Tool(self, self.caller, "attackers", kind, "--target", NGINX, "--name", NAME, "--source",
                    SPOOFED if kind == "syn" else FOES, "--token-file", self.path("token"),
                    "--seconds", str(seconds), "--interface", "c0", "--mac", mac, *more)

    def end_tools(self):
        """Whatever a test that failed has left running."""
        for tool in self.tools:
            if tool not in self.streams.tools:
                tool.kill()
        self.tools = list(self.streams.tools)

    def honest(self, *more, seconds=5):
        return Tool(self, self.caller, "honest", "--target", NGINX, "--name", NAME, "--source",
                    lab_module.CALLER, "--token-file", self.path("token"), "--seconds", str(seconds), *more)

    # ---------------------------------------------------------------- measures

    def memory(self):
        """KiB of the process: resident with hugepages (mbufs are in those), and its own parts."""
        text = {}
        with open(f"/proc/{self.pid()}/smaps_rollup") as f:
            for line in f:
                m = re.match(r"(\w+):\s+(\d+) kB", line)
                if m:
                    text[m[1]] = int(m[2])
        huge = text.get("Private_Hugetlb", 0) + text.get("Shared_Hugetlb", 0)
        w = self.counters()["workers"][0]
        return {"rss": text["Rss"] + huge, "pss": text["Pss"] + huge, "huge": huge,
                "anonymous": text["Anonymous"], "files": text["Rss"] - text["Anonymous"],
                "blocks": w["memory_used"] >> 10, "callers": w["callers"], "vendors": w["vendors"]}

    def refusals(self):
        """Everything that was refused, dropped or cut, by cause; zeros left out."""
        out = {}
        for w in self.counters()["workers"]:
            call = w["call"]
            parts = {"causes": call["causes"], "net": w["net"], "tcp": w["tcp"], "call": call, "tls": w["tls"]}
            for group, counters in parts.items():
                for key, value in counters.items():
                    bad = group == "causes" or key.startswith(("drop_", "refused_", "slow_", "evicted_", "timeout"))
                    if bad and isinstance(value, int) and value:
                        out[f"{group}.{key}"] = out.get(f"{group}.{key}", 0) + value
        return out

    def until(self, what, seconds, text):
        deadline = time.time() + seconds
        while time.time() < deadline:
            if what():
                return
            time.sleep(0.2)
        raise AssertionError(f"{text} within {seconds} s: {self.memory()} {self.refusals()}")
