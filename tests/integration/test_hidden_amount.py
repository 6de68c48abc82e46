"""Ways to hide a large amount from the rules. Whatever a caller tries, a call is allowed only if every server that
could get it would read a small amount; else it is blocked, recorded, and the vendor sees nothing of it.

Each is sent to two functions, of which one is written `block when body.amount > 50000` beside an allow, and the other
`allow when body.amount <= 50000`."""
import base64
import ctypes
import gzip
import hashlib
import json
import subprocess
import time
import zlib

import pytest

from lab.scenarios import expect, wait_for

RULES = """
rules:
  - {id: 5000, name: Payouts, on: payments.hidden.block, then: allow}
  - {id: 5001, name: No large payouts, on: payments.hidden.block, when: body.amount > 50000, then: block}
  - {id: 5002, name: Small payouts, on: payments.hidden.limit, when: body.amount <= 50000, then: allow}
"""
FUNCTIONS = ("      hidden.block: POST /v1/hidden/block\n"
             "      hidden.limit: POST /v1/hidden/limit\n")

# Sends each request on a connection of its own, in the pieces given, and prints what came back.
CALLER = """
import base64, json, socket, ssl, sys, time
spec = json.load(sys.stdin)
context = ssl.create_default_context(cafile=spec["ca"])
answers = []
for pieces in spec["requests"]:
    s = context.wrap_socket(socket.create_connection((spec["host"], 443), timeout=15), server_hostname=spec["host"])
    s.settimeout(10)
    out = b""
    try:
        for piece in pieces:
            s.sendall(base64.b64decode(piece))
            time.sleep(0.02 if len(pieces) > 1 else 0)
        while part := s.recv(65536):
            out += part
    except (socket.timeout, ssl.SSLError, ConnectionError):
        pass
    s.close()
    answers.append(out.decode("latin-1"))
json.dump(answers, sys.stdout)
"""

# ------------------------------------------------------------------------------------------------------ bodies

def brotli(data):
    library, size = ctypes.CDLL("libbrotlienc.so.1"), ctypes.c_size_t(len(data) + 4096)
    out = ctypes.create_string_buffer(size.value)
    assert library.BrotliEncoderCompress(5, 22, 0, ctypes.c_size_t(len(data)), data, ctypes.byref(size), out)
    return out.raw[:size.value]


def zstd(data):
    library, cap = ctypes.CDLL("libzstd.so.1"), len(data) + 4096
    library.ZSTD_compress.restype = ctypes.c_size_t
    out = ctypes.create_string_buffer(cap)
    size = library.ZSTD_compress(out, ctypes.c_size_t(cap), data, ctypes.c_size_t(len(data)), 3)
    return out.raw[:size]


ENCODERS = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli, "zstd": zstd}


def part(name, value, *fields, extra=""):
    return "\r\n".join([f'Content-Disposition: form-data; name="{name}"{extra}', *fields, "", value])


def multipart(*parts, boundary="B0undary"):
    return "".join(f"--{boundary}\r\n{p}\r\n" for p in parts) + f"--{boundary}--\r\n"


class Case:
    def __init__(self, name, body, kind="application/json", *fields, says=None, query="", frame=None, pieces=None):
        self.name, self.says, self.query = name, says, query
        self.body = body if isinstance(body, bytes) else body.encode()
        self.fields = ([f"Content-Type: {kind}"] if kind else []) + list(fields)
        self.frame, self.pieces = frame, pieces

    def request(self, function, token):
        frame = self.frame or f"Content-Length: {len(self.body)}"
        target = f"/v1/hidden/{function}?case={self.name}{self.query}"
        head = "\r\n".join([f"POST {target} HTTP/1.1", "Host: api.payments.test", f"Authorization: Bearer {token}",
                            "Connection: close", *self.fields, frame, "", ""]).encode()
        return [head + self.body] if self.pieces is None else [head, *self.pieces]


FORM, MULTI = "application/x-www-form-urlencoded", "multipart/form-data; boundary=B0undary"
LARGE = '{"amount": 60000}'
BOMB = LARGE[:-1] + ", " + " " * (8 << 20) + '"x": 1}'
DENSE = LARGE[:-1] + ", " + " " * 500000 + '"x": 1}'  # within the size, not within the ratio


