#!/usr/bin/python3
"""A vendor that breaks off. usage: rude_vendor.py ADDRESS PORT CERTIFICATE KEY LOG

What it does is the last word of the path:
    once-fin, once-rst   answers a connection's first request; ends the connection on a later one
    extra                answers, and then once more, unasked
    early                answers before the body has come, and reads no further
    hang                 never answers
    half                 half of an answer, then nothing
    half-rst, none-rst   half of an answer, or none, then a reset
    idle-fin             answers, and ends the connection a moment later
"""
import json
import socket
import ssl
import struct
import sys
import threading
import time


def head_of(conn):
    data = b""
    while b"\r\n\r\n" not in data:
        part = conn.recv(65536)
        if not part:
            return None
        data += part
    head, rest = data.split(b"\r\n\r\n", 1)
    return head.decode("latin-1").split("\r\n"), rest


def answer(number, status="200 OK"):
    body = json.dumps({"number": number}).encode()
    return (f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


HALF = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n" + b"x" * 40000


def reset(conn):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def skip_body(conn, lines, rest):
    for line in lines[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            left = int(value) - len(rest)
            while left > 0:
                left -= len(conn.recv(65536)) or left


def act(conn, word, number):
    """True: the connection goes on."""
    if word.startswith("once-") and number > 1:
        if word == "once-rst":
            reset(conn)
        return False
    if word == "hang":
        time.sleep(60)
        return False
    if word.startswith("half"):
        conn.sendall(HALF)
        time.sleep(60 if word == "half" else 0.2)
        reset(conn)
        return False
    if word == "none-rst":
        reset(conn)
        return False
    conn.sendall(answer(number))
    if word == "extra":
        conn.sendall(answer(666))
    if word == "idle-fin":
        time.sleep(0.3)
        return False
    return True


def serve(raw, context, log, lock):
    conn, number = None, 0
    try:
        raw.settimeout(70)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn = context.wrap_socket(raw, server_side=True)
        while (got := head_of(conn)) is not None:
            lines, rest = got
            number += 1
            target = lines[0].split(" ")[1]
            with lock:
                log.write(json.dumps({"target": target, "number": number}) + "\n")
                log.flush()
            word = target.rsplit("/", 1)[1]
            if word == "early":
                conn.sendall(answer(number, "413 Content Too Large"))
                time.sleep(5)
                break
            skip_body(conn, lines, rest)
            if not act(conn, word, number):
                break
    except (OSError, ssl.SSLError, ValueError):
        pass
    finally:
        (conn or raw).close()


def main():
    address, port, certificate, key, log_path = sys.argv[1:6]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    log, lock = open(log_path, "a"), threading.Lock()
    listener = socket.create_server((address, int(port)), backlog=512)
    while True:
        raw, _ = listener.accept()
        threading.Thread(target=serve, args=(raw, context, log, lock), daemon=True).start()


if __name__ == "__main__":
    main()
