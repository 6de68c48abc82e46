"""The rules under which speed is measured: the lab's own and, beside them, the whole shipped example (rules/example)."""
import os
import re
import shutil

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLE = os.path.join(os.path.dirname(os.path.dirname(HERE)), "rules", "example")


def merged_rules(directory):
    """Writes both sets into `directory` (made if it is not there). The example's keys stand in example-jwks.json; the
    lab's jwks.json is the caller's to write. Returns the secrets that the example's connections name and the vault must
    have: (secret, connection) pairs."""
    os.makedirs(directory, exist_ok=True)
    lab = os.path.join(HERE, "rules")
    for name in sorted(os.listdir(lab)):
        shutil.copy(os.path.join(lab, name), os.path.join(directory, name))
    shutil.copy(os.path.join(EXAMPLE, "jwks.json"), os.path.join(directory, "example-jwks.json"))
    secrets = []
    for name in sorted(os.listdir(EXAMPLE)):
        if not name.endswith(".yaml"):
            continue
        with open(os.path.join(EXAMPLE, name)) as f:
            text = f.read().replace("file: jwks.json", "file: example-jwks.json")
        with open(os.path.join(directory, f"example-{name}"), "w") as f:
            f.write(text)
        secrets += _secrets(text)
    return secrets


def _secrets(text):
    """A connection's name stands on a line of its own, its credential on one below it."""
    connection, out = None, []
    for line in text.splitlines():
        if m := re.fullmatch(r"  ([\w-]+):", line):
            connection = m[1]
        elif m := re.match(r"    credential: \{secret: ([\w-]+)", line):
            out.append((m[1], connection))
    return out


def patterns(directory):
    """The patterns of the detectors that the rules files in `directory` define."""
    out = []
    for name in sorted(os.listdir(directory)):
        if name.endswith(".yaml"):
            with open(os.path.join(directory, name)) as f:
                out += re.findall(r"pattern: '([^']+)'", f.read())
    return out
