"""The gateways of tests/perf/race: each with a configuration as its own documents advise for this job - TLS on both
legs, keep-alive to callers and vendor, sessions reused, one thread, the vendor verified, the vendor's key put in.

A gateway is started in the box's namespace and is the only thing in there; stop() waits until nothing is left.
"""
import os
import resource
import shutil
import signal
import time

from . import lab as lab_module
from . import pki

HERE = os.path.dirname(os.path.abspath(__file__))
NAME = "api.payments.test"
FRONT, BACK = "10.20.0.10", "10.20.0.20"  # what callers ask for; the same vendor for gateways that listen on FRONT
GATEWAY_CORE, OTHER_CORE = 1, 0
SUITE = "TLS_AES_128_GCM_SHA256"
KEY = f"Bearer {lab_module.SECRETS['payments']}"
WAIT = 30  # seconds for a gateway to come up or to be gone
FILES = min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
CONNECTIONS = 8000  # of callers, at most; each needs a second file for the vendor


class Refused(RuntimeError):
    """The gateway did not take its configuration, with what it said."""


class Gateway:
    """One that uses the kernel's TCP: the box has addresses, and callers' packets end in it or are forwarded."""

    name = ""
    kernel = True       # the box's kernel has the addresses
    ca = "ca.pem"       # what callers trust: who signed the leaf that they see
    listens = True      # on FRONT itself, so that the vendor is reached at BACK
    inspects, masks, audits = "no", "no", "no"
    credential = "fixed value put in; callers not identified"
    verifies = "yes"
    pool = "shared"     # vendor connections between callers
    leaf = "file, P-256"

    def __init__(self, lab):
        self.lab = lab
        self.process = None

    def path(self, *parts):
        return self.lab.path("gateway", self.name, *parts)

    def write(self, name, text, mode=0o644):
        os.makedirs(self.path(), exist_ok=True)
        pki.write(self.path(name), text, mode)
        return self.path(name)

    def does(self):
        return {key: getattr(self, key) for key in ("inspects", "masks", "audits", "credential", "verifies", "pool",
                                                    "leaf")}

    # -------------------------------------------------------------- for each of them

    def version(self):
        raise NotImplementedError

    def prepare(self):
        """Its files; called once before the first start."""

    def command(self):
        """What to run; None: nothing but the kernel."""
        raise NotImplementedError

    def cores(self):
        return str(GATEWAY_CORE)

    # ------------------------------------------------------------------- start and stop

    def start(self):
        self.lab.box_addresses(self.kernel, FRONT if self.listens else None)
        self.enter()
        command = self.command()
        if command:
            shell = f"ulimit -n {FILES}; exec taskset -c {self.cores()} \"$@\""
            self.process = self.lab.spawn(self.lab.box, "sh", "-c", shell, "sh", *command, log=f"{self.name}.log")
        self.wait_ready()

    def enter(self):
        """What the box's kernel needs for it alone; leave() takes it back."""

    def leave(self):
        pass

    def wait_ready(self):
        deadline = time.time() + WAIT
        answer = None
        while time.time() < deadline:
            if self.process and self.process.poll() is not None:
                raise Refused(self.log())
            answer = self.lab.probe(self)
            if answer.status == 200:
                return
            time.sleep(0.1)
        raise RuntimeError(f"{self.name} gave no answer within {WAIT} s: {answer}\n{self.log()}")

    def log(self):
        with open(self.lab.path(f"{self.name}.log"), errors="replace") as f:
            return "".join(f.readlines()[-15:]).strip()

    def stop(self):
        if self.process:
            self.end(signal.SIGTERM)
            if not self.gone(WAIT):
                self.end(signal.SIGKILL)
            self.process.wait(WAIT)
            self.lab.processes.remove(self.process)
            self.process = None
        if not self.gone(WAIT):
            raise RuntimeError(f"{self.name} left processes behind: {self.lab.box_pids()}")
        self.leave()

    def end(self, how):
        try:
            os.killpg(self.process.pid, how)
        except ProcessLookupError:
            pass
        for pid in self.lab.box_pids() if how == signal.SIGKILL else []:
            os.kill(pid, how)

    def gone(self, seconds):
        deadline = time.time() + seconds
        while time.time() < deadline:
            self.process and self.process.poll()
            if not self.lab.box_pids():
                return True
            time.sleep(0.05)
        return False

    def leaf_files(self):
        """A certificate for the vendor's name from the organisation's CA, as one file with its key."""
        key, cert = self.lab.org_ca.issue(NAME)
        pem, secret = pki.pem_cert(cert), pki.pem_key(key)
        self.write("leaf.key", secret, 0o600)
        self.write("leaf.pem", pem)
        return self.write("both.pem", pem + secret, 0o600)


class Direct(Gateway):
    name, ca, listens = "direct", "vendor-ca.pem", False
    credential, verifies, pool, leaf = "the caller's own", "by the caller", "none", "the vendor's"

    def version(self):
        return f"Linux {os.uname().release}, forwarding"

    def command(self):
        return None


