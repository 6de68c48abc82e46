#!/usr/bin/python3
"""Holds nginx and HAProxy beside the codec: what it accepts they must understand as the same messages.

usage: differential.py [--build DIR] [--seed N] [--count N]
       differential.py --backend ADDRESS:PORT     the backend alone

Each variant (variants.py) is read by the codec (understood.c). What it would send on goes to both
servers over loopback, with a backend behind them that tells what it got: as many messages, each
with the same method, target, field values and body, and the next message where ours begins. The
variant as it came goes to them, too: where they take it they must have read the same. Exit codes: 0
all agree; 1 a difference, which is printed.
"""
import argparse
import asyncio
import base64
import collections
import hashlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from variants import variants  # noqa: E402

# Fields that a proxy writes for itself, or that are for one hop only.
OWN = {"host", "connection", "content-length", "transfer-encoding", "x-decoded-path", "keep-alive", "te", "trailer",
       "upgrade", "proxy-connection", "expect", "proxy-authorization", "proxy-authenticate"}

Message = collections.namedtuple("Message", "method target path fields body sent")


# ------------------------------------------------------------------------ what we understand

def unhex(word):
    return b"" if word == "-" else bytes.fromhex(word)


def by_name(pairs):
    """Order matters between fields of one name only (RFC 9110 5.3)."""
    fields = {}
    for name, value in pairs:
        name = name.lower().decode("latin-1")
        if name not in OWN:
            fields.setdefault(name, []).append(value.decode("latin-1"))
    return fields


def understood(build, inputs):
    """For each input: the messages that the codec finds, and why it stops."""
    done = subprocess.run([os.path.join(build, "tests", "http", "understood")],
                          input=b"".join(struct.pack(">I", len(i)) + i for i in inputs), stdout=subprocess.PIPE,
                          check=True)
    results, messages = [], []
    for line in done.stdout.decode("ascii").splitlines():
        words = line.split(" ")
        if words[0] == "end":
            results.append((messages, words[1]))
            messages = []
            continue
        path, body, sent = unhex(words[2]), unhex(words[4]), unhex(words[5])
        target = path + (b"" if words[3] == "." else b"?" + unhex(words[3]))
        pairs = list(zip(map(unhex, words[6::2]), map(unhex, words[7::2])))
        messages.append(Message(words[1], target.decode("latin-1"), urllib.parse.unquote_to_bytes(path),
                                by_name(pairs), hashlib.sha256(body).hexdigest(), sent))
    return results


# ----------------------------------------------------------------------------- the backend

async def read_chunked(reader):
    body = b""
    while True:
        size = int((await reader.readline()).split(b";")[0], 16)
        if size == 0:
            while (await reader.readline()).strip():
                pass
            return body
        body += await reader.readexactly(size)
        await reader.readexactly(2)


async def backend(reader, writer):
    """Tells in a field of its answer what it has got."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
            method, target, _ = head[0].split(b" ")
            pairs = []
            for line in head[1:]:
                name, _, value = line.partition(b":")
                pairs.append((name, value.strip(b" \t")))
            own = {n.lower(): v for n, v in pairs}
            if own.get(b"transfer-encoding", b"").lower() == b"chunked":
                body = await read_chunked(reader)
            else:
                body = await reader.readexactly(int(own.get(b"content-length", b"0")))
            echo = {"method": method.decode("latin-1"), "target": target.decode("latin-1"), "fields": by_name(pairs),
                    "body": hashlib.sha256(body).hexdigest(), "host": own.get(b"host", b"").decode("latin-1"),
                    "path": own.get(b"x-decoded-path", b"").decode("latin-1")[1:-1]}
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Echo: " +
                         base64.b64encode(json.dumps(echo).encode()) + b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError, ConnectionError, ValueError):
        pass
    finally:
        writer.close()


async def serve_backend(address, port):
    OWN.add("authorization")  # the appliance's credential: it would be masked in what we tell
    server = await asyncio.start_server(backend, address, int(port), limit=1 << 20)
    await server.serve_forever()


# ----------------------------------------------------------------------------- the servers

NGINX = """
worker_processes 1; daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.err crit; user root;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000; client_max_body_size 0; client_header_timeout 3s;
  large_client_header_buffers 4 128k; underscores_in_headers on; ignore_invalid_headers off;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u;
  scgi_temp_path {dir}/s;
  upstream echo {{ server {backend}; keepalive 16; keepalive_requests 100000000; }}
  server {{
    listen {listen};
    {tls}
    location / {{
      proxy_pass http://echo; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_set_header X-Decoded-Path "<$uri>"; proxy_buffer_size 256k; proxy_buffers 8 256k; proxy_busy_buffers_size 512k;
      proxy_ignore_client_abort on; proxy_read_timeout 5s;
    }}
  }}
}}
"""
HAPROXY = """
global
  tune.bufsize 262144
  tune.http.maxhdr 512
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
  timeout http-request 3s
