"""The quick start: builds the lab, runs the scenarios, prints a line for each and what it cost."""
import argparse
import contextlib
import os
import re
import signal
import sys
import tempfile
import time

from . import lab as lab_module
from . import scenarios

STORY = """
What you have seen: a caller in its own namespace used curl with the real vendor's URL and a CI token
where the vendor's key used to be. turnpike took its TLS with a certificate minted on the spot, knew the
caller by the token, named each call as a function of the vendor, decided by the rules, wrote the decision
to disk, and only then spoke to the vendor - with a key that the caller never had.
Where to look next: README.md, rules/README.md, tools/lab/rules/payments.yaml (the rules of this run).
"""


def colour(code, text):
    return f"\033[{code}m{text}\033[0m" if sys.stdout.isatty() else text


def say(text):
    print(colour("2", f"-- {text}"), flush=True)


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def run(self, lab, title, function):
        began = time.time()
        try:
            story = function(lab)
        except Exception as error:  # a scenario that breaks in any way has failed
            self.failed += 1
            print(f"{colour('31', 'FAIL')} {title}\n     {type(error).__name__}: {error}", flush=True)
            return
        self.passed += 1
        print(f"{colour('32', 'ok')}   {title}\n     {story} ({time.time() - began:.1f} s)", flush=True)


def busy(lab):
    calls = [w["call"] for w in lab.counters()["workers"]]
    return sum(c["cycles_busy"] for c in calls), sum(c["settled"] for c in calls)


def measure(lab, seconds=5, connections=16):
    """Requests a second and cycles a request of a short wrk run; a string to print."""
    cycles, settled = busy(lab)
    done = lab.sh(lab.caller,
                  f"SSL_CERT_FILE={lab.path('ca.pem')} wrk -t1 -c{connections} -d{seconds}s "
                  f"-H 'Authorization: Bearer {lab.token()}' {scenarios.API}/v1/bench", timeout=60)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    bad = re.search(r"(Non-2xx.*|Socket errors.*)", done.stdout)
    after_cycles, after_settled = busy(lab)
    calls = after_settled - settled
    if not rate or not calls:
        raise AssertionError(done.stdout)
    return (f"{float(rate.group(1)):.0f} requests/s with {connections} connections, "
            f"{(after_cycles - cycles) / calls:.0f} busy cycles a request (1 KB answers, masks and strict audit "
            f"on, {lab.driver}; caller, vendor and turnpike share {os.cpu_count()} cores)"
            + (f"; {bad.group(1)}" if bad else ""))


def keep(lab):
    ca = lab.path("ca.pem")
    print(f"""
It goes on running. Try, in this shell:
  export TOKEN='{lab.token(ttl=86400)}'
  ip netns exec {lab.caller} curl --cacert {ca} -H "Authorization: Bearer $TOKEN" {scenarios.API}/v1/charges/ch_1
  ip netns exec {lab.caller} curl --cacert {ca} -H "Authorization: Bearer $TOKEN" {scenarios.SPECIAL}/v1/special/cards
  {lab.build}/tools/turnpikectl/turnpikectl status --socket {lab.socket}
  {lab.build}/tools/turnpikectl/turnpikectl audit tail --directory {lab.path('audit', 'store')}
Rules:  {lab.path('rules')}  (then: turnpikectl rules reload --socket {lab.socket})
Log:    {lab.path('turnpike.log')}
Press Enter or Ctrl-C to end it and clean up.""", flush=True)
    try:
        if sys.stdin.isatty():
            input()
        else:
            while True:
                time.sleep(3600)
    except (KeyboardInterrupt, EOFError):
        pass


@contextlib.contextmanager
def huge_pages(mib=512):
    """Reserved for as long as the lab stands; what was there before is put back."""
    setup = os.path.join(lab_module.ROOT, "drivers-config", "host-setup")
    with tempfile.TemporaryDirectory() as directory:
        env = {**os.environ, "TURNPIKE_HOST_STATE": os.path.join(directory, "state")}
        if lab_module.run(setup, "--hugepages", str(mib), check=False, env=env).returncode:
            say("no huge pages could be reserved: turnpike runs without")
        try:
            yield
        finally:
            lab_module.run(setup, "--undo", check=False, env=env)


def wanted(function, only):
    return only is None or only in function.__name__


def main():
    parser = argparse.ArgumentParser(prog="tools/quickstart")
    parser.add_argument("--driver", default="af_packet", choices=["af_packet", "af_xdp", "tap"])
    parser.add_argument("--build")
    parser.add_argument("--only")
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    with huge_pages():
        return show(args)


def show(args):
    report, began = Report(), time.time()
    chosen = [(t, f) for t, f in [*scenarios.SCENARIOS, ("a short load", measure)]
              if f is not scenarios.full_disk and wanted(f, args.only)]

    if chosen or args.keep:
        with lab_module.Lab(driver=args.driver, build=args.build, progress=say) as lab:
            for title, function in chosen:
                report.run(lab, title, function)
            if args.keep:
                keep(lab)
    if wanted(scenarios.full_disk, args.only):
        title = next(t for t, f in scenarios.SCENARIOS if f is scenarios.full_disk)
        say("a second lab, with its audit store on a file system of 12 MiB")
        with lab_module.Lab(driver=args.driver, build=args.build, audit_mib=12) as lab:
            report.run(lab, title, scenarios.full_disk)
    if not report.failed:
        print(STORY)
    print(f"{report.passed} passed, {report.failed} failed in {time.time() - began:.0f} s")
    return 1 if report.failed else 0


def end_in_order(number, frame):
    """So that the lab is taken down however the quick start is ended."""
    sys.exit(128 + number)


for ending in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(ending, end_in_order)
try:
    sys.exit(main())
except KeyboardInterrupt:
    sys.exit(130)