def chunked(*chunks):
    return b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"


SMALL = [
    Case("json", '{"amount": 400}'),
    Case("json-at-the-limit", '{"amount": 50000.000}'),
    Case("json-exponent", '{"amount": 4e2}'),
    Case("json-charset", '{"amount": 400}', "application/json; charset=utf-8"),
    Case("json-deep-decoy", '{"inner": {"amount": 90000}, "amount": 400}'),
    Case("json-vendor-type", '{"amount": 400}', "application/vnd.payments+json"),
    Case("form", "amount=400&currency=usd", FORM),
    Case("form-escaped", "%61mount=%34%30%30", FORM),
    Case("multipart", multipart(part("currency", "usd"), part("amount", "400")), MULTI),
    Case("multipart-with-a-file", multipart(part("amount", "400"),
                                            part("doc", "60000", "Content-Type: text/plain",
                                                 extra='; filename="amount.txt"')), MULTI),
    Case("chunked", b"", "application/json", frame="Transfer-Encoding: chunked",
         pieces=[chunked(b'{"amo', b'unt": 4', b"00}")]),
    *[Case(f"{coding}-{kind}", encode(body.encode()), content, f"Content-Encoding: {coding}")
      for coding, encode in ENCODERS.items()
      for kind, content, body in (("json", "application/json", '{"amount": 400}'),
                                  ("form", FORM, "amount=400"),
                                  ("multipart", MULTI, multipart(part("amount", "400"))))],
    Case("twice-coded", brotli(gzip.compress(b'{"amount": 400}')), "application/json", "Content-Encoding: gzip, br"),
]

