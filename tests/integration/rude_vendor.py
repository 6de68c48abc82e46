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
    idle-2s              answers, and ends the connection after two idle seconds
    told-2s              answers, and says that it will end the connection after two idle seconds
    say                  answers with exactly the bytes of the request's body, and ends the connection
    interim              three 1xx answers and a last one; interims: far too many of them
    ws                   agrees to a websocket and sends back what comes; at its peer's end it says
                         "bye" and ends; ws-push sends 200 KB and ends at once, ws-cut sends some and
                         breaks off without close_notify; ws-other agrees to something else;
                         ws-no answers with an error
"""
import json
import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), *[".."] * 2, "tools", "lab"))
import serving  # noqa: E402


def head_of(conn):
    data = b""
    while b"\r\n\r\n" not in data:
        part = conn.recv(65536)
        if not part:
            return None
        data += part
    head, rest = data.split(b"\r\n\r\n", 1)
    return head.decode("latin-1").split("\r\n"), rest


def answer(number, status="200 OK", extra=""):
    body = json.dumps({"number": number}).encode()
    return (f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{extra}"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


HALF = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n" + b"x" * 40000
SWITCH = (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n"
          b"Sec-WebSocket-Accept: x\r\n\r\n")
HINT = b"HTTP/1.1 103 Early Hints\r\nLink: </%d>\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n"


def reset(conn):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def read_body(conn, lines, rest):
    for line in lines[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            while len(rest) < int(value):
                part = conn.recv(65536)
                if not part:
                    raise OSError("the body ends early")
                rest += part
    return rest


def websocket(conn, word, number):
    if word == "ws-no":
        conn.sendall(answer(number, "403 Forbidden"))
        return True
    conn.sendall(SWITCH % (b"other" if word == "ws-other" else b"websocket") +
                 (b"hello" if word == "ws" else b""))
    if word == "ws-push":
        conn.sendall(b"p" * 200000)
        conn.unwrap()
    elif word == "ws-cut":
        conn.sendall(b"c" * 1000)
        conn.shutdown(socket.SHUT_RDWR)
    else:
        while part := conn.recv(65536):
            conn.sendall(part)
        conn.sendall(b"bye")
        conn.unwrap()
    return False


def act(conn, word, number, body):
    """True: the connection goes on."""
    if word.startswith("ws"):
        return websocket(conn, word, number)
    if word.startswith("once-") and number > 1:
        if word == "once-rst":
            reset(conn)
        return False
    if word == "say":
        conn.sendall(body)
        conn.unwrap()
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
    if word == "interim":
        conn.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" + HINT % 1)
        time.sleep(0.1)
        conn.sendall(HINT % 2)
    if word == "interims":
        conn.sendall(HINT % 0 * 1000)
    conn.sendall(answer(number, extra="Keep-Alive: timeout=2\r\n" if word == "told-2s" else ""))
    if word == "extra":
        conn.sendall(answer(666))
    if word == "idle-fin":
        time.sleep(0.3)
        return False
    if word == "idle-2s":
        conn.settimeout(2)
    return True


def handle(conn, log):
    number = 0
    while (got := head_of(conn)) is not None:
        lines, rest = got
        number += 1
        target = lines[0].split(" ")[1]
        log.write({"target": target, "number": number, "head": lines})
        word = target.rsplit("/", 1)[1]
        if word == "early":
            conn.sendall(answer(number, "413 Content Too Large"))
            time.sleep(5)
            break
        if not act(conn, word, number, read_body(conn, lines, rest)):
            break


if __name__ == "__main__":
    serving.serve(handle)