frontend in
  bind {listen} {tls}
  default_backend echo
backend echo
  http-reuse always
  server echo {backend}
"""


def nginx(directory, listen, backend_at, tls=None):
    """The command that runs nginx in the foreground; `tls`: certificate and key."""
    lines = f"ssl_certificate {tls[0]}; ssl_certificate_key {tls[1]};" if tls else ""
    with open(os.path.join(directory, "nginx.conf"), "w") as f:
        f.write(NGINX.format(dir=directory, listen=listen + (" ssl" if tls else ""), backend=backend_at, tls=lines))
    return ["nginx", "-c", os.path.join(directory, "nginx.conf")]


def haproxy(directory, listen, backend_at, tls=None):
    if tls:
        with open(os.path.join(directory, "both.pem"), "w") as f:
            f.writelines(open(part).read() for part in tls)
    with open(os.path.join(directory, "haproxy.conf"), "w") as f:
        f.write(HAPROXY.format(listen=listen, backend=backend_at,
                               tls=f"ssl crt {directory}/both.pem" if tls else ""))
    return ["haproxy", "-db", "-q", "-f", os.path.join(directory, "haproxy.conf")]


SERVERS = {"nginx": nginx, "haproxy": haproxy}


# ------------------------------------------------------------------------------- a client

async def answer(reader, to_head):
    """Status and what the backend got. None at the end."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        fields = {}
        for line in head[1:]:
            name, _, value = line.partition(b":")
            fields[name.lower()] = value.strip()
        length = int(fields.get(b"content-length", b"0"))
        if length and not to_head:
            await reader.readexactly(length)
        echo = json.loads(base64.b64decode(fields[b"x-echo"])) if b"x-echo" in fields else None
        return int(head[0].split(b" ")[1]), echo
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def difference(ours, status, got):
    if status != 200 or got is None:
        return f"it answered {status}"
    for what, a, b in (("method", ours.method, got["method"]), ("target", ours.target, got["target"]),
                       ("fields", ours.fields, got["fields"]), ("body", ours.body, got["body"])):
        if a != b:
            return f"{what}: ours {a!r}, theirs {b!r}"
    return None


class Lane:
    """Sends what we would send on, on one connection, and compares what comes back."""

    def __init__(self, name, port, report):
        self.name, self.port, self.report = name, port, report
        self.reader = self.writer = None

    async def run(self, work):
        for number, (text, messages) in work:
            if self.writer is None:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
            problem = await self.exchange(number, messages)
            if problem:
                self.report(self.name, "sent", text, problem)
                self.writer.close()
                self.writer = None
        if self.writer:
            self.writer.close()

    async def exchange(self, number, messages):
        marker = f"/marker/{number}"
        self.writer.write(b"".join(m.sent for m in messages) +
                          f"GET {marker} HTTP/1.1\r\nHost: vendor.example\r\n\r\n".encode())
        for i, m in enumerate(messages):
            got = await asyncio.wait_for(answer(self.reader, m.method == "HEAD"), 20)
            if got is None:
                return f"message {i}: the connection ended"
            problem = difference(m, *got)
            if problem:
                return f"message {i}: {problem}"
        got = await asyncio.wait_for(answer(self.reader, False), 20)
        if got is None or got[1] is None or got[1]["target"] != marker:
            return f"out of step after it: {got}"
        return None


def decoded(path):
    """nginx's $uri, as it went over the wire."""
    return path.encode("latin-1")


def raw_difference(messages, got, paths):
    """What came straight from the caller: targets may be written otherwise, and mean the same."""
    if len(got) != len(messages):
        return f"ours {len(messages)} messages, theirs {len(got)}: {[g['target'] for g in got]}"
    for m, g in zip(messages, got):
        for what, a, b in (("method", m.method, g["method"]), ("body", m.body, g["body"]),
                           ("path", m.path, decoded(g["path"]) if paths else m.path)):
            if a != b:
                return f"{what}: ours {a!r}, theirs {b!r}"
        for name, values in m.fields.items():
            if g["fields"].get(name) != values:
                return f"field {name}: ours {values!r}, theirs {g['fields'].get(name)!r}"
    return None


