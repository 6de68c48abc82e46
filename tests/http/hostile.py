#!/usr/bin/python3
"""Reads hostile.txt, the table of hostile messages. As a program it writes the fuzzer's seeds.

usage: hostile.py DIRECTORY    one file a message, as fuzz_http takes them: side, cuts, bytes
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


def main():
    directory = sys.argv[1]
    os.makedirs(directory, exist_ok=True)
    for row in rows():
        text = whole(row)
        if len(text) <= 2000:
            side = 2 if row.kind.startswith("answer") else 0
            with open(os.path.join(directory, f"{row.line:03}-{row.cause}"), "wb") as f:
                f.write(bytes([side, row.line & 255]) + text)


if __name__ == "__main__":
    main()
