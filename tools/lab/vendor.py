#!/usr/bin/python3
"""A vendor that does what nginx cannot be told to do: answers in chosen pieces, slowly, or wrongly.

usage: vendor.py ADDRESS PORT CERTIFICATE KEY LOG

Each request's head and body length go to LOG as one JSON line before it is answered.
"""
import json
import socket
import ssl
import sys
import threading
import time

CARD = "4242424242424242"


def read_request(conn):
    data = b""
    while b"\r\n\r\n" not in data:
        part = conn.recv(65536)
        if not part:
            return None
        data += part
    head, body = data.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    fields = {}
    for line in lines[1:]:
        name, value = line.split(":", 1)
        fields[name.strip().lower()] = value.strip()
    method, target, _ = lines[0].split(" ", 2)
    if fields.get("transfer-encoding") == "chunked":
        while not body.endswith(b"0\r\n\r\n"):
            body += conn.recv(65536)
    else:
        length = int(fields.get("content-length", "0"))
        while len(body) < length:
            part = conn.recv(65536)
            if not part:
                return None
            body += part
    return method, target, fields, body


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def send_pieces(conn, pieces, pause=0.05):
    for piece in pieces:
        conn.sendall(piece)
        time.sleep(pause)


def whole(body, kind="application/json", status="200 OK", extra=""):
    if isinstance(body, str):
        body = body.encode()
    return (f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            f"{extra}\r\n").encode() + body


def split_card(conn, fields):
    """The number is cut over two chunks, and the chunks travel in segments of their own."""
    text = json.dumps({"card": CARD, "note": "none"}).encode()
    at = text.index(CARD.encode()) + 7
    head = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n")
    send_pieces(conn, [head + chunk(text[:at]), chunk(text[at:]) + b"0\r\n\r\n"], 0.2)


def cards(conn, fields):
    conn.sendall(whole(json.dumps({"cards": [CARD, "5555-5555-5555-4444"],
                                   "number": int(CARD), "mail": "ann@example.com",
                                   "order": "1234567890123456"})))


def echo(conn, fields):
    """Sends the credential back, as debugging endpoints do."""
    conn.sendall(whole(json.dumps({"authorization": fields.get("authorization", "")}),
                       extra="X-Echo: %s\r\n" % fields.get("authorization", "")))


def slow(conn, fields):
    time.sleep(1.0)
    conn.sendall(whole('{"slow":true}'))


def until_close(conn, fields):
    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nbye")
    return False


def truncated(conn, fields):
    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")
    return False


def garbage(conn, fields):
    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello")
    return False


def encoded(conn, fields):
    conn.sendall(whole(b"\x1f\x8b\x08\x00", extra="Content-Encoding: gzip\r\n"))


def interim(conn, fields):
    conn.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + whole('{"final":true}'))


def events(conn, fields):
    head = (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n")
    send_pieces(conn, [head] + [chunk(b"data: {\"n\":%d}\n\n" % i) for i in range(5)], 0.1)
    conn.sendall(b"0\r\n\r\n")


ROUTES = {"/v1/special/split": split_card, "/v1/special/cards": cards, "/v1/special/echo": echo,
          "/v1/special/slow": slow, "/v1/special/until-close": until_close,
          "/v1/special/truncated": truncated, "/v1/special/garbage": garbage,
          "/v1/special/encoded": encoded, "/v1/special/interim": interim,
          "/v1/special/events": events}


def serve(raw, context, log, lock):
    try:
        raw.settimeout(30)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn = context.wrap_socket(raw, server_side=True)
        while True:
            request = read_request(conn)
            if request is None:
                break
            method, target, fields, body = request
            with lock:
                log.write(json.dumps({"method": method, "target": target, "fields": fields,
                                      "body": body.decode("latin-1")[:65536]}) + "\n")
                log.flush()
            answer = ROUTES.get(target.split("?")[0])
            if answer is None:
                conn.sendall(whole(json.dumps({"ok": True, "method": method, "target": target,
                                               "length": len(body)})))
            elif answer(conn, fields) is False:
                break
        conn.unwrap()
    except (OSError, ssl.SSLError):
        pass
    finally:
        raw.close()


def main():
    address, port, certificate, key, log_path = sys.argv[1:6]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    log, lock = open(log_path, "a"), threading.Lock()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.create_server((address, int(port)), family=family, backlog=256)
    while True:
        raw, _ = listener.accept()
        threading.Thread(target=serve, args=(raw, context, log, lock), daemon=True).start()


if __name__ == "__main__":
    main()