class Nginx(Gateway):
    name = "nginx"
    audits = "access log, buffered"

    def version(self):
        return lab_module.run("nginx", "-v").stdout.strip()

    def prepare(self):
        self.leaf_files()
        self.write("nginx.conf", f"""
worker_processes 1;
worker_rlimit_nofile {FILES};
daemon off;
user root;
pid {self.path('pid')};
error_log {self.path('error.log')} warn;
events {{ worker_connections {2 * CONNECTIONS}; }}
http {{
  access_log {self.path('access.log')} combined buffer=64k flush=5s;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  client_body_buffer_size 64k;
  client_body_temp_path {self.path('body')};
  proxy_temp_path {self.path('proxy')};
  proxy_max_temp_file_size 0;
  proxy_buffer_size 16k;
  proxy_buffers 8 32k;
  ssl_protocols TLSv1.3;
  ssl_conf_command Ciphersuites {SUITE};
  ssl_session_cache shared:callers:20m;
  ssl_session_tickets on;
  upstream vendor {{
    server {BACK}:443;
    keepalive 1024;
    keepalive_requests 1000000000;
    keepalive_timeout 60s;
  }}
  server {{
    listen {FRONT}:443 ssl backlog=4096;
    server_name {NAME};
    ssl_certificate {self.path('leaf.pem')};
    ssl_certificate_key {self.path('leaf.key')};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    proxy_set_header Authorization "{KEY}";
    proxy_ssl_protocols TLSv1.3;
    proxy_ssl_conf_command Ciphersuites {SUITE};
    proxy_ssl_server_name on;
    proxy_ssl_name {NAME};
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate {self.lab.path('vendor-ca.pem')};
    proxy_ssl_session_reuse on;
    location / {{ proxy_pass https://vendor; }}
    location = /v1/stream {{ proxy_pass https://vendor; proxy_buffering off; proxy_read_timeout 1h; }}
  }}
}}
""")

    def command(self):
        return ["nginx", "-c", self.path("nginx.conf")]


class Haproxy(Gateway):
    name = "haproxy"

    def version(self):
        return lab_module.run("haproxy", "-v").stdout.splitlines()[0]

    def prepare(self):
        self.leaf_files()
        self.write("haproxy.cfg", f"""
global
  nbthread 1
  maxconn {CONNECTIONS}
  tune.ssl.cachesize 100000
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-bind-ciphersuites {SUITE}
  ssl-default-server-options ssl-min-ver TLSv1.3
  ssl-default-server-ciphersuites {SUITE}
  ssl-server-verify required
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 120s
  timeout server 120s
  timeout http-keep-alive 75s
frontend callers
  bind {FRONT}:443 backlog 4096 ssl crt {self.path('both.pem')} alpn http/1.1
  http-request set-header Authorization "{KEY}"
  default_backend vendor
backend vendor
  server vendor {BACK}:443 ssl verify required ca-file {self.lab.path('vendor-ca.pem')} sni str({NAME}) alpn http/1.1 pool-max-conn 1024 pool-purge-delay 60s
""")

    def command(self):
        return ["haproxy", "-db", "-f", self.path("haproxy.cfg")]


class Squid(Gateway):
    name, listens = "squid", False
    audits, pool = "access log, buffered", "one a caller"
    leaf = "minted"
    inspects = "heads (acl)"
    directory = None

    def version(self):
        return lab_module.run("squid", "-v").stdout.splitlines()[0]

    def path(self, *parts):
        """Squid leaves root for a user of its own, who must reach its files: a directory that is his."""
        if not self.directory:
            self.directory = self.lab.open_directory("squid", "proxy")
        return os.path.join(self.directory, *parts)

    def prepare(self):
        with open(self.lab.path("ca.pem")) as cert, open(self.lab.path("ca.key")) as key:
            self.write("ca.pem", cert.read() + key.read(), 0o600)
        shutil.copy(self.lab.path("vendor-ca.pem"), self.path("vendor-ca.pem"))
        certgen = "/usr/lib/squid/security_file_certgen"
        lab_module.run(certgen, "-c", "-s", self.path("leaves"), "-M", "16MB")
        self.write("squid.conf", f"""
http_port 127.0.0.1:3128
https_port 3129 intercept ssl-bump tls-cert={self.path('ca.pem')} generate-host-certificates=on dynamic_cert_mem_cache_size=16MB options=NO_SSLv3,NO_TLSv1,NO_TLSv1_1
sslcrtd_program {certgen} -s {self.path('leaves')} -M 16MB
sslcrtd_children 4 startup=1
acl step1 at_step SslBump1
ssl_bump peek step1
ssl_bump bump all
tls_outgoing_options cafile={self.path('vendor-ca.pem')} options=NO_SSLv3,NO_TLSv1,NO_TLSv1_1
http_access allow all
request_header_access Authorization deny all
request_header_replace Authorization {KEY}
cache deny all
workers 1
client_persistent_connections on
server_persistent_connections on
max_filedescriptors {FILES}
access_log stdio:{self.path('access.log')}
buffered_logs on
cache_log {self.path('cache.log')}
pid_filename {self.path('pid')}
coredump_dir {self.path()}
netdb_filename none
pinger_enable off
visible_hostname race
dns_nameservers 127.0.0.1
shutdown_lifetime 0 seconds
""")
        self.lab.give(self.directory, "proxy")

    def enter(self):
        self.lab.sh(self.lab.box, "iptables -t nat -A PREROUTING -i in0 -p tcp --dport 443 -j REDIRECT --to-ports 3129")

    def leave(self):
        self.lab.sh(self.lab.box, "iptables -t nat -F PREROUTING")

    def command(self):
        return ["squid", "--foreground", "-f", self.path("squid.conf")]

    def stop(self):
        super().stop()
        pid = self.path("pid")
        if os.path.exists(pid):
            os.unlink(pid)


