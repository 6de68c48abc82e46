"""HTTP through the whole box: what works. What is malformed: test_hostile.py."""
import json
import subprocess
import time

from lab import lab as lab_module
from lab import scenarios
from lab.scenarios import API, SPECIAL, expect


class Raw:
    """A caller that sends exactly the bytes that it is told to."""

    def __init__(self, lab, host="api.payments.test"):
        self.script = (
            "import socket,ssl,sys,json\n"
            "spec=json.load(sys.stdin)\n"
            "c=ssl.create_default_context(cafile=spec['ca'])\n"
            "s=c.wrap_socket(socket.create_connection((spec['host'],443),timeout=15),"
            "server_hostname=spec['host'])\n"
            "s.settimeout(spec['timeout'])\n"
            "import time\n"
            "for piece in spec['pieces']:\n"
            "    s.sendall(piece.encode('latin-1'))\n"
            "    time.sleep(spec['pause'])\n"
            "out=b''\n"
            "try:\n"
            "    while True:\n"
            "        part=s.recv(65536)\n"
            "        if not part: break\n"
            "        out+=part\n"
            "except (socket.timeout, ssl.SSLError, ConnectionError) as e:\n"
            "    pass\n"
            "sys.stdout.buffer.write(out)\n")
        self.lab, self.host = lab, host

    def __call__(self, *pieces, pause=0.0, timeout=3):
        done = subprocess.run(
            ["ip", "netns", "exec", self.lab.caller, "/usr/bin/python3", "-c", self.script],
            input=json.dumps({"ca": self.lab.path("ca.pem"), "host": self.host, "pause": pause,
                              "timeout": timeout, "pieces": pieces}).encode(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode("latin-1")


def request(lab, line, *fields, body="", host="api.payments.test"):
    head = [line, f"Host: {host}", f"Authorization: Bearer {lab.token()}", *fields]
    return "\r\n".join(head) + "\r\n\r\n" + body


def statuses(text):
    return [int(part[:3]) for part in text.split("HTTP/1.1 ")[1:]]


def test_pipelined_requests_are_answered_in_order(lab):
    text = Raw(lab)(request(lab, "GET /v1/charges/1 HTTP/1.1") +
                    request(lab, "POST /v1/payouts HTTP/1.1", "Content-Length: 2", body="{}") +
                    request(lab, "GET /v1/charges/3 HTTP/1.1", "Connection: close"))
    assert statuses(text) == [200, 403, 200], text


def test_head_byte_by_byte(lab):
    whole = request(lab, "GET /v1/charges/1 HTTP/1.1", "Connection: close")
    text = Raw(lab)(*whole, pause=0.0005)
    assert statuses(text) == [200], text


def test_chunked_request_is_judged_whole(lab):
    chunks = ["8\r\n{\"amount\r\n", "9;ext=1\r\n\": 5000, \r\n", "c\r\n\"note\": \"x\"}\r\n",
              "0\r\nX-Trailer: y\r\n\r\n"]
    text = Raw(lab)(request(lab, "POST /v1/transfers HTTP/1.1", "Transfer-Encoding: chunked",
                            "Content-Type: application/json", "Connection: close"), *chunks,
                    pause=0.05)
    assert statuses(text) == [200], text


def test_expect_continue(lab):
    a = lab.curl(f"{API}/v1/transfers", "-H", "Content-Type: application/json", "-H",
                 "Expect: 100-continue", "-d", json.dumps({"amount": 1, "pad": "x" * 5000}))
    expect("status", 200, a.status, a)


def test_head_method(lab):
    a = lab.curl(f"{SPECIAL}/v1/special/head", "-I")
    expect("status", 200, a.status, a)
    assert "content-length" in a.fields, a


def test_answer_until_close(lab):
    a = lab.curl(f"{SPECIAL}/v1/special/until-close")
    expect("status", 200, a.status, a)
    expect("body", "bye", a.body, a)


def test_truncated_answer_is_not_completed(lab):
    a = lab.curl(f"{SPECIAL}/v1/special/truncated")
    assert a.exit != 0, a
    settled = lab.audit("--kind", "call.settled")[-1]
    expect("outcome", "vendor_truncated", settled["outcome"], settled)


def test_garbage_from_the_vendor(lab):
    a = lab.curl(f"{SPECIAL}/v1/special/garbage")
    expect("status", 502, a.status, a)
    expect("cause", "bad_content_length", a.cause, a)


def test_encoded_answer_that_cannot_be_inspected(lab):
    a = lab.curl(f"{SPECIAL}/v1/special/encoded")
    expect("status", 502, a.status, a)
    expect("cause", "answer_encoded", a.cause, a)


def test_interim_answers(lab):
    a = lab.curl(f"{SPECIAL}/v1/special/interim")
    expect("status", 200, a.status, a)
    expect("body", {"final": True}, a.json, a)


def test_events_flow_as_they_come(lab):
    began = time.time()
    text = Raw(lab, "special.payments.test")(
        request(lab, "GET /v1/special/events HTTP/1.1", "Connection: close",
                host="special.payments.test"))
    assert statuses(text) == [200], text
    for i in range(5):
        assert 'data: {"n":%d}' % i in text
    assert time.time() - began < 5


def test_the_callers_accept_encoding_and_range_do_not_reach_the_vendor(lab):
    a = lab.curl(f"{SPECIAL}/v1/anything", "-H", "Accept-Encoding: gzip", "-H", "Range: bytes=0-3",
                 "-H", "Turnpike-Token: ", "-H", "X-Mine: 1", "-H", "Connection: X-Hop", "-H",
                 "X-Hop: 1")
    expect("status", 200, a.status, a)
    fields = lab.vendor_log("special")[-1]["fields"]
    expect("Accept-Encoding", "identity", fields.get("accept-encoding"), fields)
    for name in ("range", "x-hop", "turnpike-token", "te"):
        expect(name, None, fields.get(name), fields)
    expect("X-Mine", "1", fields.get("x-mine"), fields)
    expect("credential", f"Bearer {lab_module.SECRETS['special']}", fields["authorization"])


def test_what_was_judged_is_what_is_sent(lab):
    a = lab.curl(f"{SPECIAL}/v1/%61/./b/../c?x=%7e", "--path-as-is")
    expect("status", 200, a.status, a)
    expect("target", "/v1/a/c", lab.vendor_log("special")[-1]["target"].split("?")[0])


def test_method_override(lab):
    before = len(lab.vendor_log())
    a = lab.curl(f"{API}/v1/charges/1", "-H", "X-HTTP-Method-Override: DELETE")
    expect("status", 400, a.status, a)
    expect("cause", "method_override", a.cause, a)
    expect("vendor calls", before, len(lab.vendor_log()))


def test_garbage_instead_of_tls(lab):
    before = sum(lab.counters()["workers"][0]["tls"][k] for k in ("not_tls", "bad_record", "protocol"))
    lab.sh(lab.caller, "/usr/bin/python3 -c \"import socket; s = socket.create_connection(("
                       "'10.20.0.10', 443), 5); s.sendall(b'\\x00' * 100); print(s.recv(100))\"",
           check=False)
    after = sum(lab.counters()["workers"][0]["tls"][k] for k in ("not_tls", "bad_record", "protocol"))
    assert after > before


def test_body_that_is_too_large_to_inspect(lab):
    """Conditions on it are unknown: not one of the transfer rules allows it."""
    before = len(lab.vendor_log())
    a = lab.curl(f"{API}/v1/transfers", "-H", "Content-Type: application/json", "-d",
                 '{"amount": 1, "pad": "%s"}' % ("x" * 100000))
    expect("status of one that is inspected", 200, a.status, a)
    path = lab.path("huge.json")
    with open(path, "w") as f:
        f.write('{"amount": 1, "pad": "' + "x" * (3 << 20) + '"}')
    a = lab.curl(f"{API}/v1/transfers", "-H", "Content-Type: application/json", "-T", path, "-X",
                 "POST")
    expect("status", 403, a.status, a)
    expect("vendor calls", before + 1, len(lab.vendor_log()))
    record = lab.audit("--kind", "call.decided")[-1]
    expect("problem", "too_large", record["body_problem"], record)


def test_one_vendor_connection_serves_many_calls(lab):
    before = {r["connection"] for r in lab.vendor_log()}
    for _ in range(10):
        expect("status", 200, lab.curl(f"{API}/v1/charges/ch_1").status)
    new = {r["connection"] for r in lab.vendor_log()} - before
    assert len(new) <= 1, new
