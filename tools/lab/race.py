"""The lab of tests/perf/race: one wire for every gateway, one vendor (nginx), wrk and `events` as callers, and what a
gateway's processor was busy with.

    caller (core 0) --veth-- box: one gateway (core 1) --veth-- vendor (core 0)

Each host's end of a veth does its own stack's work: RPS sends what arrives at the box to core 1, and what arrives at
caller and vendor to core 0, as it would be with three machines.
"""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import gateways
from . import lab as lab_module
from . import pki

NAME, FRONT, BACK = gateways.NAME, gateways.FRONT, gateways.BACK
CORE, REST = gateways.GATEWAY_CORE, gateways.OTHER_CORE
LAB_DISK = "/var/tmp"     # the audit store must be on a disk
EVENT_PORT = 9443
ECHO_MODULE = "/usr/lib/nginx/modules/ngx_http_echo_module.so"
TICK = os.sysconf("SC_CLK_TCK")
HUGE = "/proc/sys/vm/nr_hugepages"


def openssl_configuration():
    """What callers offer: the same version, suite and group to every gateway."""
    return f"""openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = callers
[callers]
MinProtocol = TLSv1.3
Ciphersuites = {gateways.SUITE}
Groups = X25519
"""


def charge():
    """An object of 1 KB as payment vendors answer it; nothing in it is to be masked."""
    value = {"id": "tr_1Q7fZKLkdIwHu7ixtransfer", "object": "transfer", "amount": 2500, "amount_reversed": 0,
             "balance_transaction": "txn_1Q7fZKLkdIwHu7ixbalance", "created": 1735689600, "currency": "usd",
             "description": "", "destination": "acct_1032D82eZvKYlo2C", "livemode": True,
             "destination_payment": "py_1Q7fZKLkdIwHu7ixpayment", "metadata": {"order": "6735", "job": "nightly"},
             "reversals": {"object": "list", "data": [], "has_more": False, "total_count": 0,
                           "url": "/v1/transfers/tr_1Q7fZKLkdIwHu7ix/reversals"},
             "reversed": False, "source_transaction": None, "source_type": "card", "transfer_group": "ORDER_95"}
    return fill(value, 1024)


def transfer(size):
    """What a caller asks for, of that many bytes."""
    return fill({"amount": 2500, "currency": "usd", "destination": "acct_1032D82eZvKYlo2C",
                 "transfer_group": "ORDER_95", "metadata": {"order": "6735", "job": "nightly"},
                 "description": ""}, size)


WORDS = "payout of the week for goods that were sent to the customer and kept by them "


