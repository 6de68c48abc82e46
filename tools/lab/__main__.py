"""The quick start's second half: tools/quickstart installs and builds, then runs this."""
import argparse
import sys
import time

from . import lab as lab_module
from . import scenarios


def main():
    parser = argparse.ArgumentParser(prog="quickstart")
    parser.add_argument("--driver", default="af_packet", choices=["af_packet", "af_xdp", "tap"])
    parser.add_argument("--build")
    parser.add_argument("--only")
    args = parser.parse_args()
    bad = 0
    with lab_module.Lab(driver=args.driver, build=args.build, progress=lambda t: print("--", t, flush=True)) as lab:
        for title, function in scenarios.SCENARIOS:
            if function is scenarios.full_disk or (args.only and args.only not in function.__name__):
                continue
            try:
                print("ok  ", title, "--", function(lab), flush=True)
            except Exception as e:
                bad += 1
                print("FAIL", title, "--", repr(e)[:600], flush=True)
        print(lab.log_tail())
    return 1 if bad else 0


sys.exit(main())
