#!/usr/bin/python3
"""rules/schema.json and the loader must think alike of rules files: what the loader takes the schema takes, and what the
loader refuses the schema refuses, but for what no schema can know. usage: schema.py TEST_RULES_LOAD SCHEMA DIRECTORY...

The files are those of test_load.c, with what the loader says of each, and the good ones of the directories."""
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

import jsonschema
import yaml

# What only the loader knows, by what it says; and why a schema cannot.
ONLY_THE_LOADER = {
    "names and paths that stand elsewhere in the files": [
        "`stripe.nope` is no function", "matches none", "no function", "no function of this rule", "no known detector",
        "ties with", "tells x.f too", "write both alike", "one of `account_headers`",
        "no path is left for `GET /a/**` of x.f beside `/a` of x.f", "and `/{a}/**`: the more specific one wins"],
    "the same thing twice, under other names or in other places": [
        "already taken", "listed twice", "is there twice", "same address", "one parameter twice",
        "durability"],
    "what a text says in a language of its own: conditions, patterns, addresses, dates, templates": [
        "write ==", "no name `amuont`", "only `claims`", "must give a string", "must give true or false",
        "must give a list", "is refused", "address or prefix", "bits set", "must be a date", "this is no placeholder",
        "written {{", "not in names", "in quotes: \"{message}\"", "application/json", "text/xml",
        "no answer of ours has this status", "looks for the request's id", "at most 16 levels"],
    "an amount with its unit": ["at most 16MiB", "at most 16KiB", "at most 15m", "at most 5m"],
    "field names without regard to case": ["may stand in", "says something else"],
}


class Loader(yaml.SafeLoader):
    """YAML 1.2, as libfyaml reads it: `on`, `off` and dates are texts."""


Loader.yaml_implicit_resolvers = {}
for tag, pattern, first in (("bool", r"true|false", "tf"), ("null", r"~|null|", ["~", "n", ""]),
                            ("int", r"[-+]?[0-9]+", "-+0123456789"),
                            ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789")):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"^(?:{pattern})$"), list(first))


def faults(validator, text):
    """What the schema says: None if it takes the file."""
    try:
        document = yaml.load(text, Loader)
    except yaml.YAMLError as e:
        return f"no YAML: {e}"
    error = jsonschema.exceptions.best_match(validator.iter_errors({} if document is None else document))
    return error and f"{'/'.join(map(str, error.absolute_path))}: {error.message}"[:200]


def main():
    program, schema, *directories = sys.argv[1:]
    with open(schema) as f:
        schema = json.load(f)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    wrong, used, total = [], set(), 0
    reasons = {says: why for why, all_of in ONLY_THE_LOADER.items() for says in all_of}
    with tempfile.TemporaryDirectory() as rows:
        subprocess.run([program, "--rows", rows], check=True, stdout=subprocess.DEVNULL)
        for name in sorted(glob.glob(f"{rows}/*.yaml"), key=lambda n: int(os.path.basename(n)[:-5])):
            with open(name) as f, open(name[:-5] + ".says") as g:
                text, says = f.read(), g.read()
            total += 1
            said = faults(validator, text)
            if not says and said:
                wrong.append(f"the loader takes it, the schema says {said}\n{text}")
            elif says and not said and says not in reasons:
                wrong.append(f"the schema takes it, the loader says {says!r}\n{text}")
            elif says and not said:
                used.add(says)
    for name in (n for d in directories for n in sorted(glob.glob(f"{d}/**/*.yaml", recursive=True))):
        if os.path.basename(os.path.dirname(name)) == "tests":
            continue  # calls for `rules test`, no rules
        with open(name) as f:
            said = faults(validator, f.read())
        total += 1
        if said:
            wrong.append(f"{name}: the schema says {said}")
    wrong += [f"{says!r} ({reasons[says]}) excuses no file" for says in set(reasons) - used]
    for w in wrong:
        print(f"--- {w}")
    print(f"{total} files, {len(wrong)} disagreements, {len(used)} texts that only the loader knows")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
