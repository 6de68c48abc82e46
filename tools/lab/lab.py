"""Builds and takes down the lab:

    caller 10.10.0.2 --(veth)-- in0 [turnpike] out0 --(veth)-- vendor 10.20.0.254
         fd00:10::2                                                fd00:20::254
             namespace tp-caller          tp-box         namespace tp-vendor: nginx and vendor.py

The box's interfaces carry no kernel address: whatever crosses, crosses through turnpike.

Asked for `bad=("caller", "vendor")` (either or both), a namespace stands in that wire, where start_wire() runs
badwire (tests/wire) between w0, towards the caller or vendor, and w1, towards the box.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from . import pki

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
INSIDE, OUTSIDE = "10.10.0.1", "10.20.0.1"
CALLER, GATEWAY = "10.10.0.2", "10.20.0.254"
INSIDE6, OUTSIDE6 = "fd00:10::1", "fd00:20::1"
CALLER6, GATEWAY6 = "fd00:10::2", "fd00:20::254"
HOSTS = {  # name -> address; each address is one of the vendor namespace's
    "api.payments.test": "10.20.0.10",
    "special.payments.test": "10.20.0.11",
    "impostor.payments.test": "10.20.0.12",
    "api6.payments.test": "fd00:20::10",
    "special6.payments.test": "fd00:20::11",
    "unregistered.test": "10.20.0.10",
    "nobody.payments.test": "10.20.0.77",  # no host has it
}
SECRETS = {"payments": "sk_live_CANARY_payments_51Habcdef", "special": "sk_live_CANARY_special_77Zq",
           "impostor": "sk_live_CANARY_impostor_9XkQ"}


def run(*args, check=True, **kw):
    done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(args)}: exit {done.returncode}\n{done.stdout}")
    return done


def join(ns, end, peer_ns, peer_end):
    """A veth pair, both ends up. Frames on it are as on a real wire: whole, with their checksums."""
    run("ip", "-n", ns, "link", "add", end, "type", "veth", "peer", "name", peer_end, "netns",
        peer_ns)
    for n, i in ((ns, end), (peer_ns, peer_end)):
        run("ip", "-n", n, "link", "set", i, "up")
        run("ip", "netns", "exec", n, "ethtool", "-K", i, "tx", "off", "rx", "off", "tso", "off",
            "gso", "off", "gro", "off", "sg", "off", check=False)


class BadWire:
    """badwire between two interfaces of a namespace; stop() returns its counters."""

    def __init__(self, program, ns, a, b, *options):
        self.process = subprocess.Popen(["ip", "netns", "exec", ns, program, *map(str, options), a, b],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if "ready" not in self.process.stdout.readline():
            raise RuntimeError(f"badwire did not start: {self.process.communicate()[1]}")
        # It must be on time where those who use it are not.
        os.setpriority(os.PRIO_PROCESS, self.process.pid, -10)

    def counters(self):
        self.process.send_signal(signal.SIGUSR1)
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=15)
        if self.process.returncode:
            raise RuntimeError(f"badwire ended with {self.process.returncode}: {err}")
        return json.loads(out.splitlines()[-1])


class Answer:
    """What curl got: exit code, status, header fields (lower-case names), body."""

    def __init__(self, code, head, body, stderr):
        self.exit, self.body, self.stderr = code, body, stderr
        blocks = [b for b in head.replace("\r", "").split("\n\n") if b.strip()]
        lines = blocks[-1].split("\n") if blocks else [""]
        words = lines[0].split(" ")
        self.status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
        self.fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.fields[name.strip().lower()] = value.strip()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def cause(self):
        return self.json["turnpike"]["cause"]

    def __repr__(self):
        return f"<exit {self.exit} status {self.status} {self.body[:400]!r} {self.stderr[-200:]!r}>"


class Lab:
    def __init__(self, name=None, driver="af_packet", build=None, directory=None, progress=None,
                 wrapper=(), environment=None, audit_mib=None, workers=1, queues=None, bad=(),
                 badwire=None):
        self.name = name or os.environ.get("TURNPIKE_LAB", "tp")  # so that several run at once
        self.driver = driver
        self.build = build or os.path.join(ROOT, "build")
        self.dir = directory or tempfile.mkdtemp(prefix=f"{self.name}-lab-")
        self.progress = progress or (lambda text: None)
        self.wrapper, self.environment = list(wrapper), environment or {}
        self.audit_mib, self.workers, self.queues = audit_mib, workers, queues or workers
        self.bad = {place: f"{self.name}-wire-{place}" for place in bad}  # its namespace
        self.badwires = {}  # place -> BadWire
        self.badwire = badwire or os.path.join(self.build, "tests", "wire", "badwire")
        self.program = os.path.join(self.build, "app", "turnpike")
        self.processes, self.turnpike = [], None
        self.started = 0
        self.caller, self.box, self.vendor = (f"{self.name}-{part}" for part in ("caller", "box", "vendor"))
        self.socket = self.path("control.sock")

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    # ------------------------------------------------------------------ the wires

    def host_setup(self, *args):
        """In the box's namespace, with a memory of its own."""
        return self.sh(self.box, f"TURNPIKE_HOST_STATE={self.path('host-setup')} "
                                 f"{os.path.join(ROOT, 'drivers-config', 'host-setup')} {' '.join(args)}")

    def namespaces(self):
        return (self.caller, self.box, self.vendor, *self.bad.values())

    def _wires(self):
        for ns in self.namespaces():
            run("ip", "netns", "del", ns, check=False)
            run("ip", "netns", "add", ns)
            # No router solicitations or reports on the wires under test, but where _ip6 wants them.
            self.sh(ns, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 "
                        "net.ipv6.conf.default.disable_ipv6=1; ip link set lo up")
        for place, ns, end, box_end in (("caller", self.caller, "c0", "in0"),
                                        ("vendor", self.vendor, "v0", "out0")):
            if place in self.bad:
                join(ns, end, self.bad[place], "w0")
                join(self.bad[place], "w1", self.box, box_end)
            else:
                join(ns, end, self.box, box_end)
        for ns, end in ((self.caller, "c0"), (self.vendor, "v0")):
            self._ip6(ns, end)
        self.sh(self.caller, f"ip addr add {CALLER}/24 dev c0; ip route add default via {INSIDE}; "
                             f"ip addr add {CALLER6}/64 dev c0 nodad; "
                             f"ip route add default via {INSIDE6}")
        self.sh(self.vendor, f"ip addr add {GATEWAY}/24 dev v0; "
                             f"ip addr add {GATEWAY6}/64 dev v0 nodad")
        for address in sorted({a for n, a in HOSTS.items() if n != "nobody.payments.test"}):
            self.sh(self.vendor, f"ip addr add {address}/64 dev v0 nodad" if ":" in address else
                                 f"ip addr add {address}/24 dev v0")
        # A rule without a target only counts: see vendor_packets.
        for tables in ("iptables", "ip6tables"):
            self.sh(self.vendor, f"{tables} -A INPUT -p tcp --dport 443")
        for ns in (self.caller, self.vendor):
            os.makedirs(f"/etc/netns/{ns}", exist_ok=True)
            with open(f"/etc/netns/{ns}/hosts", "w") as f:
                f.write("127.0.0.1 localhost\n")
                f.writelines(f"{a} {n}\n" for n, a in HOSTS.items())

    def _ip6(self, ns, end):
        """IPv6 by hand: nothing from router advertisements, and no waiting for duplicates."""
        for name in ("lo", end):
            where = f"net.ipv6.conf.{name}"
            self.sh(ns, f"sysctl -qw {where}.accept_ra=0 {where}.autoconf=0 {where}.accept_dad=0 "
                        f"{where}.router_solicitations=0 {where}.disable_ipv6=0")

    def _taps(self):
        """turnpike at one end of a tap, a bridge to the wire at the other (drivers-config/README.md)."""
        for tap, end in (("tin", "in0"), ("tout", "out0")):
            self.sh(self.box, f"ip tuntap add {tap} mode tap multi_queue; "
                              f"ip link add br-{tap} type bridge; "
                              f"ip link set {tap} master br-{tap}; ip link set {end} master br-{tap}; "
                              f"ip link set br-{tap} up; ip link set {tap} up; "
                              f"ethtool -K {tap} tx off tso off gso off gro off >/dev/null 2>&1; true")

    def sh(self, ns, script, check=True, timeout=120):
        return run("ip", "netns", "exec", ns, "sh", "-c", script, check=check, timeout=timeout)

    def spawn(self, ns, *args, log=None, env=None):
        out = open(self.path(log), "ab") if log else subprocess.DEVNULL
        p = subprocess.Popen(["ip", "netns", "exec", ns, *args], stdout=out, stderr=out,
                             stdin=subprocess.DEVNULL, env=env, start_new_session=True)
        self.processes.append(p)
        return p

    # ------------------------------------------------------------------- the files

    def _keys(self):
        self.vendor_ca = pki.Authority("Lab Vendor CA")
        self.org_ca = pki.Authority("Lab Organisation CA")
        self.other_ca = pki.Authority("Somebody Else")
        pki.write(self.path("vendor-ca.pem"), pki.pem_cert(self.vendor_ca.cert), 0o644)
        pki.write(self.path("ca.pem"), pki.pem_cert(self.org_ca.cert), 0o644)
        pki.write(self.path("ca.key"), pki.pem_key(self.org_ca.key))
        for name, authority, names in (
                ("payments", self.vendor_ca, ["api.payments.test", "api6.payments.test"]),
                ("special", self.vendor_ca, ["special.payments.test", "special6.payments.test"]),
                ("impostor", self.other_ca, ["impostor.payments.test"])):
            key, cert = authority.issue(*names)
            pki.write(self.path(f"{name}.pem"), pki.pem_cert(cert), 0o644)
            pki.write(self.path(f"{name}.key"), pki.pem_key(key))
        self.issuer = pki.Issuer("https://ci.lab.test", "turnpike")

    def _rules(self):
        shutil.copytree(os.path.join(HERE, "rules"), self.path("rules"))
        pki.write(self.path("rules", "jwks.json"), self.issuer.jwks(), 0o644)

    def _vault(self):
        where = ("--vault", self.path("secrets.vault"), "--key-file", self.path("vault.key"))
        self.tool("secret", "init", *where)
        for connection, value in SECRETS.items():
            self.tool("secret", "set", f"{connection}-live", "--connection", connection, *where,
                      input=value)

    def _config(self):
        with open(os.path.join(ROOT, "drivers-config", f"{self.driver}.yaml")) as f:
            profile = f.read()
        profile = re.sub(r"(?m)^workers: .*", f"workers: {self.workers}\nqueues: {self.queues}", profile)
        profile = re.sub(r"(?m)^memory_mib: .*", f"memory_mib: {128 * (self.workers + 1)}", profile)
        pki.write(self.path("profile.yaml"), profile, 0o644)
        text = f"""# Written by the lab.
profile: profile.yaml
inside:  {{port: {'tin' if self.driver == 'tap' else 'in0'}, addresses: [{INSIDE}/24, "{INSIDE6}/64"]}}
outside: {{port: {'tout' if self.driver == 'tap' else 'out0'}, addresses: [{OUTSIDE}/24, "{OUTSIDE6}/64"], gateway: [{GATEWAY}, "{GATEWAY6}"]}}
intercept: [443]
passthrough: []
ca: {{certificate: ca.pem, key: ca.key}}
vendor_trust: vendor-ca.pem
rules: rules/
vault: {{file: secrets.vault, key_file: vault.key}}
audit: {{directory: audit/store, durability: strict, segment: {'1MiB' if self.audit_mib else '1GiB'}, ring: {'1MiB' if self.audit_mib else '16MiB'}}}
control: {{socket: {self.socket}}}
appliance: lab
"""
        pki.write(self.path("turnpike.yaml"), text, 0o644)

    # ----------------------------------------------------------------- the vendors

    def _vendors(self):
        os.makedirs(self.path("www", "files"), exist_ok=True)
        pki.write(self.path("nginx.conf"), f"""
worker_processes 1;
daemon off;
user root;
pid {self.path('nginx.pid')};
error_log {self.path('nginx-error.log')} warn;
events {{ worker_connections 1024; }}
http {{
  log_format calls escape=json '{{"method":"$request_method","target":"$request_uri",'
      '"authorization":"$http_authorization","token":"$http_turnpike_token",'
      '"status":$status,"length":"$request_length","connection":$connection}}';
  access_log {self.path('vendor.log')} calls;
  default_type application/json;
  keepalive_requests 1000000;
  client_max_body_size 0;
  client_body_temp_path {self.path('nginx-body')};
  server {{
    listen 10.20.0.10:443 ssl;
    listen [fd00:20::10]:443 ssl;
    server_name api.payments.test api6.payments.test;
    ssl_certificate {self.path('payments.pem')};
    ssl_certificate_key {self.path('payments.key')};
    ssl_protocols TLSv1.2 TLSv1.3;
    location /v1/ {{ return 200 '{{"ok":true,"object":"payment"}}'; }}
    location = /v1/bench {{ return 200 '{{"data":"{'x' * 1000}"}}'; access_log off; }}
    location = /v1/files {{
                            proxy_pass http://127.0.0.1:8080/sink; proxy_request_buffering off; }}
    location /files/ {{ root {self.path('www')}; default_type application/octet-stream; }}
  }}
}}
""", 0o644)
        self.spawn(self.vendor, "nginx", "-c", self.path("nginx.conf"), log="nginx.log")
        self.spawn(self.vendor, "/usr/bin/python3", os.path.join(HERE, "sink.py"), "127.0.0.1",
                   "8080", log="sink.log")
        for name, address in (("special", "10.20.0.11"), ("special", "fd00:20::11"),
                              ("impostor", "10.20.0.12")):
            self.spawn(self.vendor, "/usr/bin/python3", os.path.join(HERE, "vendor.py"), address,
                       "443", self.path(f"{name}.pem"), self.path(f"{name}.key"),
                       self.path(f"{name}.log"), log=f"{name}-vendor.err")

    def vendor_log(self, name="vendor"):
        try:
            with open(self.path(f"{name}.log")) as f:
                return [json.loads(line) for line in f]
        except FileNotFoundError:
            return []

    def quiet(self, count):
        """What count() says once it has said the same for a while: an ACK of the call before may still come."""
        said, since = count(), time.time()
        while time.time() - since < 0.2:
            time.sleep(0.05)
            now = count()
            if now != said:
                said, since = now, time.time()
        return said

    def vendor_packets(self):
        """TCP packets that have come to any vendor's port 443."""
        def count():
            rows = self.sh(self.vendor, "iptables -nvxL INPUT; ip6tables -nvxL INPUT").stdout.splitlines()
            return sum(int(r.split()[0]) for r in rows if "dpt:443" in r)
        return self.quiet(count)

    # ---------------------------------------------------------------- the appliance

    def start_turnpike(self, wait=60):
        env = {**os.environ, **self.environment}
        if self.driver == "af_packet":
            self.host_setup("--take in0 --take out0")
        self.started += 1
        self.turnpike = self.spawn(self.box, *self.wrapper, self.program, "-c",
                                   self.path("turnpike.yaml"), log="turnpike.log", env=env)
        deadline = time.time() + wait
        while time.time() < deadline:
            if self.turnpike.poll() is not None:
                break
            if self.ctl("status", check=False).returncode == 0:
                return
            time.sleep(0.2)
        raise RuntimeError("turnpike did not start:\n" + self.log_tail())

    def log_tail(self, lines=40):
        with open(self.path("turnpike.log"), errors="replace") as f:
            return "".join(f.readlines()[-lines:])

    def pid(self):
        """The process itself, not `ip netns exec` (which execs it) or a wrapper."""
        return self.turnpike.pid

    def stop_turnpike(self, how=signal.SIGTERM, wait=30):
        os.killpg(self.turnpike.pid, how)
        code = self.turnpike.wait(wait)
        self.processes.remove(self.turnpike)
        return code

    # ------------------------------------------------------------------- a bad wire

    def start_wire(self, place, *options):
        """Until it is started nothing passes; see badwire --help. A is the caller's or vendor's side."""
        self.stop_wire(place)
        self.badwires[place] = BadWire(self.badwire, self.bad[place], "w0", "w1", *options)
        return self.badwires[place]

    def stop_wire(self, place):
        """Its counters; None when it was not running."""
        wire = self.badwires.pop(place, None)
        return wire.stop() if wire else None

    # --------------------------------------------------------------------- use it

    def token(self, sub="repo:acme/shop", **kw):
        claims = {"repository": "acme/shop", "ref": "main", "environment": "production"}
        claims.update(kw)
        return self.issuer.token(sub, **claims)

    def curl(self, url, *args, token="", timeout=30, ns=None, ca=None):
        """curl as a developer's script would use it; `token` None sends none."""
        if token == "":
            token = self.token()
        head, body = tempfile.mkstemp(dir=self.dir), tempfile.mkstemp(dir=self.dir)
        for fd, _ in (head, body):
            os.close(fd)
        command = ["ip", "netns", "exec", ns or self.caller, "curl", "-sS", "--max-time",
                   str(timeout), "--cacert", ca or self.path("ca.pem"), "-D", head[1], "-o",
                   body[1]]
        if token is not None:
            command += ["-H", f"Authorization: Bearer {token}"]
        done = subprocess.run([*command, *args, url], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        with open(head[1], encoding="latin-1") as f:
            head_text = f.read()
        with open(body[1], encoding="utf-8", errors="replace") as f:
            body_text = f.read()
        os.unlink(head[1])
        os.unlink(body[1])
        return Answer(done.returncode, head_text, body_text, done.stderr)

    def tool(self, *args, check=True, input=None):
        command = [os.path.join(self.build, "tools", "turnpikectl", "turnpikectl"), *args]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              input=input, env={**os.environ, **self.environment})
        if check and done.returncode:
            raise RuntimeError(f"turnpikectl {' '.join(args)}: exit {done.returncode}\n"
                               f"{done.stdout}{done.stderr}")
        return done

    def ctl(self, *args, check=True):
        return self.tool(*args, "--socket", self.socket, check=check)

    def ctl_json(self, *args):
        return json.loads(self.ctl(*args, "--json").stdout)

    def audit(self, *args):
        """Records that match, oldest first; those that no call waits for are on disk a little later."""
        time.sleep(0.25)
        done = self.tool("audit", "export", "--directory", self.path("audit", "store"), *args)
        return [json.loads(line) for line in done.stdout.splitlines() if line]

    def counters(self):
        return self.ctl_json("status")

    # ------------------------------------------------------------------ up and down

    def up(self):
        self.progress("making three network namespaces and two wires")
        self._wires()
        for place in self.bad:
            self.start_wire(place)
        if self.driver == "tap":
            self._taps()
        self.progress("making certificate authorities, keys, a vault and rules")
        os.makedirs(self.path("audit"), exist_ok=True)
        if self.audit_mib:
            run("mount", "-t", "tmpfs", "-o", f"size={self.audit_mib}m", "tmpfs",
                self.path("audit"))
        self._keys()
        self._rules()
        self._vault()
        self._config()
        self.progress("starting the vendors (nginx, and one that misbehaves on request)")
        self._vendors()
        self.progress(f"starting turnpike on {self.driver} ports")
        self.start_turnpike()
        return self

    def down(self, keep_files=False):
        for wire in self.badwires.values():
            wire.process.kill()
            wire.process.wait()
        self.badwires.clear()
        for p in reversed(self.processes):
            if p.poll() is None:
                try:
                    os.killpg(p.pid, signal.SIGTERM)
                except ProcessLookupError:
                    pass
        for p in self.processes:
            try:
                p.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
        self.processes.clear()
        if self.audit_mib:
            run("umount", "-l", self.path("audit"), check=False)
        for ns in self.namespaces():
            run("ip", "netns", "del", ns, check=False)
            shutil.rmtree(f"/etc/netns/{ns}", ignore_errors=True)
        if not keep_files:
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        try:
            return self.up()
        except BaseException:
            self.down()
            raise

    def __exit__(self, *exc):
        self.down()
