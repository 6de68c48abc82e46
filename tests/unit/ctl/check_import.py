#!/usr/bin/python3
"""turnpikectl rules import openapi, from outside. usage: check_import.py TURNPIKECTL ROOT [unittest's arguments]"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

import yaml

CTL, ROOT = sys.argv[1], pathlib.Path(sys.argv[2])
DOCUMENTS = ROOT.parent / "shared" / "data" / "openapi"
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
ISSUERS = "issuers:\n  ci: {issuer: 'https://idp.example', audience: turnpike, keys: {file: jwks.json}}\n"
JWKS = '{"keys": []}'


def document(paths, **more):
    return {"openapi": "3.1.0", "info": {"title": "T", "version": "1"},
            "servers": [{"url": "https://api.x.example/v1"}], "paths": paths, **more}


class Import(unittest.TestCase):
    def setUp(self):
        self.kept = tempfile.TemporaryDirectory()
        self.dir = pathlib.Path(self.kept.name)
        self.addCleanup(self.kept.cleanup)

    def run_ctl(self, spec, *more, connection="x"):
        """Exit code, the rules file as read by another program, the summary."""
        path = self.dir / "spec"
        if isinstance(spec, pathlib.Path):
            path = spec
        else:
            path.write_bytes(spec if isinstance(spec, bytes) else
                             (spec if isinstance(spec, str) else json.dumps(spec)).encode())
        (self.dir / "rules").mkdir(exist_ok=True)
        out = self.dir / "rules" / "x.yaml"
        done = subprocess.run([CTL, "rules", "import", "openapi", path, "--connection", connection, "--output", out,
                               "--force", "--json", *more], capture_output=True, text=True, timeout=60)
        self.assertNotIn("Sanitizer", done.stderr)
        self.assertIn(done.returncode, (0, 1, 2, 5, 64), done.stderr)
        said = json.loads(done.stdout) if done.stdout else None
        if done.returncode not in (0, 5):
            return done.returncode, None, said
        self.check(out)
        return done.returncode, yaml.load(out.read_text(), yaml.BaseLoader), said

    def check(self, out):
        (out.parent / "issuers.yaml").write_text(ISSUERS)
        (out.parent / "jwks.json").write_text(JWKS)
        done = subprocess.run([CTL, "rules", "check", out.parent], capture_output=True, text=True)
        complaints = [line for line in done.stderr.splitlines() if "x.yaml" in line and "jwks" not in line]
        self.assertEqual(complaints, [], done.stderr)

    def functions(self, spec, *more):
        code, rules, said = self.run_ctl(spec, *more)
        self.assertIn(code, (0, 5), said)
        return rules["connections"]["x"]["functions"]

    def refused(self, spec, word):
        code, _, said = self.run_ctl(spec)
        self.assertEqual(code, 2, said)
        self.assertIn(word, said["error"])

    # -------------------------------------------------------- whole documents

    def whole(self, name, base):
        path = DOCUMENTS / name
        if not path.exists():
            self.skipTest(f"{path} is not here")
        read = json.loads if name.endswith("json") else lambda t: yaml.load(t, yaml.CSafeLoader)
        spec = read(path.read_text())
        want = {(m.upper(), base + p.split("?")[0]) for p, item in spec["paths"].items() for m in item
                if m in METHODS}
        operations = sum(m in METHODS for item in spec["paths"].values() for m in item)
        start = time.monotonic()
        code, rules, said = self.run_ctl(path)
        took = time.monotonic() - start
        came = [tuple(route.split(" ", 1)) for route in rules["connections"]["x"]["functions"].values()]
        plain = lambda pairs: {(m, re.sub(r"\{[^}]*\}", "{}", p)) for m, p in pairs}
        self.assertEqual(plain(came), plain(want))
        self.assertEqual(len(came), len(plain(want)))
        self.assertEqual((said["operations"], said["functions"]), (operations, len(came)))
        self.assertEqual(len(said["same"]), operations - len(came))
        self.assertEqual(code, 5 if said["same"] else 0)
        self.assertLess(took, 5)  # with the check that follows it
        for name in rules["connections"]["x"]["functions"]:
            self.assertRegex(name, r"^[a-z0-9_][a-z0-9_-]*(\.[a-z0-9_][a-z0-9_-]*)*$")
        print(f"{path.name}: {operations} operations, {len(came)} functions, {took:.2f} s")
        return rules["connections"]["x"]

    def test_openai(self):
        c = self.whole("openai.yaml", "/v1")
        self.assertEqual(c["hosts"], ["api.openai.com"])
        self.assertEqual(c["functions"]["fine-tuning-job.create"], "POST /v1/fine_tuning/jobs")

    def test_twilio(self):
        c = self.whole("twilio-api-v2010.json", "")
        self.assertEqual(c["functions"]["account.fetch"], "GET /2010-04-01/Accounts/{Sid}.json")

    # ------------------------------------------------------------ edge cases

    def test_names(self):
        ids = {"createPaymentIntent": "payment-intent.create", "list": "list", "repos/list-for-org":
               "repos.list-for-org", "admin-api-keys-list": "admin-api-keys.list", "APIKey": "api-key",
               "beta_createThing": "beta.thing.create", "get_user_by_id": "user-by-id.get", "Users.Delete": "users.delete",
               "getHTTPStatus2": "http-status2.get", "--x--": "x", "ünï": "n", "on": "on", "200": "200"}
        got = self.functions(document({f"/p{i}": {"get": {"operationId": k}} for i, k in enumerate(ids)}))
        self.assertEqual(got, {v: f"GET /v1/p{i}" for i, v in enumerate(ids.values())})

    def test_names_without_operation_id(self):
        got = self.functions(document({"/": {"get": {}}, "/users/{id}": {"get": {}, "delete": {}},
                                       "/users": {"get": {"operationId": "unlisted"}}, "/é/Ab_c": {"put": {}}}))
        self.assertEqual(got, {"v1.get": "GET /v1", "v1.users.id.get": "GET /v1/users/{id}",
                               "v1.users.id.delete": "DELETE /v1/users/{id}", "v1.users.get": "GET /v1/users",
                               "v1.c3-a9.ab-c.put": "PUT /v1/%C3%A9/Ab_c"})

    def test_names_that_come_out_alike_are_none_of_theirs(self):
        got = self.functions(document({"/a": {"get": {"operationId": "getFoo"}}, "/b": {"get": {"operationId": "get-foo"}},
                                       "/c": {"get": {"operationId": "v1.c.get"}}}))
        self.assertEqual(got, {"v1.a.get": "GET /v1/a", "v1.b.get": "GET /v1/b", "v1.c.get": "GET /v1/c"})
        got = self.functions(document({"/a.b": {"get": {}}, "/a/b": {"get": {}}}))
        self.assertEqual(sorted(got.values()), ["GET /v1/a.b", "GET /v1/a/b"])
        for name in got:
            self.assertRegex(name, r"^v1\.a\.b\.get-[0-9a-f]{8}$")

    def test_long_names(self):
        got = self.functions(document({"/" + "a" * 300: {"get": {"operationId": "b" * 300}}}))
        self.assertLessEqual(max(len("x." + n) for n in got), 128)

    def test_names_do_not_depend_on_order(self):
        paths = {f"/p{i}/{{a}}": {"get": {"operationId": f"get-{i % 3}"}, "post": {}} for i in range(9)}
        self.assertEqual(self.functions(document(paths)), self.functions(document(dict(reversed(paths.items())))))

    def test_templates(self):
        rows = {"/{id}.json": "/{id}.json", "/v{version}": "/v{version}", "/files/{a}-{b}.txt": "/files/{a_b}.txt",
                "/x/{a}/y/{a}": "/x/{a}/y/{a_2}", "/{na.me}:run": "/{na_me}:run", "/a b/%7e%2f": "/a%20b/~%2F",
                "/q{?page,size}": "/q", "/r/{+path}": "/r/{path}", "/s/": "/s", "/{": "/%7B", "/star*": "/star%2A",
                "/{}": "/{p}", "/it's": "/it%27s", "/t?x=1": "/t", "/colon:": "/colon:"}
        paths = {f"/n{i}{p}": {"get": {}} for i, p in enumerate(rows)}
        _, rules, said = self.run_ctl(document(paths))
        self.assertEqual(sorted(rules["connections"]["x"]["functions"].values()),
                         sorted(f"GET /v1/n{i}{v}" for i, v in enumerate(rows.values())))
        self.assertEqual(said["wider"], 1)

    def test_what_cannot_be_a_template_is_said(self):
        code, rules, said = self.run_ctl(document({"/a//b": {"get": {}}, "/a/../b": {"get": {}}, "/" + "x/" * 40: {"get": {}},
                                                   "/" + "/".join(f"{{p{i}}}" for i in range(20)): {"get": {}},
                                                   "nothing": {"get": {}}, "/" + "y" * 3000: {"get": {}},
                                                   "/%00": {"get": {}}, "/good": {"get": {}}}))
        self.assertEqual((code, len(said["left_out"])), (5, 7))
        self.assertEqual(list(rules["connections"]["x"]["functions"].values()), ["GET /v1/good"])
        text = (self.dir / "rules" / "x.yaml").read_text()
        for word in ("empty segment", "`.` or `..`", "32 segments", "16 parameters", "begin with", "2048 bytes", "NUL"):
            self.assertIn(word, text)

    def test_operations_that_are_one_call(self):
        code, rules, said = self.run_ctl(document({"/a/{x}": {"get": {"operationId": "one"}},
                                                   "/a/{y}": {"get": {"operationId": "two"}, "post": {}}}))
        self.assertEqual(code, 5)
        self.assertEqual(said["same"], [{"method": "GET", "path": "/a/{y}", "function": "one"}])
        self.assertIn("# GET /a/{y} is the same call as one\n", (self.dir / "rules" / "x.yaml").read_text())
        self.assertEqual(sorted(rules["connections"]["x"]["functions"].values()), ["GET /v1/a/{x}", "POST /v1/a/{y}"])

    def test_only_declared_methods(self):
        item = {m: {} for m in METHODS}
        got = self.functions(document({"/a": {**item, "parameters": [], "summary": "s", "x-get": {}}, "/b": {"get": {}}}))
        self.assertEqual(sorted(v for v in got.values() if v.endswith("/a")), sorted(f"{m.upper()} /v1/a" for m in METHODS))
        self.assertEqual([v for v in got.values() if v.endswith("/b")], ["GET /v1/b"])

    # --------------------------------------------------------------- servers

    def servers(self, *urls, more=()):
        spec = document({"/a": {"get": {"operationId": "a"}}})
        spec["servers"] = [u if isinstance(u, dict) else {"url": u} for u in urls]
        code, rules, said = self.run_ctl(spec, *more)
        return (rules["connections"]["x"], said["notes"]) if rules else (said["error"], None)

    def test_servers(self):
        c, notes = self.servers("https://API.x.example/v1/", "https://eu.x.example/v1", "https://api.x.example/v2")
        self.assertEqual(c["hosts"], ["api.x.example", "eu.x.example"])
        self.assertEqual(c["functions"], {"a": ["GET /v1/a", "GET /v2/a"]})
        c, notes = self.servers("https://x.example:8443")
        self.assertEqual((c["hosts"], c["port"], c["functions"]), (["x.example"], "8443", {"a": "GET /a"}))
        c, notes = self.servers("http://x.example/b?c#d")
        self.assertEqual((c["hosts"], c["functions"]), (["x.example"], {"a": "GET /b/a"}))
        self.assertIn("speaks no TLS", notes[0])

    def test_servers_that_cannot_be_used(self):
        for url in ("/v1", "https://10.0.0.1/v1", "wss://x.example", "", "https:///v1", "https://a_b@x.example", "//x/y"):
            c, notes = self.servers(url)
            self.assertIn("--host", c)
        c, notes = self.servers("/v3", more=["--host", "api.x.example"])
        self.assertEqual((c["hosts"], c["functions"]), (["api.x.example"], {"a": "GET /v3/a"}))
        c, notes = self.servers("https://wrong.example/v3", more=["--host", "api.x.example"])
        self.assertEqual(c["hosts"], ["api.x.example"])

    def test_server_templates(self):
        url = {"url": "https://{region}.x.example/{v}", "variables": {"region": {"default": "us"}, "v": {"default": "v9"}}}
        c, notes = self.servers(url)
        self.assertEqual((c["hosts"], c["functions"]), (["us.x.example"], {"a": "GET /v9/a"}))
        self.assertIn("is a template", notes[0])

    def test_servers_of_operations(self):
        got = self.functions(document({"/a": {"get": {"servers": [{"url": "https://b.example/up"}]}, "put": {}},
                                       "/c": {"servers": [{"url": "https://c.example"}], "get": {}}}))
        self.assertEqual(sorted(got.values()), ["GET /c", "GET /up/a", "PUT /v1/a"])

    def test_security_is_told(self):
        schemes = {"a": {"type": "http", "scheme": "Bearer"}, "b": {"type": "apiKey", "in": "header", "name": "X-Key"},
                   "c": {"type": "apiKey", "in": "query", "name": "k"}, "d": {"type": "http", "scheme": "basic"},
                   "e": {"type": "apiKey", "in": "header", "name": "X\n  evil: y"}}
        _, _, said = self.run_ctl(document({"/a": {"get": {}}}, components={"securitySchemes": schemes}))
        notes = "\n".join(said["notes"])
        for word in ("as: bearer", "as: header, header: X-Key", "cannot be added", "as: basic"):
            self.assertIn(word, notes)
        self.assertNotIn("evil", notes)

    # ------------------------------------------------------- YAML and $ref

    def test_yaml_as_vendors_write_it(self):
        got = self.functions("openapi: 3.0.3\ninfo: {title: \"a\tb\", version: 1}\nservers:\n- url: https://x.example\n"
                             "paths:\n  /a: &item\n    get:\n      operationId: a\n      description: |\n        x\n        \ty\n"
                             "    post: &op {operationId: b}\n  /b: *item\n  /c: {put: *op}\n")
        self.assertEqual(sorted(got.values()), ["GET /a", "GET /b", "POST /a", "POST /b", "PUT /c"])

    def test_references(self):
        got = self.functions(document({"/a": {"$ref": "#/components/pathItems/a~1b"}, "/b": {"$ref": "#/paths/~1c%7Bd%7D"},
                                       "/c{d}": {"get": {"operationId": "c"}, "$ref": "#/components/pathItems/more"}},
                                      components={"pathItems": {"a/b": {"put": {"operationId": "p"}},
                                                                "more": {"get": {"operationId": "no"}, "post": {}}}}))
        self.assertEqual(sorted(got.values()), ["GET /v1/b", "GET /v1/c{d}", "POST /v1/b", "POST /v1/c{d}", "PUT /v1/a"])

    # --------------------------------------------------------------- hostile

    def test_refused(self):
        good = document({"/a": {"get": {}}})
        head = "openapi: 3.0.0\nservers: [{url: 'https://x.example'}]\n"
        rows = [(b"", "empty"), ("[]", "no mapping"), ("{", "line 1"), ("{}", "openapi"), ({**good, "openapi": "2.0"}, "2.0"),
                ({**good, "paths": []}, "no mapping"), ({k: v for k, v in good.items() if k != "paths"}, "no `paths`"),
                (document({"/a": {"$ref": "other.yaml#/a"}}), "out of the document"),
                (document({"/a": {"$ref": "#/nowhere"}}), "no path item"),
                (document({"/a": {"$ref": "#/paths/~1b"}, "/b": {"$ref": "#/paths/~1a"}}), "circle"),
                (document({"/a": 5}), "no mapping"), (document({"/a": {"get": []}}), "no mapping"),
                ('{"a":1,"a":2}', "line 1"), ("[" * 200000, "deeply"), ("{\"a\":" + "[" * 200000, "deeply"),
                (head + "paths:\n  <<: {/a: {get: {}}}\n", "merge key"),
                (head + "paths:\n  /a:\n    <<: {get: {}}\n", "merge key"),
                (head + "paths: &p\n  /a: *p\n", "alias"), (head + "paths: *p\n", "alias"), (head + "paths: {a: 1, a: 2}\n", "twice"),
                (head + "paths:\n\t/a: {}\n", "tab"), (head.encode() + b"x: \xff\n", "UTF-8"), (head + "x: \x01\n", "control"), (head + "x: 'a''''b'\n", "two quotes"),
                (head + "? [a]\n: b\n", "key is no text"), (head + "---\na: 1\n", "more than one"), ("a: [", "line"),
                (head + "".join(f"a{i}: &a{i} 1\n" for i in range(1100)), "anchors"),
                (document({f"/a{i}": {"get": {}} for i in range(20001)}), "20000 operations"),
                ({**good, "servers": [{"url": f"https://x.example/{i}"} for i in range(17)]}, "base paths"),
                (b" " * (32 << 20) + b"{}", "32 MiB")]
        for spec, word in rows:
            with self.subTest(word):
                self.refused(spec, word)

    def test_many_references_to_one(self):
        """Each alias ten of the one before: a tree of 10^8 values, if anybody built it."""
        lol = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
        got = self.functions("openapi: 3.0.0\nservers: [{url: 'https://x.example'}]\na0: &a0 x\n" + lol + "paths: {/a: {get: {}}}\n")
        self.assertEqual(list(got.values()), ["GET /a"])

    def test_text_stays_text(self):
        evil = "x\n    hosts: [evil.example]\n# "
        code, rules, _ = self.run_ctl({**document({"/a": {"get": {"operationId": evil}}, "/b/{" + evil + "}": {"get": {}},
                                                   "/c: [evil] #": {"get": {}}, "bad" + evil: {"get": {}}}),
                                       "info": {"title": evil, "version": evil}})
        self.assertEqual(code, 5)
        self.assertEqual(list(rules), ["connections"])
        self.assertEqual(rules["connections"]["x"]["hosts"], ["api.x.example"])

    # ---------------------------------------------------------- command line

    def test_command_line(self):
        spec = self.dir / "spec.json"
        spec.write_text(json.dumps(document({"/a": {"get": {}}})))

        def run(*words):
            return subprocess.run([CTL, "rules", "import", *map(str, words)], capture_output=True, text=True)

        out = self.dir / "out.yaml"
        self.assertEqual(run("openapi", spec).returncode, 64)
        self.assertEqual(run("openapi", spec, "--connection", "a.b").returncode, 64)
        self.assertEqual(run("openapi", spec, "--connection", "a", "--host", "A.b").returncode, 64)
        self.assertEqual(run("openapi", spec, "--connection", "a", "--json").returncode, 64)
        self.assertEqual(run("swagger", spec, "--connection", "a").returncode, 64)
        self.assertEqual(run("openapi", self.dir / "none", "--connection", "a").returncode, 2)
        self.assertIn("\n  a:\n", run("openapi", spec, "--connection", "a").stdout)
        self.assertEqual(run("openapi", spec, "--connection", "a", "--output", out).returncode, 0)
        before = out.read_text()
        again = run("openapi", spec, "--connection", "b", "--output", out)
        self.assertEqual((again.returncode, out.read_text()), (1, before))
        self.assertIn("--force", again.stderr)
        self.assertEqual(run("openapi", spec, "--connection", "b", "--output", out, "--force").returncode, 0)
        self.assertNotEqual(out.read_text(), before)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
