"""turnpike between two memif ports and the generator of tests/road that is its callers and its vendor. No namespaces and
no wires: the packets are in shared memory. The box's worker has processor 1 to itself; its other threads and the
generator share processor 0."""
import contextlib
import hashlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from cryptography.hazmat.primitives import serialization

from . import bench_rules, pki
from . import lab as lab_module

NAME = "api.payments.test"
HUGEPAGES = "/proc/sys/vm/nr_hugepages"


def ahead(pid):
    """Whatever else this machine does, what is measured comes first. With the kernel's autogroups a nice value counts
    among the processes of one session only, the session's own among sessions."""
    try:
        with open(f"/proc/{pid}/autogroup", "w") as f:
            f.write("-19")
    except OSError:
        for task in os.listdir(f"/proc/{pid}/task"):
            os.setpriority(os.PRIO_PROCESS, int(task), -19)


@contextlib.contextmanager
def prompt():
    """Who looks at the counters must do so in time, and does little: ahead of even the above. Not inherited."""
    before = os.sched_getscheduler(0)
    os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, before, os.sched_param(0))


class Hugepages:
    """Reserves so many more 2 MiB pages as are missing, and gives those back."""

    def __init__(self, mib):
        self.want, self.added = mib // 2, 0

    @staticmethod
    def free():
        with open("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") as f:
            return int(f.read())

    @staticmethod
    def _number(change):
        with open(HUGEPAGES) as f:
            now = int(f.read())
        with open(HUGEPAGES, "w") as f:
            f.write(str(now + change))

    def __enter__(self):
        before = self.free()
        if before < self.want:
            self._number(self.want - before)
            self.added = max(0, self.free() - before)
        if self.free() < self.want:
            self.__exit__()
            raise RuntimeError(f"{self.want * 2} MiB of hugepages are needed, {before * 2} MiB are free and no more can be "
                               "reserved: memory is scarce or in pieces")
        return self

    def __exit__(self, *exc):
        if self.added:
            self._number(-self.added)
        self.added = 0