MASK_SCRIPT = r'''"""mitmproxy: card numbers and e-mail addresses are masked in answers, the vendor's key is put in."""
import re

CARD = re.compile(rb"(?<!\d)(?:\d[ -]?){12,18}\d(?!\d)")
MAIL = re.compile(rb"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")


def luhn(digits):
    total = sum(digits[-1::-2])
    return (total + sum(d * 2 - 9 * (d > 4) for d in digits[-2::-2])) % 10 == 0


def card(match):
    text = match.group(0)
    digits = [c - 48 for c in text if 48 <= c <= 57]
    return b"*" * (len(text) - 4) + text[-4:] if luhn(digits) else text


def mask(data):
    return MAIL.sub(lambda m: b"*" * len(m.group(0)), CARD.sub(card, data))


def request(flow):
    flow.request.headers["authorization"] = "%KEY%"


def responseheaders(flow):
    if flow.response.headers.get("content-type", "").startswith("text/event-stream"):
        flow.response.stream = mask


def response(flow):
    if flow.response.raw_content:
        flow.response.content = mask(flow.response.content)
'''


class Mitmproxy(Gateway):
    name = "mitmproxy"
    inspects, masks = "whole answers (script)", "cards, e-mail (not across stream pieces)"
    pool = "one a caller"

    def version(self):
        return lab_module.run("mitmdump", "--version").stdout.splitlines()[0]

    def prepare(self):
        self.leaf_files()
        self.write("mask.py", MASK_SCRIPT.replace("%KEY%", KEY))

    def command(self):
        settings = {"confdir": self.path("conf"), "ssl_verify_upstream_trusted_ca": self.lab.path("vendor-ca.pem"),
                    "keep_host_header": "true", "flow_detail": "0", "tls_version_client_min": "TLS1_3",
                    "tls_version_server_min": "TLS1_3"}
        return ["mitmdump", "--quiet", "--mode", f"reverse:https://{NAME}:443/", "--listen-host", FRONT,
                "--listen-port", "443", "--certs", f"{NAME}={self.path('both.pem')}", "-s", self.path("mask.py"),
                *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))]


class Turnpike(Gateway):
    kernel = listens = False
    inspects, masks = "heads, bodies, answers by rules", "cards, e-mail, also across pieces"
    credential = "from the vault; callers identified by token"
    leaf = "minted, P-256"
    audits_by = {"strict": "each call on disk before it leaves", "relaxed": "each call, on disk soon after it leaves"}

    def __init__(self, lab, driver, durability="strict"):
        super().__init__(lab)
        self.driver, self.durability = driver, durability
        self.name = f"turnpike-{driver}" + ("" if durability == "strict" else f"-{durability}")
        self.audits = self.audits_by[durability]

    def version(self):
        return lab_module.run(self.lab.program, "--version").stdout.strip()

    def prepare(self):
        self.lab.turnpike_files(self.path(), self.driver, self.durability)

    def enter(self):
        if self.driver == "af_packet":
            self.lab.host_setup("--take in0 --take out0")

    def leave(self):
        self.lab.host_setup("--undo")

    def command(self):
        return [self.lab.program, "-c", self.path("turnpike.yaml")]

    def cores(self):
        """Control, audit writer and start-up on the first, the worker on the second."""
        return f"{OTHER_CORE},{GATEWAY_CORE}"

    def wait_ready(self):
        super().wait_ready()
        if self.driver == "af_xdp":
            self.lab.pin_receive_work()

    def stop(self):
        super().stop()
        shutil.rmtree(self.path("audit", "store"), ignore_errors=True)


def all_gateways(lab):
    """In the order of the table."""
    return [Direct(lab), Nginx(lab), Haproxy(lab), Squid(lab), Mitmproxy(lab),
            *(Turnpike(lab, driver, durability) for durability in ("strict", "relaxed")
              for driver in ("af_packet", "af_xdp"))]
