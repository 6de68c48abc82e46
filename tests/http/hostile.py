#!/usr/bin/python3
"""Reads hostile.txt, the table of hostile messages. As a program it writes the fuzzer's seeds.

usage: hostile.py DIRECTORY    a file for each cause and kind, and valid messages to start from, as
                               fuzz_http takes them: side (0 request, 1 answer to HEAD, 2 answer), cuts, bytes
"""
import collections
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
Row = collections.namedtuple("Row", "line cause kind bytes")
ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "\\": b"\\", '"': b'"'}


def unescape(text, at, until):
    out = b""
    while text[at] != until:
        if text[at] != "\\":
            out += text[at].encode("latin-1")
            at += 1
        elif text[at + 1] == "{":
            times = re.match(r"(\d+)\*", text[at + 2:])
            inner, at = unescape(text, at + 2 + times.end(), "}")
            out += inner * int(times.group(1))
        elif text[at + 1] == "x":
            out += bytes([int(text[at + 2:at + 4], 16)])
            at += 4
        else:
            out += ESCAPES[text[at + 1]]
            at += 2
    return out, at + 1


def rows(*kinds):
    with open(os.path.join(HERE, "hostile.txt"), encoding="ascii") as f:
        for number, line in enumerate(f, 1):
            if line[0] in "#\n":
                continue
            cause, kind, rest = line.split(" ", 2)
            if not kinds or kind in kinds:
                yield Row(number, cause, kind, unescape(rest, 1, '"')[0])


AROUND = {
    "request": (b"", b""), "answer": (b"", b""),
    "field": (b"POST /x HTTP/1.1\r\nHost: a.example\r\n", b"\r\n"),
    "target": (b"GET ", b" HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    "host": (b"GET / HTTP/1.1\r\nHost: ", b"\r\n\r\n"),
    "answer-field": (b"HTTP/1.1 200 OK\r\n", b"\r\n"),
    "chunks": (b"POST /x HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n", b""),
}


def whole(row):
    before, after = AROUND[row.kind]
    return before + row.bytes + after


VALID = {
    "get": (0, b"GET /v1/a/../b?x=%7e HTTP/1.1\r\nHost: a.example:443\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n"),
    "absolute": (0, b"GET https://a.example/%c3%a4 HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    "length": (0, b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhelloGET"),
    "chunks": (0, b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                  b"5;a=b\r\nhello\r\n0\r\nX-T: v\r\n\r\n"),
    "upgrade": (0, b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    "to-head": (1, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
    "answer": (2, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nKeep-Alive: timeout=5\r\n\r\nhello"),
    "interim": (2, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
    "until-close": (2, b"HTTP/1.0 200 OK\r\n\r\nbye"),
}


def main():
    directory = sys.argv[1]
    os.makedirs(directory, exist_ok=True)
    seeds = {name: bytes([side, 0]) + text for name, (side, text) in VALID.items()}
    for row in rows():
        if len(whole(row)) <= 1000:
            side = 2 if row.kind.startswith("answer") else 0
            seeds.setdefault(f"{row.cause}-{row.kind}", bytes([side, row.line & 255]) + whole(row))
    for name, text in seeds.items():
        with open(os.path.join(directory, name), "wb") as f:
            f.write(text)


if __name__ == "__main__":
    main()
