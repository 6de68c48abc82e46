"""What the lab's own vendors share: TLS, a thread a connection, a log of JSON lines.

usage of each: PROGRAM ADDRESS PORT CERTIFICATE KEY LOG
"""
import json
import socket
import ssl
import sys
import threading


class Log:
    def __init__(self, path):
        self.file, self.lock = open(path, "a"), threading.Lock()

    def write(self, record):
        with self.lock:
            self.file.write(json.dumps(record) + "\n")
            self.file.flush()


def connection(raw, context, handle, log):
    conn = None
    try:
        raw.settimeout(70)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn = context.wrap_socket(raw, server_side=True)
        handle(conn, log)
    except (OSError, ValueError):
        pass
    finally:
        (conn or raw).close()


def serve(handle):
    """Calls handle(conn, log) for each connection; when it returns the connection is closed."""
    address, port, certificate, key, log_path = sys.argv[1:6]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    log = Log(log_path)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, int(port)), family=family, backlog=512)
    while True:
        raw, _ = listener.accept()
        threading.Thread(target=connection, args=(raw, context, handle, log), daemon=True).start()