# `large`: the amount is read, and is too large. `unknown`: it cannot be read in exactly one way.
HIDDEN = {
    "large": [
        Case("plain", LARGE),
        Case("just-over", '{"amount": 50000.0000000000000000000000000000000000000001}'),
        Case("escaped-key", '{"\\u0061mount": 60000}'),
        Case("escaped-key-whole", '{"' + "".join("\\u%04x" % ord(c) for c in "amount") + '": 60000}'),
        Case("huge", '{"amount": 1%s}' % ("0" * 5000)),
        Case("exponent", '{"amount": 6e4}'),
        Case("exponent-signed", '{"amount": 6E+4}'),
        Case("exponent-huge", '{"amount": 5e4000}'),
        Case("exponent-beyond-64-bits", '{"amount": 1e99999999999999999999}'),
        Case("many-decimals", '{"amount": 60000.%s}' % ("0" * 3000)),
        Case("fraction-and-exponent", '{"amount": 0.0006e8}'),
        Case("white-space", '\r\n\t {\t"amount"\r\n:\t60000 }\r\n'),
        Case("after-much-else", '{%s "amount": 60000}' % "".join(f'"k{i}": {i}, ' for i in range(5000))),
        Case("form", "amount=60000", FORM),
        Case("form-escaped", "%61%6dount=%36%30000", FORM),
        Case("form-exponent", "amount=6e4", FORM),
        Case("form-decoy", "inner[amount]=1&amount=60000&x[]=1", FORM),
        Case("multipart", multipart(part("amount", "60000")), MULTI),
        Case("multipart-unquoted", multipart("content-disposition:form-data;name=amount\r\n\r\n60000"), MULTI),
        Case("multipart-last", multipart(*[part(f"p{i}", "1") for i in range(500)], part("amount", "60000")), MULTI),
        Case("chunked-across", b"", "application/json", frame="Transfer-Encoding: chunked",
             pieces=[b"7\r\n{\"amoun\r\n", b"6\r\nt\": 60\r\n", b"4;x=y\r\n000}\r\n", b"0\r\n\r\n"]),
        *[Case(f"{coding}", encode(LARGE.encode()), "application/json", f"Content-Encoding: {coding}")
          for coding, encode in ENCODERS.items()],
        Case("gzip-form", gzip.compress(b"amount=60000"), FORM, "Content-Encoding: x-gzip"),
        Case("gzip-multipart", gzip.compress(multipart(part("amount", "60000")).encode()), MULTI,
             "Content-Encoding: GZIP"),
        Case("twice-coded", zstd(gzip.compress(LARGE.encode())), "application/json", "Content-Encoding: gzip, zstd"),
        Case("coding-identity", LARGE, "application/json", "Content-Encoding: identity"),
    ],
    "unknown": [
        # another value, or none
        Case("missing", '{"total": 60000}'),
        Case("no-body", ""),
        Case("nothing-at-all", "", None),
        Case("string", '{"amount": "60000"}'),
        Case("string-of-a-small-one", '{"amount": "1"}'),
        Case("null", '{"amount": null}'),
        Case("true", '{"amount": true}'),
        Case("array", '{"amount": [60000]}'),
        Case("array-of-a-small-one", '{"amount": [1]}'),
        Case("object", '{"amount": {"value": 60000}}'),
        Case("nested", '{"payment": {"amount": 60000}}'),
        Case("in-an-array", '[{"amount": 60000}]'),
        Case("in-the-query", "{}", query="&amount=60000"),
        # twice, or as two things
        Case("twice", '{"amount": 1, "amount": 60000}'),
        Case("twice-large-first", '{"amount": 60000, "amount": 1}'),
        Case("twice-escaped", '{"amount": 1, "\\u0061mount": 60000}'),
        Case("twice-the-same", '{"amount": 1, "amount": 1}'),
        Case("other-case", '{"Amount": 60000}'),
        Case("other-case-beside", '{"amount": 1, "AMOUNT": 60000}'),
        Case("look-alike-space", '{"amount": 1, "amount ": 60000}'),
        Case("look-alike-underscore", '{"amount": 1, "_amount": 60000}'),
        Case("look-alike-nul", '{"amount": 1, "amount\\u0000x": 60000}'),
        Case("look-alike-kelvin-free", '{"amount": 1, "a.mount": 60000}'),
        # no JSON
        Case("cut", '{"amount": 1'),
        Case("cut-key", '{"amount": 1, "amount'),
        Case("garbage-behind", '{"amount": 1} {"amount": 60000}'),
        Case("a-comma-behind", '{"amount": 1,}'),
        Case("comment", '{"amount": 1 /* {"amount": 60000} */}'),
        Case("comment-line", '{"amount": 1} // 60000'),
        Case("single-quotes", "{'amount': 60000}"),
        Case("no-quotes", "{amount: 60000}"),
        Case("nan", '{"amount": NaN}'),
        Case("infinity", '{"amount": Infinity}'),
        Case("minus-infinity", '{"amount": -Infinity}'),
        Case("leading-zero", '{"amount": 060000}'),
        Case("leading-plus", '{"amount": +60000}'),
        Case("hexadecimal", '{"amount": 0xEA60}'),
        Case("underscores", '{"amount": 60_000}'),
        Case("bare-point", '{"amount": 60000.}'),
        Case("nul-before", b'\0{"amount": 1}'),
        Case("nul-behind", b'{"amount": 1}\0{"amount": 60000}'),
        Case("nul-in-the-number", b'{"amount": 1\0 60000}'),
        Case("control-in-a-string", b'{"amount": 1, "x": "\n"}'),
        Case("form-feed", b'{"amount":\x0c1}'),
        Case("not-utf8", b'{"amount": 1, "x": "\xff"}'),
        Case("surrogate-bytes", b'{"amount": 1, "x": "\xed\xa0\x80"}'),
        Case("deep", '{"amount": 1, "x": ' + "[" * 100 + "]" * 100 + "}"),
        # another charset or type than is said
        Case("bom", b'\xef\xbb\xbf{"amount": 1}'),
        Case("utf16-le", LARGE.encode("utf-16-le")),
        Case("utf16-be", LARGE.encode("utf-16-be")),
        Case("utf16-said", LARGE.encode("utf-16"), "application/json; charset=utf-16", says="type"),
        Case("charset-odd", '{"amount": 1}', "application/json; charset=utf-7", says="type"),
        Case("charset-twice", '{"amount": 1}', "application/json; charset=utf-8; charset=utf-7", says="type"),
        Case("type-wrong", LARGE, "text/plain"),
        Case("type-missing", LARGE, None),
        Case("type-form-for-json", LARGE, FORM),
        Case("type-json-for-form", "amount=60000"),
        Case("type-list", '{"amount": 1}', f"application/json, {FORM}"),
        # forms
        Case("form-twice", "amount=1&amount=60000", FORM),
        Case("form-brackets", "amount[]=60000", FORM),
        Case("form-brackets-beside", "amount=1&amount[]=60000", FORM),
        Case("form-nested-beside", "amount=1&amount[value]=60000", FORM),
        Case("form-nul", "amount=1&amount%00=60000", FORM),
        Case("form-plus", "amount=1&+amount=60000", FORM),
        Case("form-plus-value", "amount=+60000", FORM),
        Case("form-semicolon", "amount=1;amount=60000", FORM),
        Case("form-case", "amount=1&AMOUNT=60000", FORM),
        Case("form-bad-escape", "amount=1&x=%zz", FORM),
        Case("form-empty", "amount=", FORM),
        Case("form-thousands", "amount=60,000", FORM),
        # multipart
        Case("multipart-twice", multipart(part("amount", "1"), part("amount", "60000")), MULTI),
        Case("multipart-case", multipart(part("amount", "1"), part("Amount", "60000")), MULTI),
        Case("multipart-file", multipart(part("amount", "60000", extra='; filename="a"')), MULTI),
        Case("multipart-file-beside", multipart(part("amount", "1"), part("amount", "60000", extra='; filename="a"')),
             MULTI),
        Case("multipart-file-without-name", multipart(part("amount", "1", extra='; filename=""')), MULTI),
        Case("multipart-name-twice", multipart(part("x", "60000", extra='; name="amount"'), part("amount", "1")), MULTI),
        Case("multipart-name-star", multipart(part("amount", "1", extra="; name*=utf-8''x")), MULTI),
        Case("multipart-backslash", multipart(part('amou\\nt', "60000"), part("amount", "1")), MULTI),
        Case("multipart-preamble", "amount=60000\r\n" + multipart(part("amount", "1")), MULTI),
        Case("multipart-epilogue", multipart(part("amount", "1")) + multipart(part("amount", "60000")), MULTI),
        Case("multipart-bare-lf", multipart(part("amount", "1")).replace("\r\n", "\n"), MULTI),
        Case("multipart-inner-lf", multipart(part("x", "1\n--B0undary\nContent-Disposition: form-data; name=\"amount\""
                                                  "\n\n60000\n"), part("amount", "1")), MULTI),
        Case("multipart-folded", multipart('Content-Disposition: form-data;\r\n name="amount"\r\n\r\n1'), MULTI),
        Case("multipart-two-dispositions", multipart('Content-Disposition: form-data; name="x"\r\n' +
                                                     part("amount", "1")), MULTI),
        Case("multipart-base64", multipart(part("amount", "NjAwMDA=", "Content-Transfer-Encoding: base64"),), MULTI),
        Case("multipart-charset", multipart(part("amount", "1", "Content-Type: text/plain; charset=utf-16")), MULTI),
        Case("multipart-charset-part", multipart(part("_charset_", "utf-16"), part("amount", "1")), MULTI),
        Case("multipart-nested", multipart(part("amount", "1", "Content-Type: multipart/mixed; boundary=C")), MULTI),
        Case("multipart-json", multipart(part("amount", "60000", "Content-Type: application/json")), MULTI),
        Case("multipart-json-object", multipart(part("payment", LARGE, "Content-Type: application/json")), MULTI),
        Case("multipart-unended", multipart(part("amount", "1"))[:-4], MULTI),
        Case("boundary-second", multipart(part("amount", "1")), MULTI + "; boundary=C"),
        Case("boundary-other", multipart(part("amount", "1")), "multipart/form-data; boundary=C", says="malformed"),
        Case("boundary-missing", multipart(part("amount", "1")), "multipart/form-data"),
        Case("boundary-prefix", multipart(part("amount", "1")), "multipart/form-data; boundary=B0undar", says="malformed"),
        Case("multipart-mixed", multipart(part("amount", "1")), "multipart/mixed; boundary=B0undary"),
        # sizes and codings
        Case("over-the-cap", '{"amount": 1, "x": "%s"}' % ("x" * (1 << 20)), says="too_large"),
        Case("over-the-cap-chunked", b"", "application/json", frame="Transfer-Encoding: chunked",
             pieces=[chunked(b'{"amount": 1, "x": "' + b"x" * (1 << 20), b'"}')], says="too_large"),
        *[Case(f"{coding}-bomb", encode(BOMB.encode()), "application/json", f"Content-Encoding: {coding}",
               says=None) for coding, encode in ENCODERS.items()],
        *[Case(f"{coding}-dense", encode(DENSE.encode()), "application/json", f"Content-Encoding: {coding}",
               says="ratio") for coding, encode in ENCODERS.items()],
        *[Case(f"{coding}-cut", encode(b'{"amount": 1}')[:-1], "application/json", f"Content-Encoding: {coding}",
               says="coded_short") for coding, encode in ENCODERS.items()],
        *[Case(f"{coding}-and-more", encode(b'{"amount": 1}') + b"\0", "application/json",
               f"Content-Encoding: {coding}", says="coded_trailing") for coding, encode in ENCODERS.items()],
        *[Case(f"{coding}-bad", b"\x00" + encode(b'{"amount": 1}')[1:], "application/json",
               f"Content-Encoding: {coding}") for coding, encode in ENCODERS.items()],
        *[Case(f"{coding}-lie", '{"amount": 1}', "application/json", f"Content-Encoding: {coding}",
               says="coded_bad") for coding in ENCODERS],
        Case("gzip-two-members", gzip.compress(b'{"amount": 1}') + gzip.compress(b"  "), "application/json",
             "Content-Encoding: gzip", says="coded_members"),
        Case("gzip-checksum", gzip.compress(b'{"amount": 1}')[:-8] + bytes(8), "application/json",
             "Content-Encoding: gzip", says="coded_bad"),
        Case("gzip-not-said", gzip.compress(LARGE.encode())),
        Case("gzip-twice-said-once", gzip.compress(gzip.compress(LARGE.encode())), "application/json",
             "Content-Encoding: gzip"),
        Case("gzip-once-said-twice", gzip.compress(b'{"amount": 1}'), "application/json",
             "Content-Encoding: gzip, gzip", says="coded_bad"),
        Case("gzip-nothing", b"", "application/json", "Content-Encoding: gzip", says="coded_short"),
        Case("deflate-raw", zlib.compress(b'{"amount": 1}')[2:-4], "application/json", "Content-Encoding: deflate",
             says="coded_bad"),
        Case("gzip-called-deflate", gzip.compress(b'{"amount": 1}'), "application/json", "Content-Encoding: deflate",
             says="coded_bad"),
        Case("coding-unknown", '{"amount": 1}', "application/json", "Content-Encoding: compress", says="encoding"),
        Case("coding-made-up", '{"amount": 1}', "application/json", "Content-Encoding: none", says="encoding"),
        Case("coding-identity-and-gzip", gzip.compress(b'{"amount": 1}'), "application/json",
             "Content-Encoding: identity, gzip", says="encoding"),
        Case("codings-three", gzip.compress(b'{"amount": 1}'), "application/json",
             "Content-Encoding: gzip, gzip, gzip", says="encoding"),
        Case("codings-two-fields", gzip.compress(b'{"amount": 1}'), "application/json", "Content-Encoding: identity",
             "Content-Encoding: gzip", says="encoding"),
        Case("coding-empty", '{"amount": 1}', "application/json", "Content-Encoding: ", says="encoding"),
    ],
    # HTTP itself is malformed: nobody looks for an amount.
    "refused": [
        Case("types-two", '{"amount": 1}', "application/json", f"Content-Type: {FORM}"),
        Case("types-two-equal", '{"amount": 1}', "application/json", "Content-Type: application/json"),
        Case("length-and-chunks", b'{"amount": 1}', "application/json", "Transfer-Encoding: chunked"),
        Case("lengths-two", b'{"amount": 1}', "application/json", "Content-Length: 17"),
        Case("type-folded", b'{"amount": 1}', "application/json;\r\n charset=utf-16"),
        Case("chunk-too-short", b"", "application/json", frame="Transfer-Encoding: chunked",
             pieces=[b"7\r\n{\"amount\": 60000}\r\n0\r\n\r\n"]),
    ],
}
NEGATIVE = Case("negative", '{"amount": -60000}')  # small, as it is written: a rule for those is another rule

