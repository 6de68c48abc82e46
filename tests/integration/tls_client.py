"""A caller that does one step at a time. usage: tls_client.py CA HOST VERSION CERTIFICATE

Commands on standard input, an answer each: connect, get."""
import socket
import ssl
import sys


class Client:
    def __init__(self, ca, host, version, certificate):
        self.host, self.certificate, self.conn, self.session = host, certificate, None, None
        self.context = ssl.create_default_context(cafile=ca)
        self.context.maximum_version = ssl.TLSVersion.TLSv1_2 if version == "1.2" else ssl.TLSVersion.TLSv1_3
        self.context.load_cert_chain(certificate)

    def connect(self):
        self.conn = self.context.wrap_socket(socket.create_connection((self.host, 443)),
                                             server_hostname=self.host, session=self.session)
        return "resumed" if self.conn.session_reused else "new"

    def get(self):
        self.conn.sendall(f"GET /v1/x HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.conn.recv(65536)
        head, body = data.split(b"\r\n\r\n", 1)
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        while len(body) < length:
            body += self.conn.recv(65536)
        self.session = self.conn.session
        status = head.split(b" ")[1].decode()
        cause = body.split(b'"cause":"')[1].split(b'"')[0].decode() if b'"cause":"' in body else ""
        return f"{status} {cause}".strip()


client = Client(*sys.argv[1:])
for line in sys.stdin:
    try:
        print(getattr(client, line.strip())(), flush=True)
    except (OSError, ssl.SSLError) as e:
        print(f"failed {e}", flush=True)