def fill(value, size):
    missing = size - len(json.dumps(value))
    value["description"] = (WORDS * (missing // len(WORDS) + 1))[:missing]
    return json.dumps(value)


def export(size):
    """A list of many objects, as an export is."""
    rows, total = [], 0
    while total < size:
        rows.append(json.dumps({"id": f"ch_{len(rows):08d}", "object": "charge", "amount": 100 + len(rows) % 9000,
                                "currency": "eur", "paid": True, "description": WORDS.strip()}))
        total += len(rows[-1]) + 2
    text = '{"object": "list", "data": [' + ", ".join(rows)[:size - 60]
    return text[:text.rindex("}, ") + 1] + "]}"


class Cpu:
    """What core 1 did since then, and the gateway's threads that may not run there."""

    def __init__(self, pids):
        self.at = time.monotonic()
        self.idle, self.nice, self.steal, self.forks = self._core()
        self.threads = self._threads(pids)

    @staticmethod
    def _core():
        with open("/proc/stat") as f:
            rows = {row[0]: row[1:] for row in map(str.split, f)}
        core = [int(n) / TICK for n in rows[f"cpu{CORE}"]]
        return core[3] + core[4], core[1], core[7], int(rows["processes"][0])

    @staticmethod
    def _threads(pids):
        """Of each: how long it has run, and whether only core 1 may run it."""
        out = {}
        for pid in pids:
            for thread in Cpu._list(f"/proc/{pid}/task"):
                where = f"/proc/{pid}/task/{thread}"
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    with open(f"{where}/status") as f:
                        allowed = re.search(r"Cpus_allowed_list:\s*(\S+)", f.read())[1]
                    out[thread] = Cpu._ran(where), allowed == str(CORE)
        return out

    @staticmethod
    def _list(path):
        try:
            return os.listdir(path)
        except FileNotFoundError:
            return []

    @staticmethod
    def _ran(where):
        with open(f"{where}/schedstat") as f:
            return int(f.read().split()[0]) / 1e9

    def until(self, later):
        """Nothing is subtracted: what core 1 did for strangers at a lower priority, and how many processes were begun on
        the machine, is told."""
        wall = later.at - self.at
        core = max(0.0, wall - (later.idle - self.idle))
        ran = [(ran - self.threads.get(t, (0.0,))[0], here) for t, (ran, here) in later.threads.items()]
        elsewhere, threads = sum(r for r, here in ran if not here), sum(r for r, _ in ran)
        return {"seconds": round(wall, 3), "core_s": round(core, 3), "elsewhere_s": round(elsewhere, 3),
                "busy_s": round(core + elsewhere, 3), "threads_s": round(threads, 3), "steal_s": round(later.steal - self.steal, 3),
                "nice_s": round(later.nice - self.nice, 3), "begun": later.forks - self.forks}


def run_times(without):
    """Seconds that each process has run; kernel threads and those of `without` left out."""
    out = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if pid not in without:
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/stat") as f:  # all of its threads
                    fields = f.read().rpartition(")")[2].split()
                out[pid] = (int(fields[11]) + int(fields[12])) / TICK
    return out


def watch(seconds, ours):
    """Lets the time pass; returns the seconds that processes which are not ours have run meanwhile. Looks often enough
    to see those that come and go."""
    until, total = time.monotonic() + seconds, 0.0
    before = run_times(ours)
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(0.4, left))
        now = run_times(ours)
        total += sum(max(0.0, ran - before.get(pid, 0.0)) for pid, ran in now.items())
        before = now
    return round(total, 3)


def quiet(seconds):
    """Waits, no longer than that, for core 1 to have nothing to do."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        before = Cpu(())
        time.sleep(0.3)
        if before.until(Cpu(()))["core_s"] < 0.03:
            return


@contextlib.contextmanager
def huge_pages(pages=256):
    """As many free ones as that while it lasts; gives back what it has added, and no more."""
    with open("/proc/meminfo") as f:
        free = int(re.search(r"HugePages_Free:\s+(\d+)", f.read())[1])
    added = max(0, pages - free)
    try:
        add_pages(added)
        yield
    finally:
        add_pages(-added)


def add_pages(n):
    if n:
        with open(HUGE) as f:
            now = int(f.read())
        with open(HUGE, "w") as f:
            f.write(str(max(0, now + n)))


class RaceLab(lab_module.Lab):
    def __init__(self, event_rate=1600, **kw):
        name = kw.pop("name", None) or os.environ.get("TURNPIKE_LAB", "tp") + "-race"
        directory = kw.pop("directory", None) or tempfile.mkdtemp(prefix=f"{name}-", dir=LAB_DISK)
        super().__init__(name=name, directory=directory, wrapper=(), **kw)
        self.event_rate = event_rate
        self.directories, self.napi = [], set()

    # -------------------------------------------------------------------- the wires

    def _wires(self):
        super()._wires()
        for ns in (self.caller, self.vendor):
            self.sh(ns, "sysctl -qw net.ipv4.ip_local_port_range='2048 65000' net.ipv4.tcp_tw_reuse=1 "
                        "net.core.somaxconn=8192 net.ipv4.tcp_max_syn_backlog=8192; iptables -F INPUT")
        self.sh(self.box, "sysctl -qw net.ipv4.ip_local_port_range='2048 65000' net.ipv4.tcp_tw_reuse=1 "
                          "net.core.somaxconn=8192 net.ipv4.tcp_max_syn_backlog=8192 "
                          "net.ipv4.conf.all.rp_filter=0 net.ipv4.ip_forward=1")
        self.sh(self.vendor, f"ip addr add {BACK}/24 dev v0; ip route add {lab_module.CALLER}/32 via "
                             f"{lab_module.OUTSIDE}")
        for ns, end, core in ((self.caller, "c0", REST), (self.vendor, "v0", REST), (self.box, "in0", CORE),
                              (self.box, "out0", CORE)):
            self.sh(ns, f"for q in /sys/class/net/{end}/queues/rx-*/rps_cpus; do echo {1 << core:x} > $q; done")

    def box_addresses(self, kernel, front):
        """Gives the box's kernel its addresses, and that of the vendor as its own if a gateway listens there; or takes
        them from it, for turnpike."""
        lines = ["ip addr flush dev in0; ip addr flush dev out0; ip addr flush dev lo scope global"]
        if kernel:
            lines.append(f"ip addr add {lab_module.INSIDE}/24 dev in0; ip addr add {lab_module.OUTSIDE}/24 dev out0")
        if front:
            lines.append(f"ip addr add {front}/32 dev lo")
        self.sh(self.box, "; ".join(lines))
        os.makedirs(f"/etc/netns/{self.box}", exist_ok=True)
        with open(f"/etc/netns/{self.box}/hosts", "w") as f:
            f.write(f"127.0.0.1 localhost\n{BACK if front else FRONT} {NAME}\n")

    def pin_receive_work(self):
        """veth's receive work for XDP would run on the sender's core; as threads it can be where it belongs."""
        self.sh(self.box, "for i in in0 out0; do echo 1 > /sys/class/net/$i/threaded; done")
        found = [p for p in filter(str.isdigit, os.listdir("/proc")) if self._comm(p).startswith(("napi/in0", "napi/out0"))]
        if not found:
            raise RuntimeError("the box's ports have no NAPI threads: their receive work would not be counted")
        for pid in found:
            lab_module.run("taskset", "-cp", str(CORE), pid)
            lab_module.run("chrt", "-f", "-p", "1", pid)  # at once, as the interrupt of a card would be

    @staticmethod
    def _comm(pid):
        try:
            with open(f"/proc/{pid}/comm") as f:
                return f.read().strip()
        except OSError:
            return ""

    def box_pids(self):
        return [int(p) for p in lab_module.run("ip", "netns", "pids", self.box).stdout.split()]

    # -------------------------------------------------------------------- the files

    def open_directory(self, name, user):
        """One that another user may read; outside the lab's own, which only root may."""
        path = tempfile.mkdtemp(prefix=f"{self.name}-{name}-", dir=LAB_DISK)
        self.directories.append(path)
        return path

    def give(self, path, user):
        lab_module.run("chown", "-R", f"{user}:", path)

    def _rules(self):
        """The lab's and the whole example, as one set; one more with its calls' records relaxed."""
        super()._rules()
        example = os.path.join(lab_module.ROOT, "rules", "example")
        for name in os.listdir(example):
            if not name.endswith((".yaml", ".json")):
                continue
            with open(os.path.join(example, name)) as f:
                text = f.read()
            if name.endswith(".json"):
                name = f"example-{name}"
            pki.write(self.path("rules", name), text.replace("jwks.json", "example-jwks.json"), 0o644)
        shutil.copytree(self.path("rules"), self.path("rules-relaxed"))
        with open(self.path("rules", "payments.yaml")) as f:
            text = f.read()
        changed = text.replace("    identify: [oidc]\n", "    identify: [oidc]\n    durability: relaxed\n", 1)
        pki.write(self.path("rules-relaxed", "payments.yaml"), changed, 0o644)

    def _vault(self):
        super()._vault()
        where = ("--vault", self.path("secrets.vault"), "--key-file", self.path("vault.key"))
        for secret, connection in (("stripe-live", "stripe"), ("openai", "openai"), ("anthropic", "anthropic"),
                                   ("twilio-auth-token", "twilio")):
            self.tool("secret", "set", secret, "--connection", connection, *where, input=f"{secret}-of-the-lab")

    def _config(self):
        """Each of turnpike's variants has files of its own: turnpike_files."""
        pki.write(self.path("callers.cnf"), openssl_configuration(), 0o644)
        pki.write(self.path("token"), self.token(ttl=86400))

    def turnpike_files(self, directory, driver, durability):
        os.makedirs(os.path.join(directory, "audit"), exist_ok=True)
        self.driver = driver
        super()._config()
        shutil.move(self.path("profile.yaml"), os.path.join(directory, "profile.yaml"))
        with open(self.path("turnpike.yaml")) as f:
            text = f.read()
        for name in ("ca.pem", "ca.key", "vendor-ca.pem", "secrets.vault", "vault.key"):
            text = re.sub(rf"(?<=[ :]){re.escape(name)}", self.path(name), text)
        rules = self.path("rules" if durability == "strict" else f"rules-{durability}")
        text = text.replace("rules: rules/", f"rules: {rules}/")
        text += "limits: {idle_vendors_per_host: 1024}\n"
        pki.write(os.path.join(directory, "turnpike.yaml"), text, 0o644)

    # ------------------------------------------------------------------- the vendor

    def _vendors(self):
        """nginx reads a call's body before it answers, as a vendor does (`return` alone would not): an early answer
        makes some gateways close the connection."""
        os.makedirs(self.path("www"), exist_ok=True)
        pki.write(self.path("www", "export.json"), export(1 << 20), 0o644)
        probe = ('{"protocol": "$ssl_protocol", "suite": "$ssl_cipher", "credential": "$credential", '
                 '"card": "4242424242424242", "mail": "ann@example.com"}')
        pki.write(self.path("nginx.conf"), f"""
load_module {ECHO_MODULE};
worker_processes 1;
worker_rlimit_nofile {gateways.FILES};
daemon off;
user root;
pid {self.path('nginx.pid')};
error_log {self.path('nginx-error.log')} warn;
events {{ worker_connections {2 * gateways.CONNECTIONS}; }}
http {{
  access_log off;
  default_type application/json;
  keepalive_requests 1000000000;
  keepalive_timeout 120s;
  client_max_body_size 0;
  client_body_temp_path {self.path('nginx-body')};
  open_file_cache max=10;
  root {self.path('www')};
  ssl_protocols TLSv1.3;
  ssl_conf_command Ciphersuites {gateways.SUITE};
  ssl_session_cache shared:vendor:20m;
  map $http_authorization $credential {{ "{gateways.KEY}" "vendor key"; default "caller's own"; }}
  server {{
    listen {FRONT}:443 ssl backlog=4096;
    listen {BACK}:443 ssl backlog=4096;
    server_name {NAME};
    ssl_certificate {self.path('payments.pem')};
    ssl_certificate_key {self.path('payments.key')};
    location = /v1/transfers {{ echo_read_request_body; echo_exec @transfer; }}
    location @transfer {{ return 200 '{charge()}'; }}
    location = /v1/probe {{ return 200 '{probe}'; }}
    location = /v1/export {{ try_files /export.json =404; output_buffers 2 256k; }}
    location = /v1/stream {{
      proxy_pass https://127.0.0.1:{EVENT_PORT};
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_read_timeout 1h;
    }}
  }}
  server {{ listen unix:{self.path('status')}; stub_status; }}
}}
""", 0o644)
        self.spawn(self.vendor, "nginx", "-c", self.path("nginx.conf"), log="vendor.log")
        self.spawn(self.vendor, os.path.join(self.build, "tests", "load", "streams"), "--listen", "127.0.0.1", "--port",
                   str(EVENT_PORT), "--certificate", self.path("payments.pem"), "--key", self.path("payments.key"),
                   "--rate", str(self.event_rate), log="streams.log")

    def served(self):
        """Requests that the vendor has answered, this question not among them."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.path("status"))
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            text = b"".join(iter(lambda: s.recv(4096), b"")).decode()
        self.asked = getattr(self, "asked", 0) + 1
        return int(re.search(r"\n (\d+) (\d+) (\d+)", text)[3]) - self.asked

    # ----------------------------------------------------------------- use it

    def start_turnpike(self, wait=60):
        """The gateways start themselves, one at a time."""

    def headers(self):
        with open(self.path("token")) as f:
            return {"Authorization": f"Bearer {f.read()}"}

    def probe(self, gateway):
        """One call as the load's, for what the vendor sees of it."""
        return self.curl(f"https://{NAME}/v1/probe", token=self.headers()["Authorization"][7:], timeout=3,
                         ca=self.path(gateway.ca))

    def handshake(self):
        """What a caller negotiates with the gateway."""
        done = self.sh(self.caller, f"OPENSSL_CONF={self.path('callers.cnf')} openssl s_client -brief -connect {FRONT}:443 "
                                    f"-servername {NAME} </dev/null 2>&1", check=False, timeout=20).stdout
        found = dict(re.findall(r"(?m)^(Protocol version|Ciphersuite|Signature type|Server Temp Key): (.*)", done))
        return {"protocol": found.get("Protocol version"), "suite": found.get("Ciphersuite"),
                "signature": found.get("Signature type"), "group": found.get("Server Temp Key")}

    def wrk(self, callers, url, script, result):
        """wrk until it is told to end; it leaves its numbers in `result`."""
        env = {**os.environ, "OPENSSL_CONF": self.path("callers.cnf"), "RACE_RESULT": result}
        return self.spawn(self.caller, "sh", "-c", f"ulimit -n {gateways.FILES}; exec \"$@\"", "sh", "taskset", "-c",
                          str(REST), "wrk", "-t1", f"-c{callers}", "-d600s", "--timeout", "60s", "--latency", "-s",
                          script, f"https://{NAME}{url}", log="wrk.log", env=env)

    def end(self, process, how=signal.SIGINT):
        process.send_signal(how)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        self.processes.remove(process)

    def caller_tool(self, name, *args):
        """One of tests/load's callers; what it prints is read when it ends."""
        command = ["ip", "netns", "exec", self.caller, "taskset", "-c", str(REST),
                   os.path.join(self.build, "tests", "load", name), "--target", FRONT, "--name", NAME, "--token-file",
                   self.path("token"), *map(str, args)]
        env = {**os.environ, "OPENSSL_CONF": self.path("callers.cnf")}
        p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
                             start_new_session=True)
        self.processes.append(p)
        return p

    def ours(self):
        """Process ids of the run: in its namespaces, this script's, and the kernel's own (which have none)."""
        pids = {str(os.getpid())}
        for ns in self.namespaces():
            pids.update(lab_module.run("ip", "netns", "pids", ns).stdout.split())
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if not f.read(1):
                        pids.add(pid)
        return pids

    def down(self, keep_files=False):
        super().down(keep_files)
        for directory in self.directories:
            shutil.rmtree(directory, ignore_errors=True)
