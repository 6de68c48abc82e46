"""Variants of valid requests, by a seed: each has a few oddities of the kinds over which readers of HTTP
differ. Some are valid, some not."""
import random

HOST = "vendor.example"
METHODS = ["GET"] * 4 + ["POST"] * 4 + ["PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "QUERY"]
ODD_METHODS = ["get", "M-SEARCH", "G!T", "X_Y", "GET1", "'X'", "POST\t", "PO ST", "A|B", "~", "P*T", "BASELINE-CONTROL"]
VERSIONS = ["HTTP/1.1"] * 120 + ["HTTP/1.0"] * 6 + ["HTTP/1.2", "HTTP/1.1 ", "http/1.1", "HTTP/2.0", "HTTP/01.1"]
SEGMENTS = ["a", "v1", "charges", "ch_1", "x.y", "a:b", "a@b", "a,b", "a=b", "a+b", "~u", "a(b)", "a!b$c&d'e*f", "%41",
            "%2e", "%7E", "%20", "%3A", "%c3%a4", "%C3%A4", "%e2%82%ac", "%F0%9F%98%80", "%3d", "%2B", "%40", "%25",
            "%26", "%23", "%3F", "...", "a..", ".a", "%22", "%7c", "%5B"]
ODD_SEGMENTS = [".", "..", "", "%2f", "%5c", "%00", "%252e", "%zz", "%", "a;b", "a\\b", "a{b}", "a|b", "%c0%af", "%ff",
                "a#b", "a\tb", "\xe4", "%0d%0a", "%7f", "a^b", "a`b", 'a"b', "a<b>", "%2E%2e", "%3b", "%u0041", "[x]"]
QUERIES = ["", "a=b", "a=b&c=d", "x=%7e", "x=%2F..%2f", "?", "a=[1]", "a={b}", "a;b", "a=b+c", "q=%c3%a4", "a|b", "/../x",
           "a=%25", "a^b`c", "a\\b", "%5e"]
ODD_QUERIES = ["%", "%zz", "%00", "#x", "\xe4", "a b", "%ff", "a\tb", 'a="b"', "<>"]
NAMES = ["X-A", "x-b", "Accept", "COOKIE", "Cache-Control", "X_Under", "Stripe-Version", "X.Y", "If-Match", "Forwarded",
         "Accept-Language", "Origin", "X-Forwarded-For", "Content-Type", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
         "If-Range", "Range", "Referer", "Content-Range", "Content-Encoding", "Accept-Encoding", "Authorization", "Pragma", "Content-Language", "User-Agent", "Via", "From"]
ODD_NAMES = ["X!", "X#Y", "X$", "X'Y", "X*", "X+Y", "X^", "X`", "X|", "X~", "X%", "X&", "1X", "-", "_", "X Y", "X/Y", "", "X\t",
             "Content_Length", "Transfer_Encoding", "X(", "X\x00", "\xc3\xa4", "X:", "Connection", "TE", "Keep-Alive",
             "Proxy-Connection", "Trailer", "Expect", "Date", "Host"]
VALUES = ["b", "", "a, b", "a b", "\"q;x=1\"", "*/*", "x=1; y=2", "a\tb", "a:b", "(c)", "{\"j\":1}", "caf\xc3\xa9", "\xff\xfe",
          "0", "," , ";", "=", "'", "\\", "a" * 300]
ODD_VALUES = ["a\r", "a\x00b", "\x01", "\x7f", "a\r\n b", "a\nb", "a\x0bb", "100-continue", "close", "keep-alive", "x-a",
              "trailers", "chunked", "5", "a\r\n\tb", "\x85"]
SPACES = [" "] * 40 + ["", "", "  ", "\t", " \t "]
ENDS = ["\r\n"] * 60 + ["\n", "\r", "\r\r\n", "\n\r\n", "\r\n "]
LENGTHS = ["{n}"] * 30 + ["+{n}", "0{n}", "{n}, {n}", "{n} ", "{n}\t", "-{n}", "0x{n}", "{n}.0", "", "{n};", "\"{n}\"", "{n} {n}",
                          "{m}", "18446744073709551616"]
CODINGS = ["chunked"] * 20 + ["Chunked", "CHUNKED", "chunked ", "\tchunked", "chunked,", ",chunked", "gzip, chunked", "identity",
                              "chunked, identity", "chunked;q=1", "xchunked", "\"chunked\"", "chunked\t", "", "chunked\x0b"]
BODIES = [b"", b"x", b"hello", b"0\r\n\r\n", b"GET /smuggled HTTP/1.1\r\nHost: s\r\n\r\n", b'{"amount": 1}', b"a=b&c=d", b"\r\n",
          bytes(range(256)), b"5\r\nhello\r\n0\r\n\r\n", b"x" * 3000]
EXTENSIONS = [""] * 20 + [";a", ";a=b", ';a="b;c"', "; a", " ;a", ";", ";a=\"\r", ";\n", ";a" * 200, ";a\t", ";\xff", " ", "\t"]
SIZES = ["{:x}"] * 20 + ["{:X}", "0{:x}", "0000000{:x}", "0x{:x}", "+{:x}", " {:x}", "{:x} ", "{:x}h", "-{:x}", "00000000000000000{:x}"]
TRAILERS = [""] * 12 + ["X-T: v\r\n", "A: b\r\nC: d\r\n", "Content-Length: 5\r\n", "Host: t\r\n", "X\r\n", " X: y\r\n", "X : y\r\n",
                        "X: y\n", "Transfer-Encoding: chunked\r\n", "GET / HTTP/1.1\r\nHost: s\r\n"]


class Maker:
    """`prefix` stands before each path, `fields` in each head."""

    def __init__(self, seed, host=HOST, prefix="", fields=()):
        self.dice, self.host, self.prefix, self.fields = random.Random(seed), host, prefix, list(fields)

    def odd(self, chance):
        return self.dice.random() < chance

    def pick(self, usual, odd, chance):
        return self.dice.choice(odd if self.odd(chance) else usual)

    def case(self, text):
        how = self.dice.randrange(6)
        return text if how > 2 else text.lower() if how == 0 else text.upper() if how == 1 else "".join(
            c.upper() if self.odd(0.5) else c.lower() for c in text)

    def target(self):
        path = self.prefix + "".join("/" + self.pick(SEGMENTS, ODD_SEGMENTS, 0.06) for _ in range(self.dice.randrange(1, 5)))
        if self.odd(0.3):
            path += "/"
        if self.odd(0.4):
            path += "?" + self.pick(QUERIES, ODD_QUERIES, 0.05)
        if self.odd(0.03):
            path = self.dice.choice(["https://", "http://", "HTTPS://", "//", ""]) + self.host + \
                self.dice.choice(["", ":443", ":80", "."]) + path
        if self.odd(0.01):
            path = self.dice.choice(["*", self.host + ":443", "", " /", path + " "])
        return path

    def chunks(self, body):
        text, dice = b"", self.dice
        while body or self.odd(0.02):
            n = min(len(body), dice.choice([1, 2, 7, 100, 5000]))
            end = dice.choice(ENDS) if self.odd(0.1) else "\r\n"
            text += (dice.choice(SIZES).format(n) + dice.choice(EXTENSIONS)).encode("latin-1") + end.encode() + body[:n]
            text += b"\r\n" if not self.odd(0.03) else dice.choice([b"\n", b"", b"\r", b"\r\n\r\n", b"x\r\n"])
            body = body[n:]
        return text + (dice.choice(["0"] * 20 + ["00", "0000", "0x0", "", "-0"]) + dice.choice(EXTENSIONS) + "\r\n" +
                       dice.choice(TRAILERS)).encode("latin-1") + \
            (b"\r\n" if not self.odd(0.03) else dice.choice([b"\n", b"", b"\r"]))

    def framing(self, method):
        """Field lines and the body's bytes."""
        dice, fields = self.dice, []
        body = dice.choice(BODIES) if method not in ("GET", "HEAD") or self.odd(0.1) else b""
        how = dice.random()
        if how < 0.45:
            if body or self.odd(0.5):
                n = len(body)
                fields.append(("Content-Length", dice.choice(LENGTHS).format(n=n, m=max(0, n + dice.choice([-1, 1])))))
                if self.odd(0.03):
                    fields.append(("Content-Length", str(n)))
            else:
                body = b""
        elif how < 0.95 and (method not in ("GET", "HEAD") or self.odd(0.2)):
            fields.append(("Transfer-Encoding", dice.choice(CODINGS)))
            if self.odd(0.04):
                fields.append(dice.choice([("Content-Length", str(len(body))), ("Transfer-Encoding", "chunked"),
                                           ("Content-Length", "0"), ("Transfer-Encoding", "identity")]))
            body = self.chunks(body)
        else:
            body = b""
        return fields, body

    def line(self, name, value, host=False):
        dice = self.dice
        before = "" if not self.odd(0.01) else dice.choice([" ", "\t", "\x0b"])
        return (self.case(name) + before + ":" + dice.choice(SPACES) + value + dice.choice(["", "", "", " "] * 10 + ["\t"]) +
                (dice.choice(ENDS) if self.odd(0.15) else "\r\n"))

    def request(self):
        dice = self.dice
        method = self.pick(METHODS, ODD_METHODS, 0.04)
        framing, body = self.framing(method)
        fields = [("Host", self.host if not self.odd(0.05) else dice.choice(
            [self.host + ":443", self.host.upper(), self.host + ".", "", self.host + ":", "a b", self.host + "/", "u@" + self.host, "[::1]", "127.0.0.1"]))]
        for _ in range(dice.randrange(4)):
            fields.append((self.pick(NAMES, ODD_NAMES, 0.08), self.pick(VALUES, ODD_VALUES, 0.04)))
        for f in framing + self.fields:
            fields.insert(dice.randrange(len(fields) + 1), f)
        if self.odd(0.02):
            fields.insert(dice.randrange(len(fields) + 1), dice.choice(
                [("Host", self.host), ("Connection", "close"), ("Connection", "x-a, x-b"), ("Connection", "content-length")]))
        space = " " if not self.odd(0.01) else dice.choice(["  ", "\t", "\x0c"])
        start = f"{method}{space}{self.target()} {dice.choice(VERSIONS)}" + \
            (dice.choice(ENDS) if self.odd(0.05) else "\r\n")
        head = start + "".join(self.line(n, v) for n, v in fields) + ("\r\n" if not self.odd(0.01) else dice.choice(["\n", "\r\n\r\n"]))
        return self.damage(head.encode("latin-1") + body)

    def damage(self, text):
        """Now and then a byte that somebody might take for something else."""
        dice = self.dice
        if not self.odd(0.1):
            return text
        at, byte = dice.randrange(len(text)), dice.choice([b"\0", b"\r", b"\n", b" ", b"\t", b":", b",", b";", b"\x0b", b"\x85",
                                                           b"\xa0", b"\xff", b"%", b"0", b"\r\n", b"_", b"-", b"a"])
        how = dice.randrange(3)
        return text[:at] + (byte if how < 2 else b"") + text[at + (how > 0):]


def variants(seed, count, **made_for):
    """One to three requests in a row, each time."""
    maker = Maker(seed, **made_for)
    for _ in range(count):
        yield b"".join(maker.request() for _ in range(maker.dice.choice([1, 1, 1, 2, 3])))