END = b"GET /end HTTP/1.1\r\nHost: vendor.example\r\nConnection: close\r\n\r\n"
END_MESSAGE = Message("GET", "/end", b"/end", {}, hashlib.sha256(b"").hexdigest(), END)


class Raw:
    """Sends variants as they came, on a connection each. Where the server takes all of it, it must have
    read what we have read."""

    def __init__(self, name, port, report, taken):
        self.name, self.port, self.report, self.taken = name, port, report, taken

    async def run(self, work):
        for _, (text, messages, end) in work:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
            writer.write(text + END)
            if end == "none":
                messages = messages + [END_MESSAGE]
            got, refused = [], False
            while True:
                to_head = len(got) < len(messages) and messages[len(got)].method == "HEAD"
                one = await asyncio.wait_for(answer(reader, to_head), 20)
                if one is None:
                    break
                if one[0] != 200 or one[1] is None:
                    refused = True
                    break
                got.append(one[1])
            writer.close()
            if refused:
                continue
            self.taken[self.name] += 1
            problem = raw_difference(messages, got, self.name == "nginx")
            if problem:
                self.report(self.name, "as it came", text, problem)


# --------------------------------------------------------------------------------- the run

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


async def answering(port, process):
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args} ended with {process.returncode}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        except OSError:
            await asyncio.sleep(0.05)
    raise RuntimeError(f"{process.args} does not listen")


class Report:
    def __init__(self):
        self.found, self.kinds = 0, collections.Counter()

    def __call__(self, server, how, text, problem):
        self.found += 1
        self.kinds[(server, how, problem[:60])] += 1
        if self.found <= 20:
            print(f"{server}, {how}: {problem}\n    {text[:700]!r}")


async def compare(work, directory, report):
    await_backend = await asyncio.start_server(backend, "127.0.0.1", 0, limit=1 << 20)
    at = "127.0.0.1:%d" % await_backend.sockets[0].getsockname()[1]
    processes, taken, lanes = [], collections.Counter(), []
    try:
        for name, command in SERVERS.items():
            port = free_port()
            processes.append(subprocess.Popen(command(directory, f"127.0.0.1:{port}", at)))
            await answering(port, processes[-1])
            whole = [w for w in work if w[1][2] in ("none", "closed")]
            for lane in range(4):
                lanes.append(Lane(name, port, report).run([(n, w[:2]) for n, w in work[lane::4]]))
                lanes.append(Raw(name, port, report, taken).run(whole[lane::4]))
        await asyncio.gather(*lanes)
    finally:
        for p in processes:
            p.terminate()
            p.wait(10)
        await_backend.close()
    return taken


def run(build, seed, count):
    """The number of differences."""
    began = time.time()
    texts = list(variants(seed, count))
    causes, work, messages = collections.Counter(), [], 0
    for n, (text, (found, end)) in enumerate(zip(texts, understood(build, texts))):
        causes[end] += 1
        messages += len(found)
        if found:
            work.append((n, (text, found, end)))
    report, directory = Report(), tempfile.mkdtemp(prefix="http-differential-")
    try:
        taken = asyncio.run(compare(work, directory, report))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    whole = sum(1 for w in work if w[1][2] in ("none", "closed"))
    print(f"seed {seed}: {count} variants, {messages} messages accepted (in {len(work)} variants, {whole} of them "
          f"accepted whole), sent on to nginx and HAProxy; as they came, nginx took {taken['nginx']} and HAProxy "
          f"{taken['haproxy']} of {whole}; {report.found} differences; {time.time() - began:.1f} s")
    print("refused:", ", ".join(f"{c} {n}" for c, n in causes.most_common() if c not in ("none", "closed")))
    for kind, n in report.kinds.most_common(12):
        print(n, *kind)
    return report.found


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--build", default=os.path.join(os.path.dirname(os.path.dirname(HERE)), "build"))
    p.add_argument("--seed", type=int, default=0x7e57)
    p.add_argument("--count", type=int, default=4000)
    p.add_argument("--backend")
    args = p.parse_args()
    if args.backend:
        asyncio.run(serve_backend(*args.backend.rsplit(":", 1)))
    sys.exit(1 if run(args.build, args.seed, args.count) else 0)


if __name__ == "__main__":
    main()