# -------------------------------------------------------------------------------------------------------- sending

def send(lab, requests):
    spec = {"ca": lab.path("ca.pem"), "host": "api.payments.test",
            "requests": [[base64.b64encode(p).decode() for p in pieces] for pieces in requests]}
    done = subprocess.run(["ip", "netns", "exec", lab.caller, "/usr/bin/python3", "-c", CALLER],
                          input=json.dumps(spec), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def case_of(record):
    return record.get("target", "").split("case=")[-1].split("&")[0]


def try_all(lab, cases):
    """For each case and function: status, our answer's JSON (None: the vendor's), the record of the decision."""
    token, since = lab.token(), len(lab.audit("--kind", "call.decided"))
    both = [(c, f) for c in cases for f in ("block", "limit")]
    answers = send(lab, [c.request(f, token) for c, f in both])
    records = {(case_of(r), r.get("function")): r for r in lab.audit("--kind", "call.decided")[since:]}
    for (case, function), answer in zip(both, answers):
        head, _, body = answer.partition("\r\n\r\n")
        assert head.startswith("HTTP/1.1 "), f"{case.name} to {function}: no answer"
        record = records.get((case.name, f"payments.hidden.{function}"))
        assert record or head[9:12] == "400", f"{case.name} to {function}: no record"
        yield case, function, int(head[9:12]), body, record


@pytest.fixture(scope="module", autouse=True)
def rules(lab):
    path = lab.path("rules", "payments.yaml")
    with open(path) as f:
        text = f.read()
    anchor = "      refund.create: POST /v1/refunds\n"
    assert anchor in text
    with open(path, "w") as f:
        f.write(text.replace(anchor, anchor + FUNCTIONS))
    with open(lab.path("rules", "hidden.yaml"), "w") as f:
        f.write(RULES)
    lab.ctl("rules", "reload")


# ---------------------------------------------------------------------------------------------------------- tests

def test_small_amounts_pass(lab):
    before = len(lab.vendor_log())
    for case, function, status, body, record in try_all(lab, [*SMALL, NEGATIVE]):
        what = f"{case.name} to {function}"
        expect(what, 200, status, body)
        expect(f"decision on {what}", "allow", record["decision"], record)
    expect("calls that the vendor saw", before + 2 * (len(SMALL) + 1), len(lab.vendor_log()))


@pytest.mark.parametrize("kind", HIDDEN)
def test_what_is_hidden_is_blocked(lab, kind):
    before, packets = len(lab.vendor_log()), lab.vendor_packets()
    recorded = len(lab.audit("--kind", "call.decided"))
    names = [c.name for c in HIDDEN[kind]]
    assert len(names) == len(set(names)), sorted(n for n in names if names.count(n) > 1)
    wrong = []
    for case, function, status, body, record in try_all(lab, HIDDEN[kind]):
        if kind == "refused":
            if status != 400 or (record and record["decision"] != "block"):
                wrong.append(f"{case.name} to {function}: expected 400, got {status} {body}; {record}")
            continue
        cause = {"block": "blocked_by_rule", "limit": "no_rule_allows"}[function]
        wanted = {"status": 403, "cause": cause, "decision": "block", "recorded cause": cause}
        got = {"status": status, "cause": json.loads(body)["turnpike"]["cause"] if status == 403 else body,
               "decision": record["decision"], "recorded cause": record["cause"]}
        if function == "block":
            wanted |= {"rule": 5001, "unknown": kind == "unknown"}
            got |= {"rule": record.get("rule"), "unknown": record.get("unknown", 0) == 1}
        if case.says:
            wanted["problem"], got["problem"] = case.says, record.get("body_problem")
        if wanted != got:
            wrong.append(f"{case.name} to {function}: expected {wanted}, got {got}; {record}")
    assert not wrong, "\n".join(wrong)
    expect("calls that the vendor saw", before, len(lab.vendor_log()))
    expect("packets that the vendor saw", packets, lab.vendor_packets())
    blocks = [r for r in lab.audit("--kind", "call.decided")[recorded:] if r["decision"] == "block"]
    expect("blocks that were recorded", 2 * len(HIDDEN[kind]), len(blocks))


def test_forty_ways_and_more():
    assert len(HIDDEN["large"]) + len(HIDDEN["unknown"]) >= 40


def test_bombs_are_cheap(lab):
    """A bomb costs no more than the largest good body, and not another caller's time."""
    cases = [c for c in HIDDEN["unknown"] if c.name.endswith(("-bomb", "-dense"))]
    began = time.time()
    send(lab, [c.request("block", lab.token()) for c in cases for _ in range(5)])
    assert time.time() - began < 20, f"{5 * len(cases)} bombs took {time.time() - began:.1f} s"


@pytest.mark.parametrize("coding", ENCODERS)
def test_sent_as_it_came_and_recorded_in_clear(lab, coding):
    """What is forwarded are the caller's bytes; what is kept of them is their text, masked."""
    text = json.dumps({"amount": 400, "card": "4242424242424242", "pad": "x" * 300}).encode()
    body = ENCODERS[coding](text)
    path = lab.path("coded")
    with open(path, "wb") as f:
        f.write(body)
    a = lab.curl("https://api.payments.test/v1/files", "-H", "Content-Type: application/json", "-H",
                 f"Content-Encoding: {coding}", "--data-binary", f"@{path}")
    expect("status", 200, a.status, a)
    expect("what the vendor got", {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}, a.json)
    record = lab.audit("--kind", "call.decided")[-1]
    expect("size", len(body), record["body_size"], record)
    expect("size decoded", len(text), record["body_decoded"], record)
    expect("hash", hashlib.sha256(body).hexdigest(), record["body_sha256"], record)
    expect("card", "************4242", json.loads(record["body"])["card"], record)


def test_what_cannot_be_unpacked_is_not_kept(lab):
    a = lab.curl("https://api.payments.test/v1/files", "-H", "Content-Type: application/json", "-H",
                 "Content-Encoding: compress", "--data-binary", '{"card": "4242424242424242"}')
    expect("status", 200, a.status, a)
    record = lab.audit("--kind", "call.decided")[-1]
    expect("body", None, record.get("body"), record)
    expect("problem", "encoding", record["body_problem"], record)
    assert "4242424242424242" not in json.dumps(record)


def test_held_in_clear(lab):
    """A reviewer sees the text of a coded call; one that cannot be unpacked cannot be approved."""
    path = lab.path("coded")
    with open(path, "wb") as f:
        f.write(gzip.compress(b'{"amount": 7, "card": "4242424242424242"}'))
    args = ["ip", "netns", "exec", lab.caller, "curl", "-sS", "--cacert", lab.path("ca.pem"), "-H",
            f"Authorization: Bearer {lab.token()}", "-H", "Content-Type: application/json", "-H",
            "Content-Encoding: gzip", "--data-binary", f"@{path}", "https://api.payments.test/v1/refunds"]
    call = subprocess.Popen(args, stdout=subprocess.PIPE)
    try:
        held = wait_for("a held call", lambda: lab.ctl_json("holds", "list")["holds"])[0]
        shown = lab.ctl("holds", "show", held["id"]).stdout
        assert '{"amount": 7, "card": "************4242"}' in shown, shown
        lab.ctl("holds", "approve", held["id"])
        assert json.loads(call.communicate(timeout=10)[0])["ok"]
    finally:
        call.kill()
        call.wait()
    a = lab.curl("https://api.payments.test/v1/refunds", "-H", "Content-Type: application/json", "-H",
                 "Content-Encoding: gzip", "--data-binary", "{}")
    expect("status", 403, a.status, a)
    expect("cause", "body_cannot_be_shown", a.cause, a)