class RoadLab(lab_module.Lab):
    def __init__(self, limits="", idle="poll", memory=320, memory_audit=False, **kw):
        super().__init__(driver="memif", **kw)
        self.limits, self.idle, self.memory = limits, idle, memory
        self.control = None
        self.store = tempfile.mkdtemp(prefix=f"{self.name}-audit-", dir="/dev/shm") if memory_audit else self.path("audit")
        self.ports = {side: f"/run/{self.name}.{side}" for side in ("in", "out")}  # 31 bytes at most

    # ------------------------------------------------------------------ set-up

    def namespaces(self):
        return ()

    def _wires(self):
        pass

    def _vendors(self):
        pass

    def spawn(self, ns, *args, log=None, env=None):
        with open(self.path(log), "ab") as out:
            p = subprocess.Popen(args, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=env, start_new_session=True)
        self.processes.append(p)
        return p

    def _keys(self):
        super()._keys()
        pki.write(self.path("vendor-ca.key"), pki.pem_key(self.vendor_ca.key))
        spki = self.org_ca.key.public_key().public_bytes(serialization.Encoding.DER,
                                                         serialization.PublicFormat.SubjectPublicKeyInfo)
        self.pin = hashlib.sha256(spki).hexdigest()

    def _rules(self):
        self.example_secrets = bench_rules.merged_rules(self.path("rules"))
        pki.write(self.path("rules", "jwks.json"), self.issuer.jwks(), 0o644)

    def _vault(self):
        super()._vault()
        where = ("--vault", self.path("secrets.vault"), "--key-file", self.path("vault.key"))
        for secret, connection in self.example_secrets:
            self.tool("secret", "set", secret, "--connection", connection, *where, input=f"example_{secret}_0123456789abcdef")

    def _config(self):
        super()._config()
        with open(self.path("profile.yaml")) as f:
            profile = f.read()
        for key, value in (("idle", self.idle), ("memory_mib", self.memory)):
            profile = re.sub(rf"(?m)^{key}: .*", f"{key}: {value}", profile)
        pki.write(self.path("profile.yaml"), profile, 0o644)
        with open(self.path("turnpike.yaml")) as f:
            text = f.read()
        text = text.replace("directory: audit/store", f"directory: {self.store}/store")
        for side in ("in", "out"):
            text = text.replace(f"port: {side}0,", f"port: {self.ports[side]},")
        pki.write(self.path("turnpike.yaml"), re.sub(r', "fd00:[^"]*"', "", text) + self.limits, 0o644)

    def up(self):
        super().up()
        if "no huge pages are free" in self.log_tail():
            raise RuntimeError("somebody else took the hugepages that were reserved for this run")
        self.control = socket.socket(socket.AF_UNIX)
        self.control.connect(self.socket)
        self.unread = b""
        ahead(self.pid())
        return self

    def down(self, **kw):
        if self.control:
            self.control.close()
        super().down(**kw)
        shutil.rmtree(self.store, ignore_errors=True)
        for path in self.ports.values():
            if os.path.exists(path):
                os.unlink(path)

    # ---------------------------------------------------------------- measures

    def status(self):
        """Without a process for each question: it would be one more on processor 0."""
        self.control.sendall(b'{"do":"status"}\n')
        while b"\n" not in self.unread:
            more = self.control.recv(1 << 16)
            if not more:
                raise RuntimeError("turnpike has ended:\n" + self.log_tail())
            self.unread += more
        line, self.unread = self.unread.split(b"\n", 1)
        return json.loads(line)

    def worker_times(self):
        """Of each worker: seconds on a processor, seconds ready to run while somebody else had it."""
        base, out = f"/proc/{self.pid()}/task", []
        for task in sorted(os.listdir(base), key=int):
            with open(f"{base}/{task}/comm") as f:
                if "worker" not in f.read():
                    continue
            with open(f"{base}/{task}/schedstat") as f:
                out.append([int(n) / 1e9 for n in f.read().split()[:2]])
        return out

    def pause(self, yes):
        """The box stands still: its worker's processor is free for a measure of something else."""
        os.kill(self.pid(), signal.SIGSTOP if yes else signal.SIGCONT)


class Generator:
    """One run of tests/road/generator; its JSON lines."""

    def __init__(self, lab, request, answer, *args):
        self.lab = lab
        command = ["taskset", "-c", "0", os.path.join(lab.build, "tests", "road", "generator"), "--inside", lab.ports["in"],
                   "--outside", lab.ports["out"], "--request", request, "--answer", answer, "--host", NAME, "--ca",
                   lab.path("ca.pem"), "--vendor-ca", lab.path("vendor-ca.pem"), "--vendor-key", lab.path("vendor-ca.key"),
                   "--queues", str(lab.workers), *map(str, args)]
        self.stderr = open(lab.path("generator.log"), "w+b")
        self.p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.stderr,
                                  start_new_session=True)
        self.unread = b""
        lab.processes.append(self.p)
        ahead(self.p.pid)

    def line(self, what, timeout):
        deadline = time.monotonic() + timeout
        while b"\n" not in self.unread:
            if not select.select([self.p.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                raise RuntimeError(f"the generator said nothing for {timeout} s\n{self.complaints()}")
            more = os.read(self.p.stdout.fileno(), 65536)
            if not more:
                raise RuntimeError(f"the generator ended before \"{what}\":\n{self.complaints()}\n{self.lab.log_tail(5)}")
            self.unread += more
        line, self.unread = self.unread.split(b"\n", 1)
        answer = json.loads(line)
        if answer.get("what") != what:
            raise RuntimeError(f"the generator said {answer}, not \"{what}\"")
        return answer

    def has_said_more(self):
        return bool(self.unread or select.select([self.p.stdout], [], [], 0)[0])

    def complaints(self):
        self.stderr.seek(0)
        return self.stderr.read().decode(errors="replace")[-2000:]

    def end(self):
        code = self.p.wait(60)
        self.lab.processes.remove(self.p)
        self.p.stdout.close()
        self.stderr.close()
        if code:
            raise RuntimeError(f"the generator ended with {code}")
