/* Loading: every complaint at its place, all of them at once, and what a good set looks like. */
#include "rules_test.h"

#include <sys/stat.h>

/* Lines before each case's own: a connection to be on. */
#define BASE                                                                                       \
    "connections:\n"                                                                               \
    "  stripe:\n"                                                                                  \
    "    hosts: [api.stripe.com]\n"                                                                \
    "    functions:\n"                                                                             \
    "      transfer.create: POST /v1/transfers\n"                                                  \
    "      charge.read: GET /v1/charges/{charge}\n"                                                \
    "issuers:\n"                                                                                   \
    "  ci: {issuer: 'https://idp', audience: turnpike, keys: {file: jwks.json}}\n"
#define CONNECTION(lines) "connections:\n  x:\n    hosts: [x.example]\n" lines
#define SHAPE(text)       CONNECTION("    errors: {" text "}\n")
#define HOSTS(text)       "connections:\n  x:\n    hosts: " text "\n"
#define ROUTE(text)                                                                                \
    "connections:\n  x:\n    hosts: [x.example]\n    functions:\n      f: " text "\n"
#define RULE(lines)   BASE "rules:\n  - id: 1\n    name: n\n" lines
#define GOOD_RULE     "    on: stripe.transfer.create\n    then: allow\n"
#define ISSUER(lines) "issuers:\n  ci:\n    issuer: https://idp\n    audience: a\n" lines
#define CA(lines)     "issuers:\n  build:\n    ca: clients.pem\n" lines
#define MASK(lines)   BASE "masks:\n  - id: 1\n" lines

struct row {
    const char *text;
    unsigned line, column;
    const char *says;
};

static const struct row rows[] = {
    /* the file */
    {"", 0, 0, NULL},
    /* Good ones, for schema.py too. */
    {"rules: []\n", 0, 0, NULL},
    {BASE "rules: []\nmasks: []\ndetectors: {}\nsources: {}\n", 0, 0, NULL},
    {RULE(GOOD_RULE "    rev: 1000000000\n    owner: a\n    message: m\n    mode: report\n"
                    "    expires: '2030-01-01T00:00:00+02:00'\n"),
     0, 0, NULL},
    {RULE(GOOD_RULE "    mode: off\n    when: true || body.a > 1\n"), 0, 0, NULL},
    {RULE("    on: ['*', stripe.unlisted]\n    then: hold\n"
          "    hold: {groups: a, quorum: 16, wait: 15m}\n"),
     0, 0, NULL},
    {CONNECTION("    port: 8443\n    identify: []\n    capture: 0\n    inspect: {request: 16MiB}\n"
                "    account_headers: []\n    upgrade: [websocket]\n    upgrade_idle: 24h\n"
                "    durability: relaxed\n    functions: {}\n"),
     0, 0, NULL},
    {CONNECTION("    identify: [source, mtls]\n    credential: {secret: a.b, as: header, header: "
                "X-Key}\n"),
     0, 0, NULL},
    {CONNECTION("    identify: source\n    credential: {secret: a, as: basic, user: u}\n"), 0, 0,
     NULL},
    {ROUTE("[GET /, 'PUT   /a/{b}.json/*/**', {at: POST /g, graphql: [query *, mutation a]}]"), 0,
     0, NULL},
    {ROUTE("[{at: DELETE /a, form: {a.b-c: [x, 5, true]}}, {at: POST /a, json: {'@t': [x, 5, "
           "true]}}]"),
     0, 0, NULL},
    {ROUTE("[{at: POST /m, mcp: [a, b]}, {at: POST /m, jsonrpc: tools/call}, POST /m]"), 0, 0,
     NULL},
    {MASK("    on: '*'\n    find: [pci.*, pii.email]\n    in: audit\n    keep: bin+last4\n"), 0, 0,
     NULL},
    {"conections: {}\n", 1, 1, "conections"},
    {"- a\n", 1, 1, "a rules file must be a mapping"},
    {"rules: {}\n", 1, 8, "`rules` must be a list"},
    {"connections: []\n", 1, 14, "`connections` must be a mapping"},
    {"exceptions: []\n", 1, 13, "not available in this version"},
    /* connections */
    {"connections:\n  a.b: {hosts: [x.example]}\n", 2, 3, "without dots"},
    {"connections:\n  x: 5\n", 2, 6, "a connection must be a mapping"},
    {CONNECTION("    hots: [y]\n"), 4, 5, "hots"},
    {"connections:\n  x:\n    port: 1\n", 3, 5, "hosts"},
    {HOSTS("[]"), 3, 12, "must be a text or a list of texts"},
    {HOSTS("[API.example]"), 3, 13, "lower case"},
    {HOSTS("[api.example.]"), 3, 13, "dot at its end"},
    {HOSTS("['*.example']"), 3, 13, "wildcards"},
    {HOSTS("['api.example:443']"), 3, 13, "without a port"},
    {HOSTS("['https://api.example']"), 3, 13, "without a port"},
    {HOSTS("[api.example/v1]"), 3, 13, "name alone"},
    {HOSTS("[10.0.0.1]"), 3, 13, "not addresses"},
    {HOSTS("['a b']"), 3, 13, "no host name has"},
    {HOSTS("[a..b]"), 3, 13, "empty label"},
    {HOSTS("[-a.example]"), 3, 13, "begins or ends with `-`"},
    {HOSTS("[a.example, b.example, a.example]"), 3, 35, "already one of `x`"},
    {CONNECTION("    identify: token\n"), 4, 15, "`token` is not available"},
    {CONNECTION("    identify: [magic]\n"), 4, 16, "oidc, mtls or source"},
    {CONNECTION("    identify: [oidc, oidc]\n"), 4, 22, "listed twice"},
    {CONNECTION("    errors: paypal\n"), 4, 13, "errors"},
    {CONNECTION("    errors: [stripe]\n"), 4, 13, "errors"},
    {SHAPE("type: application/json"), 4, 13, "either `body`"},
    {SHAPE("body: {a: 1}, text: <a/>"), 4, 13, "either `body`"},
    {SHAPE("body: {a: 1}, bodi: 1"), 4, 28, "bodi"},
    {SHAPE("body: [1]"), 4, 20, "must be a mapping"},
    {SHAPE("body: {a: 1, turnpike: 2}"), 4, 27, "is added to every answer"},
    {SHAPE("body: {a: 'x {mesage}'}"), 4, 27, "this is no placeholder"},
    {SHAPE("body: {a: 'x {'}"), 4, 27, "written {{"},
    {SHAPE("body: {a: [b, {c: '{}'}]}"), 4, 33, "this is no placeholder"},
    {SHAPE("body: {'{message}': 1}"), 4, 22, "not in names"},
    {SHAPE("body: {a: {message}}"), 4, 24, "in quotes: \"{message}\""},
    {SHAPE("body: {a: 1}, type: text/plain"), 4, 34, "application/json"},
    {SHAPE("body: {a: 1}, type: application/xml"), 4, 34, "application/json"},
    {SHAPE("text: <a/>, type: application/json"), 4, 32, "text/xml"},
    {SHAPE("text: 'a'"), 4, 20, "begins with `<`"},
    {SHAPE("text: '<a>{cuase}</a>'"), 4, 24, "this is no placeholder"},
    {SHAPE("text: [<a/>]"), 4, 20, "begins with `<`"},
    {SHAPE("body: {a: 1}, status: {busi: 429}"), 4, 37, "did you mean `busy`"},
    {SHAPE("body: {a: 1}, status: {busy: 200}"), 4, 43, "400"},
    {SHAPE("body: {a: 1}, status: {busy: 407}"), 4, 43, "needs a field"},
    {SHAPE("body: {a: 1}, status: 400"), 4, 36, "must be a mapping"},
    {SHAPE("body: {a: 1}, kind: {404: x}"), 4, 35, "no answer of ours has this status"},
    {SHAPE("body: {a: 1}, kind: {4xx: 'a b'}"), 4, 40, "a kind is a word"},
    {SHAPE("body: {a: 1}, request_id: a b"), 4, 40, "looks for the request's id"},
    {SHAPE("body: {a: 1}, request_id: Content-Length"), 4, 40, "looks for the request's id"},
    {SHAPE("body: {a: [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}"), 4, 39, "at most 16 levels"},
    {CONNECTION("    idempotency: 'a b'\n"), 4, 18, "no header field name"},
    {CONNECTION("    idempotency: [X-Key, x-key]\n"), 4, 26, "listed twice"},
    {CONNECTION("    idempotency: [Authorization]\n"), 4, 19, "says something else"},
    {CONNECTION("    idempotency: [Content-Type]\n"), 4, 19, "says something else"},
    {CONNECTION("    credential: {secret: s, as: header, header: X-Key}\n    idempotency: x-key\n"),
     5, 18, "says something else"},
    {CONNECTION("    account_headers: X-Key\n    idempotency: x-key\n"), 5, 18,
     "one of `account_headers`"},
    {CONNECTION("    idempotency: [a, b, c, d, e, f, g, h, i]\n"), 4, 18, "at most 8"},
    {CONNECTION("    credential: {secret: k}\n"), 4, 17, "as"},
    {CONNECTION("    credential: {as: bearer}\n"), 4, 17, "secret"},
    {CONNECTION("    credential: {secret: k, as: query}\n"), 4, 33, "as"},
    {CONNECTION("    credential: {secret: k, as: basic}\n"), 4, 17, "user"},
    {CONNECTION("    credential: {secret: k, as: basic, user: 'a:b'}\n"), 4, 46, "no colon"},
    {CONNECTION("    credential: {secret: k, as: header}\n"), 4, 17, "header"},
    {CONNECTION("    credential: {secret: k, as: header, header: Host}\n"), 4, 49, "may stand in"},
    {CONNECTION("    credential: {secret: k, as: header, header: 'a b'}\n"), 4, 49, "may stand in"},
    {CONNECTION("    credential: {secret: k, as: bearer, user: u}\n"), 4, 41, "as: basic"},
    {CONNECTION("    credential: {secret: 'a/b', as: bearer}\n"), 4, 26, "secret's name"},
    {CONNECTION("    trust: ''\n"), 4, 12, "`trust` must be one line"},
    {CONNECTION("    trust: [a.pem]\n"), 4, 12, "trust"},
    {CONNECTION("    client_certificate: 'a/b'\n"), 4, 25, "secret's name"},
    {CONNECTION("    client_certificate: {secret: k}\n"), 4, 25, "client_certificate"},
    {CONNECTION("    pins: []\n"), 4, 11, "must be a text or a list of texts"},
    {CONNECTION("    pins: ['47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=']\n"), 4, 12, "sha256/"},
    {CONNECTION("    pins: [sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU]\n"), 4, 12,
     "a pin is written"},
    {CONNECTION("    pins: [sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=]\n"), 4, 12,
     "a pin is written"}, /* bits left over */
    {CONNECTION("    pins: [sha256/47DEQpj8HBSa+_TImW+5JCeuQeRkm5NMpJWZG3hSuFU=]\n"), 4, 12,
     "a pin is written"},
    {CONNECTION("    pins: [sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF==]\n"), 4, 12,
     "a pin is written"},
    {CONNECTION("    account_headers: ['a b']\n"), 4, 23, "no header field name"},
    {CONNECTION("    inspect: {request: 64MiB}\n"), 4, 24, "at most 16MiB"},
    {CONNECTION("    inspect: {request: 1, answer: 1MiB}\n"), 4, 27, "answer"},
    {CONNECTION("    inspect: {ratio: 0}\n"), 4, 22, "ratio"},
    {CONNECTION("    inspect: {ratio: 10001}\n"), 4, 22, "ratio"},
    {CONNECTION("    capture: 17KiB\n"), 4, 14, "at most 16KiB"},
    {CONNECTION("    port: 0\n"), 4, 11, "port"},
    {CONNECTION("    upgrade: [web socket]\n"), 4, 15, "no protocol name"},
    {CONNECTION("    upgrade: [websocket, H2C]\n"), 4, 26, "unjudged"},
    {CONNECTION("    upgrade_idle: 1m\n"), 4, 5, "belongs to `upgrade`"},
    {CONNECTION("    upgrade: websocket\n    upgrade_idle: 25h\n"), 5, 19, "1s to 24h"},
    {CONNECTION("    upgrade: websocket\n    upgrade_idle: 999ms\n"), 5, 19, "1s to 24h"},
    {CONNECTION("    port: 65536\n"), 4, 11, "port"},
    {CONNECTION("    durability: loose\n"), 4, 17, "durability"},
    {CONNECTION("    durability: [relaxed]\n"), 4, 17, "durability"},
    {CONNECTION("    durability: ''\n"), 4, 17, "durability"},
    {CONNECTION("    durability: relaxed\n    durability: strict\n"), 5, 5, "durability"},
    /* functions */
    {CONNECTION("    functions: {unlisted: GET /}\n"), 4, 17, "choose another"},
    {CONNECTION("    functions: {a..b: GET /}\n"), 4, 17, "a function's name"},
    {CONNECTION("    functions: {f: {mcp: t}}\n"), 4, 20, "`at` is missing"},
    {CONNECTION("    functions: {f: []}\n"), 4, 20, "needs a METHOD"},
    {ROUTE("/v1/x"), 5, 10, "upper case"},
    {ROUTE("POST"), 5, 10, "METHOD /path"},
    {ROUTE("post /v1/x"), 5, 10, "upper case"},
    {ROUTE("POST v1/x"), 5, 15, "must begin with `/`"},
    {ROUTE("POST /v1/x/"), 5, 15, "ends in `/`"},
    {ROUTE("POST /v1//x"), 5, 15, "empty segment"},
    {ROUTE("POST /v1/../x"), 5, 15, "`.` or `..`"},
    {ROUTE("POST /v1/**/x"), 5, 15, "after `**`"},
    {ROUTE("POST /v1/{a}/{a}"), 5, 15, "one parameter twice"},
    {ROUTE("POST /v1/{}"), 5, 15, "a parameter whose name"},
    {ROUTE("POST /v1/{a}-{b}"), 5, 15, "more than one parameter"},
    {ROUTE("POST /v1/{a"), 5, 15, "a brace without its other"},
    {ROUTE("POST /v1/a}"), 5, 15, "a brace without its other"},
    {ROUTE("POST /v1/a}{b}"), 5, 15, "a brace without its other"},
    {ROUTE("POST /v1/{a}}"), 5, 15, "a brace without its other"},
    {ROUTE("POST /v1/{a}.*"), 5, 15, "part of a segment"},
    {ROUTE("POST /v1/%2{a}F"), 5, 15, "upper-case hexadecimal"},
    {ROUTE("POST /v1/{a}/b{a}"), 5, 15, "one parameter twice"},
    {ROUTE("POST /v1/a{b.c}"), 5, 15, "a parameter whose name"},
    {ROUTE("POST /v1/a*"), 5, 15, "part of a segment"},
    {ROUTE("POST /v1/x?y=1"), 5, 15, "has a query"},
    {ROUTE("POST /v1/%41"), 5, 15, "needs no escape"},
    {ROUTE("POST /v1/%2f"), 5, 15, "upper-case hexadecimal"},
    {ROUTE("POST /v1/%2"), 5, 15, "upper-case hexadecimal"},
    {ROUTE("POST '/v1/a b'"), 5, 15, "must begin with `/`"},
    {ROUTE("'POST /v1/a b'"), 5, 16, "percent-encoded"},
    {ROUTE("[GET /a, 'GET /a/{b}', 'GET /a/{b}/**', GET /a/**]"), 5, 50,
     "no path is left for `GET /a/**` of x.f beside `/a` of x.f"},
    {ROUTE("[GET /, 'GET /{a}/**', GET /**]"), 5, 33, "and `/{a}/**`: the more specific one wins"},
    {ROUTE("{at: POST /rpc}"), 5, 10, "expected one of jsonrpc, mcp"},
    {ROUTE("{jsonrpc: a}"), 5, 10, "`at` is missing"},
    {ROUTE("{at: POST /rpc, jsonrpc: []}"), 5, 35, "a text or a list of texts"},
    {ROUTE("{at: POST /rpc, jsonrpc: {a: b}}"), 5, 35, "a text or a list of texts"},
    {ROUTE("{at: POST /rpc, jsonrpc: [a, '']}"), 5, 39, "none of them empty"},
    {ROUTE("{at: POST /rpc, jsonrpc: a, mcp: b}"), 5, 38, "two entries"},
    {ROUTE("{at: POST /rpc, jsonrcp: a}"), 5, 26, "did you mean `jsonrpc`"},
    {ROUTE("{at: POST rpc, mcp: a}"), 5, 20, "must begin with `/`"},
    {ROUTE("{at: GET /rpc, mcp: a}"), 5, 15, "a GET has no body"},
    {ROUTE("{at: POST /a, graphql: createRefund}"), 5, 33, "with query, mutation or"},
    {ROUTE("{at: POST /a, graphql: mutation a-b}"), 5, 33, "with query, mutation or"},
    {ROUTE("{at: POST /a, graphql: mutation 5}"), 5, 33, "with query, mutation or"},
    {ROUTE("{at: POST /a, graphql: [query a, query *, query  *]}"), 5, 52, "tells x.f too"},
    {ROUTE("{at: POST /a, form: action}"), 5, 30, "one field and what it must say"},
    {ROUTE("{at: POST /a, form: {a: b, c: d}}"), 5, 30, "one field and what it must say"},
    {ROUTE("{at: POST /a, json: {'a b': c}}"), 5, 31, "a field is written as"},
    {ROUTE("{at: POST /a, json: {a.: c}}"), 5, 31, "a field is written as"},
    {ROUTE("{at: POST /a, json: {a: 1.5}}"), 5, 34, "put a text into quotes"},
    {ROUTE("{at: POST /a, json: {a: null}}"), 5, 34, "put a text into quotes"},
    {ROUTE("[{at: POST /a, mcp: b}, [POST /c]]"), 5, 34, "METHOD /path"},
    {ROUTE("[{at: POST /a, mcp: b}, {at: POST /a, mcp: [c, b]}]"), 5, 57, "tells x.f too"},
    {ROUTE("{at: POST /a, json: {a: [b, c, b]}}"), 5, 41, "tells x.f too"},
    {ROUTE("[{at: 'POST /a/{b}', mcp: b}, {at: 'POST /a/{c}', mcp: c}]"), 5, 45,
     "write both alike"},
    {ROUTE("[{at: POST /a, mcp: b}, POST /a, POST /a]"), 5, 43, "ties with"},
    {CONNECTION("    functions:\n      a: GET /v1/{x}\n      b: GET /v1/*\n"), 6, 10, "ties with"},
    {CONNECTION("    functions:\n      a: GET /v1/**\n      b: GET /v1/**\n"), 6, 10, "ties with"},
    {CONNECTION("    functions:\n      a: 'GET /v{x}.json'\n      b: 'GET /v{y}%2Ejson'\n"), 6, 15,
     "needs no escape"},
    {CONNECTION("    functions:\n      a: 'GET /v{x}.json'\n      b: 'GET /v{y}.json'\n"), 6, 10,
     "ties with"},
    {CONNECTION("    functions:\n      a: [GET /v1/x, GET /v1/x]\n"), 5, 22, "ties with"},
    /* rules */
    {RULE("    whne: 'true'\n" GOOD_RULE), 12, 5, "whne"},
    {BASE "rules:\n  - name: n\n" GOOD_RULE, 10, 5, "id"},
    {BASE "rules:\n  - id: 0\n    name: n\n" GOOD_RULE, 10, 9, "id"},
    {BASE "rules:\n  - id: 1\n" GOOD_RULE, 10, 5, "name"},
    {RULE("    on: stripe.transfer.create\n"), 10, 5, "then"},
    {RULE("    then: allow\n"), 10, 5, "on"},
    {RULE("    on: stripe.transfer.create\n    then: permit\n"), 13, 11, "then"},
    {RULE("    on: stripe.nope\n    then: allow\n"), 12, 9, "`stripe.nope` is no function"},
    {RULE("    on: [stripe.*, other.*]\n    then: allow\n"), 12, 20, "matches none"},
    {RULE("    on: 'stripe.[a]'\n    then: allow\n"), 12, 9, "is no function"},
    {RULE("    on: []\n    then: allow\n"), 12, 9, "text or a list of texts"},
    {RULE(GOOD_RULE "    rev: 0\n"), 14, 10, "rev"},
    {RULE(GOOD_RULE "    mode: audit\n"), 14, 11, "mode"},
    {RULE(GOOD_RULE "    expires: soon\n"), 14, 14, "must be a date"},
    {RULE(GOOD_RULE "    expires: 2027-02-30\n"), 14, 14, "must be a date"},
    {RULE(GOOD_RULE "    hold: {groups: [a]}\n"), 14, 5, "`then: hold`"},
    {RULE("    on: stripe.*\n    then: hold\n    hold: {quorum: 0}\n"), 14, 20, "quorum"},
    {RULE("    on: stripe.*\n    then: hold\n    hold: {wait: 2h}\n"), 14, 18, "at most 15m"},
    {RULE("    on: stripe.*\n    then: hold\n    hold: {group: a}\n"), 14, 12, "group"},
    {RULE("    on: stripe.*\n    then: hold\n    hold: 5\n"), 14, 11, "`hold` must be a mapping"},
    {RULE(GOOD_RULE "    message: \"a\\nb\"\n"), 14, 14, "control characters"},
    {RULE(GOOD_RULE "    when: body.amount = 5\n"), 14, 23, "write =="},
    {RULE(GOOD_RULE "    when: 'amuont > 5'\n"), 14, 12, "no name `amuont`"},
    {RULE(GOOD_RULE "    when: params.charge == 'x'\n"), 14, 18, "no function of this rule"},
    {BASE "rules:\n  - {id: 1, name: n, on: stripe.*, then: allow}\n"
          "  - {id: 1, name: m, on: stripe.*, then: block}\n",
     11, 10, "already taken"},
    {BASE "rules:\n  - 5\n", 10, 5, "a rule must be a mapping"},
    /* masks and detectors */
    {MASK("    on: '*'\n    find: pci.card\n    in: vendor\n"), 13, 9, "cannot mask"},
    {MASK("    on: '*'\n    find: pci.card\n    in: [audit, log]\n"), 13, 17, "audit or caller"},
    {MASK("    on: '*'\n    find: pii.iban\n    in: audit\n"), 12, 11, "no known detector"},
    {MASK("    on: '*'\n    find: [pci.*, secret.*]\n    in: audit\n"), 12, 19,
     "no known detector"},
    {MASK("    on: nope.*\n    find: pci.card\n    in: audit\n"), 11, 9, "no function"},
    {MASK("    on: '*'\n    find: pci.card\n    in: audit\n    keep: first4\n"), 14, 11, "keep"},
    {MASK("    on: '*'\n    find: pci.card\n"), 10, 5, "in"},
    {MASK("    on: '*'\n    in: audit\n"), 10, 5, "find"},
    {"detectors:\n  acme.id: {pattern: 'E-\\d{7}', near: [staff]}\n", 2, 39, "`near` is not"},
    {"detectors:\n  acme.id: {check: luhn}\n", 2, 12, "pattern"},
    {"detectors:\n  acme.id: {pattern: 'E-\\d{7}', check: iban}\n", 2, 40, "check"},
    {"detectors:\n  pci.mine: {pattern: 'E-\\d{7}'}\n", 2, 3, "the product's"},
    {"detectors:\n  acme.id: {pattern: 'E-(\\d'}\n", 2, 22, "is refused"},
    {"detectors:\n  acme.id: {pattern: 'x*'}\n", 2, 22, "is refused"},
    /* issuers and sources */
    {CA(""), 3, 5, "`id` is missing"},
    {CA("    id: ip\n"), 4, 9, "expected one of spiffe, dns, email, subject"},
    {CA("    id: dns\n    audience: a\n"), 5, 5, "audience"},
    {CA("    id: dns\n    keys: {file: jwks.json}\n"), 5, 5, "keys"},
    {CA("    id: dns\n    crl: [a]\n"), 5, 10, "crl"},
    {CA("    id: dns\n    groups: {ci: claims.o}\n"), 5, 18, NULL},
    {ISSUER("    keys: discovery\n"), 5, 11, "not available in this version"},
    {ISSUER("    keys: https://idp/jwks\n"), 5, 11, "not available in this version"},
    {ISSUER("    keys: {file: j, url: x}\n"), 5, 21, "url"},
    {ISSUER(""), 3, 5, "`keys` is missing"},
    {"issuers:\n  ci: {audience: a, keys: {file: j}}\n", 2, 7, "issuer"},
    {"issuers:\n  ci: {issuer: a, keys: {file: j}}\n", 2, 7, "audience"},
    {ISSUER("    keys: {file: j}\n    caller: caller.id\n"), 6, 13, "only `claims`"},
    {ISSUER("    keys: {file: j}\n    caller: claims.sub == 'x'\n"), 6, 24, "must give a string"},
    {ISSUER("    keys: {file: j}\n    groups: {ci: '\"a\"'}\n"), 6, 19, "must give true or false"},
    {ISSUER("    keys: {file: j}\n    groups: {'a*': '\"a\"'}\n"), 6, 21, "must give a list"},
    {ISSUER("    keys: {file: j}\n    groups: {'*a': claims.x}\n"), 6, 14, "at its end only"},
    {ISSUER("    keys: {file: j}\n    skew: 10m\n"), 6, 11, "at most 5m"},
    {"issuers:\n  a: {issuer: i, audience: a, keys: {file: j}}\n"
     "  b: {issuer: i, audience: a, keys: {file: j}}\n",
     3, 15, "is there twice"},
    {"sources:\n  ci: {address: 10.0.0}\n", 2, 17, "address or prefix"},
    {"sources:\n  ci: {address: 10.0.0.1/24}\n", 2, 17, "bits set"},
    {"sources:\n  ci: {address: 10.0.0.1, group: a}\n", 2, 27, "group"},
    {"sources:\n  a: {address: 10.0.0.0/24}\n  b: {address: 10.0.0.0/24}\n", 3, 16, "same address"},
};

static bool found(const struct diags *d, const struct row *r)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->items[i].where.line == r->line && d->items[i].where.column == r->column &&
            strstr(d->items[i].message, r->says))
            return true;
    return false;
}

static bool row_holds(const struct row *r)
{
    struct test_dir t;
    struct diags d;
    struct rules_set *s;
    bool good;

    test_dir_make(&t);
    test_dir_put(&t, "a.yaml", r->text);
    diags_init(&d);
    s = rules_load(t.path, TEST_NOW, &d);
    good = r->says ? !s && d.errors == 1 && found(&d, r) : s && d.errors == 0;
    if (!good) {
        printf("--- expected one error at %u:%u \"%s\"; the set %s with\n", r->line, r->column,
               r->says ? r->says : "(none)", s ? "loaded" : "was refused");
        diags_print(&d, stdout, false);
    }
    rules_free(s);
    diags_free(&d);
    test_dir_remove(&t);
    return good;
}

static void each_complaint_at_its_place(void **state)
{
    unsigned wrong = 0;

    (void)state;
    printf("%zu files\n", sizeof(rows) / sizeof(rows[0]));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        wrong += !row_holds(&rows[i]);
    assert_int_equal(wrong, 0);
}

static void all_at_once_over_all_files(void **state)
{
    struct test_dir t;
    struct diags d;
    unsigned seen_a = 0, seen_b = 0;

    (void)state;
    test_dir_make(&t);
    test_dir_put(&t, "a.yaml",
                 BASE "rules:\n"
                      "  - {id: 1, name: n, on: stripe.nope, then: alow, whne: x}\n"
                      "  - {id: 2, name: n, on: stripe.*, then: block, when: amount > 5 && bdy}\n");
    test_dir_put(&t, "b.yaml",
                 "connections:\n"
                 "  stripe: {hosts: [b.example]}\n"
                 "  other: {hosts: [api.stripe.com, B.example]}\n"
                 "rules:\n"
                 "  - {id: 2, name: n, on: other.unlisted, then: block}\n");
    diags_init(&d);
    assert_null(rules_load(t.path, TEST_NOW, &d));
    for (size_t i = 0; i < d.count; i++) {
        seen_a += strstr(d.items[i].where.file, "a.yaml") != NULL;
        seen_b += strstr(d.items[i].where.file, "b.yaml") != NULL;
    }
    if (seen_a != 5 || seen_b != 4)
        diags_print(&d, stdout, false);
    assert_int_equal(seen_a, 5); /* then, whne, amount, bdy, stripe.nope */
    assert_int_equal(seen_b, 4); /* stripe twice, host twice, upper case, id twice */
    diags_free(&d);
    test_dir_remove(&t);
}

/* Rules 1 and 2 of each row, on two functions and unlisted ones; what is said of rule 2, or
 * nothing. */
#define ALL "on: '*'"
static const struct {
    const char *one, *two, *says;
} shadows[] = {
    /* under one without a condition */
    {ALL ", then: block", ALL ", then: allow", "rule 2 can never decide anything: rule 1"},
    {ALL ", then: block", "on: stripe.charge.read, then: allow, when: body.a > 1",
     "is stricter and on the same calls, whatever they say"},
    {ALL ", then: hold", "on: stripe.charge.read, then: allow, when: body.a > 1", "is stricter"},
    {ALL ", then: allow", "on: stripe.charge.read, then: allow", "does the same, has the lower id"},
    {ALL ", then: block",
     "on: [stripe.charge.read, stripe.unlisted], then: block, when: body.a > 1", "does the same"},
    {ALL ", then: hold", "on: stripe.charge.read, then: hold", "does the same"},
    {ALL ", then: hold, hold: {groups: [a]}", "on: stripe.charge.read, then: hold", NULL},
    {ALL ", then: hold, hold: {quorum: 2}", "on: stripe.charge.read, then: hold", NULL},
    {ALL ", then: hold, hold: {wait: 5s}", "on: stripe.charge.read, then: hold", NULL},
    {ALL ", then: allow", ALL ", then: block", "rule 1 can never decide anything: rule 2"},
    {ALL ", then: allow", "on: stripe.charge.read, then: block", NULL},
    {ALL ", then: allow", "on: [stripe.charge.read, stripe.unlisted], then: allow", NULL},
    {"on: stripe.charge.*, then: block", "on: stripe.*, then: allow", NULL},
    {ALL ", then: block, mode: report", ALL ", then: allow", NULL},
    {ALL ", then: block, mode: 'off'", ALL ", then: allow", NULL},
    {ALL ", then: block", ALL ", then: allow, mode: report", NULL},
    {ALL ", then: block", ALL ", then: allow, mode: 'off'", NULL},
    {ALL ", then: block, expires: 2030-01-01", ALL ", then: allow", NULL},
    {ALL ", then: block", ALL ", then: allow, expires: 2030-01-01", "rule 2 can never"},
    {ALL ", then: block", ALL ", then: allow, expires: 2020-01-01", NULL},
    /* under the same condition */
    {ALL ", then: block, when: body.a > 1", ALL ", then: allow, when: ' body.a > 1 '",
     "is stricter and on the same calls, under the same `when`"},
    {ALL ", then: block, when: body.a > 1", "on: stripe.charge.read, then: block, when: body.a > 1",
     "does the same"},
    {ALL ", then: allow, when: body.a > 1", ALL ", then: block, when: body.a > 1",
     "rule 1 can never"},
    {ALL ", then: block, when: body.a > 1", ALL ", then: allow, when: body.a > 2", NULL},
    {ALL ", then: block, when: body.a > 1", ALL ", then: allow", NULL},
    {"on: stripe.charge.read, then: block, when: body.a > 1",
     "on: stripe.*, then: block, when: body.a > 1", NULL},
    {ALL ", then: hold, when: body.a > 1, hold: {quorum: 2}", ALL ", then: hold, when: body.a > 1",
     NULL},
    {ALL ", then: block, when: body.a > 1, expires: 2030-01-01",
     ALL ", then: allow, when: body.a > 1", NULL},
    {ALL ", then: block, when: '1 < 2 || body.a > 1'", ALL ", then: allow",
     "is stricter and on the same calls, whatever they say"},
    /* nothing is concluded from what is wrong */
    {ALL ", then: blok", ALL ", then: allow", "expected one of allow"},
    {ALL ", then: block, when: bdy.a", ALL ", then: block", "bdy"},
};

static void rules_that_never_decide_are_told(void **state)
{
    unsigned wrong = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(shadows) / sizeof(shadows[0]); i++) {
        struct test_dir t;
        struct diags d;
        char text[2000];
        size_t errors;

        snprintf(text, sizeof(text),
                 BASE "rules:\n  - {id: 1, name: n, %s}\n  - {id: 2, name: n, %s}\n",
                 shadows[i].one, shadows[i].two);
        test_dir_make(&t);
        test_dir_put(&t, "a.yaml", text);
        diags_init(&d);
        rules_free(rules_load(t.path, TEST_NOW, &d));
        errors = shadows[i].says ? 1 : 0;
        if (d.errors != errors ||
            (errors && !strstr(d.items[d.count - 1].message, shadows[i].says))) {
            printf("--- %s; %s: expected %s\n", shadows[i].one, shadows[i].two,
                   errors ? shadows[i].says : "no error");
            diags_print(&d, stdout, false);
            wrong++;
        }
        diags_free(&d);
        test_dir_remove(&t);
    }
    assert_int_equal(wrong, 0);
}

/* Several rules together leave nothing of one. */
static void many_rules_shadow_one(void **state)
{
    struct test_dir t;
    struct diags d;

    (void)state;
    test_dir_make(&t);
    test_dir_put(&t, "a.yaml",
                 BASE "rules:\n"
                      "  - {id: 1, name: n, on: stripe.charge.read, then: block}\n"
                      "  - {id: 2, name: n, on: stripe.transfer.create, then: hold}\n"
                      "  - {id: 3, name: n, on: stripe.*, then: allow}\n");
    diags_init(&d);
    assert_null(rules_load(t.path, TEST_NOW, &d));
    assert_int_equal(d.errors, 1);
    assert_int_equal(d.items[0].where.line, 12);
    assert_int_equal(d.items[0].where.column, 5);
    diags_free(&d);
    test_dir_remove(&t);
}

static void order_of_files_and_entries_means_nothing(void **state)
{
    static const char one[] = "connections:\n"
                              "  b: {hosts: [b.example], functions: {y: GET /y, x: GET /x}}\n";
    static const char two[] =
        "connections:\n"
        "  a: {hosts: [a.example], functions: {z: GET /z}}\n"
        "rules:\n"
        "  - {id: 9, name: n, on: '*', then: allow}\n"
        "  - {id: 3, name: n, on: '*', then: block, when: request.size > 5}\n";
    static const char *const names[] = {"a.unlisted", "a.z", "b.unlisted", "b.x", "b.y"};

    (void)state;
    for (int swap = 0; swap < 2; swap++) {
        struct test_dir t;
        struct diags d;
        struct rules_set *s;

        test_dir_make(&t);
        test_dir_put(&t, swap ? "2.yaml" : "1.yaml", one);
        test_dir_put(&t, swap ? "1.yaml" : "2.yaml", two);
        diags_init(&d);
        s = rules_load(t.path, TEST_NOW, &d);
        assert_non_null(s);
        assert_int_equal(rules_function_count(s), 5);
        for (unsigned i = 0; i < 5; i++) {
            const struct rules_function *f = rules_function_at(s, i);

            assert_int_equal(f->index, i);
            assert_true(span_eq(f->name, span_cstr(names[i])));
        }
        assert_int_equal(rules_at(s, 0)->id, 3);
        assert_int_equal(rules_at(s, 1)->id, 9);
        rules_free(s);
        diags_free(&d);
        test_dir_remove(&t);
    }
}

static void what_is_read_and_what_is_not(void **state)
{
    struct test_dir t;
    struct diags d;
    char path[300], target[300];
    struct rules_set *s;

    (void)state;
    test_dir_make(&t);
    diags_init(&d);
    assert_null(rules_load(t.path, TEST_NOW, &d)); /* nothing there */
    assert_null(rules_load("/nonexistent", TEST_NOW, &d));
    assert_int_equal(d.errors, 2);
    diags_free(&d);

    test_dir_put(&t, "real.txt", "connections:\n  x: {hosts: [x.example], identify: []}\n");
    snprintf(path, sizeof(path), "%s/link.yaml", t.path);
    snprintf(target, sizeof(target), "%s/real.txt", t.path);
    assert_int_equal(symlink(target, path), 0);
    test_dir_put(&t, ".hidden.yaml", "nonsense: 1\n");
    test_dir_put(&t, "README.md", "nonsense: 1\n");
    test_dir_put(&t, "old.yml", "nonsense: 1\n");
    diags_init(&d);
    s = rules_load(t.path, TEST_NOW, &d);
    assert_non_null(s);
    assert_int_equal(d.errors, 0);
    assert_int_equal(d.count, 1); /* .yml is warned of, for it looks as if it were read */
    assert_non_null(rules_connection_for(s, SPAN_LIT("x.example")));
    rules_free(s);
    diags_free(&d);

    snprintf(path, sizeof(path), "%s/fifo.yaml", t.path);
    assert_int_equal(mkfifo(path, 0600), 0);
    diags_init(&d);
    assert_null(rules_load(t.path, TEST_NOW, &d));
    assert_int_equal(d.errors, 1);
    diags_free(&d);
    test_dir_remove(&t);
}

static void the_hash_is_over_names_and_contents(void **state)
{
    uint8_t hash[4][RULES_HASH];
    static const char *const files[4][2] = {{"a.yaml", "rules: []\n"},
                                            {"a.yaml", "rules: []\n"},
                                            {"b.yaml", "rules: []\n"},
                                            {"a.yaml", "rules: []\n\n"}};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct test_dir t;
        struct diags d;
        struct rules_set *s;

        test_dir_make(&t);
        test_dir_put(&t, files[i][0], files[i][1]);
        diags_init(&d);
        s = rules_load(t.path, TEST_NOW, &d);
        assert_non_null(s);
        memcpy(hash[i], rules_hash(s), RULES_HASH);
        rules_free(s);
        diags_free(&d);
        test_dir_remove(&t);
    }
    assert_memory_equal(hash[0], hash[1], RULES_HASH);
    assert_memory_not_equal(hash[0], hash[2], RULES_HASH);
    assert_memory_not_equal(hash[0], hash[3], RULES_HASH);
}

static void a_connection_as_written(void **state)
{
    struct rules_set *s = test_set("connections:\n"
                                   "  stripe:\n"
                                   "    hosts: [api.stripe.com, files.stripe.com]\n"
                                   "    errors: stripe\n"
                                   "    identify: [source, oidc]\n"
                                   "    credential: {secret: stripe-live, as: basic, user: key}\n"
                                   "    account_headers: [Stripe-Account]\n"
                                   "    idempotency: [X-Key, X-Other]\n"
                                   "    inspect: {request: 2MiB, ratio: 20}\n"
                                   "    capture: 4KiB\n"
                                   "    port: 8443\n"
                                   "    upgrade: [websocket, other]\n"
                                   "    upgrade_idle: 90s\n"
                                   "    durability: relaxed\n"
                                   "  sure: {hosts: [sure.example], durability: strict}\n"
                                   "  plain: {hosts: [plain.example]}\n");
    const struct rules_connection *c = rules_connection_for(s, SPAN_LIT("files.stripe.com")),
                                  *p = rules_connection_for(s, SPAN_LIT("plain.example")),
                                  *sure = rules_connection_for(s, SPAN_LIT("sure.example"));

    (void)state;
    assert_ptr_equal(c, rules_connection_for(s, SPAN_LIT("api.stripe.com")));
    assert_null(rules_connection_for(s, SPAN_LIT("stripe.com")));
    assert_null(rules_connection_for(s, SPAN_NONE));
    assert_int_equal(rules_connection_count(s), 3);
    assert_ptr_equal(rules_connection_at(s, c->index), c);
    assert_int_equal(c->durability, RULES_DURABILITY_RELAXED);
    assert_int_equal(sure->durability, RULES_DURABILITY_STRICT);
    assert_int_equal(p->durability, RULES_DURABILITY_UNSAID);
    assert_true(span_eq(c->errors->request_id, SPAN_LIT("Request-Id")));
    assert_int_equal(c->nidentify, 2);
    assert_int_equal(c->identify[0], RULES_ID_SOURCE);
    assert_int_equal(c->credential.kind, RULES_CRED_BASIC);
    assert_true(span_eq(c->credential.secret, SPAN_LIT("stripe-live")));
    assert_true(span_eq(c->credential.user, SPAN_LIT("key")));
    assert_int_equal(c->naccount_headers, 1);
    assert_int_equal(c->nidempotency, 2);
    assert_true(span_eq(c->idempotency[1], SPAN_LIT("X-Other")));
    assert_int_equal(p->nidempotency, 1);
    assert_true(span_eq(p->idempotency[0], SPAN_LIT("Idempotency-Key")));
    assert_int_equal(c->inspect_request, 2 << 20);
    assert_int_equal(c->inspect_ratio, 20);
    assert_int_equal(c->capture, 4096);
    assert_int_equal(c->port, 8443);
    assert_true(c->unlisted->unlisted);
    assert_int_equal(c->nupgrade, 2);
    assert_true(span_eq(c->upgrade[1], SPAN_LIT("other")));
    assert_int_equal(c->upgrade_idle_ns, 90 * NS_IN_S);
    assert_int_equal(p->nupgrade, 0);
    assert_int_equal(p->port, 443);
    assert_int_equal(p->inspect_request, 1 << 20);
    assert_int_equal(p->inspect_ratio, 100);
    assert_ptr_equal(p->errors, rules_errors_usual(s));
    assert_int_equal(p->nidentify, 1);
    assert_int_equal(p->identify[0], RULES_ID_OIDC);
    assert_int_equal(p->credential.kind, RULES_CRED_NONE);
    rules_free(s);
}

/* What is said about TLS: to the vendor, and by callers. */
static void tls_as_written(void **state)
{
    static const uint8_t empty[4] = {0xe3, 0xb0, 0xc4, 0x42}; /* SHA-256 of nothing begins so */
    struct rules_set *s = test_set(
        "connections:\n"
        "  bank:\n"
        "    hosts: [api.bank.example]\n"
        "    identify: [mtls, oidc]\n"
        "    trust: bank.pem\n"
        "    pins: [sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,\n"
        "           sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=]\n"
        "    client_certificate: bank-client\n"
        "  other: {hosts: [other.example], trust: system}\n"
        "  plain: {hosts: [plain.example], trust: /etc/ca.pem}\n"
        "issuers:\n"
        "  build: {ca: clients.pem, crl: /var/clients.crl, id: email, groups: {ci: 'true'}}\n"
        "  idp: {issuer: 'https://idp', audience: turnpike, keys: {file: jwks.json}}\n");
    const struct rules_connection *c = rules_connection_at(s, 0);
    const struct rules_issuer *i = rules_issuer_at(s, 0);

    (void)state;
    assert_int_equal(c->identify[0], RULES_ID_MTLS);
    assert_int_equal(c->identify[1], RULES_ID_OIDC);
    assert_true(c->trust.p[0] == '/' && span_ends(c->trust, SPAN_LIT("/bank.pem")));
    assert_int_equal(c->trust_place.line, 5);
    assert_int_equal(c->npins, 2);
    assert_int_equal(c->pins[0][0] | c->pins[0][31], 0);
    assert_memory_equal(c->pins[1], empty, sizeof(empty));
    assert_int_equal(c->pins[1][31], 0x55);
    assert_true(span_eq(c->client_certificate, SPAN_LIT("bank-client")));
    assert_true(span_eq(rules_connection_at(s, 1)->trust, SPAN_LIT("system")));
    assert_true(span_eq(rules_connection_at(s, 2)->trust, SPAN_LIT("/etc/ca.pem")));
    assert_int_equal(rules_connection_at(s, 2)->npins, 0);
    assert_true(i->certificates);
    assert_true(span_ends(i->ca_file, SPAN_LIT("/clients.pem")));
    assert_true(span_eq(i->crl_file, SPAN_LIT("/var/clients.crl")));
    assert_int_equal(i->cert_id, RULES_CERT_EMAIL);
    assert_int_equal(i->ngroups, 1);
    assert_false(rules_issuer_at(s, 1)->certificates);
    rules_free(s);
}

static const struct match_policy *audit_of(const struct rules_set *s, unsigned i)
{
    return &rules_function_at(s, i)->mask_audit;
}

static void masks_are_resolved_by_function(void **state)
{
    struct rules_set *s =
        test_set("detectors:\n"
                 "  acme.zeta: {pattern: 'Z-\\d{7}'}\n"
                 "  acme.alpha: {pattern: 'A-\\d{7}', check: luhn}\n"
                 "connections:\n"
                 "  a: {hosts: [a.example], functions: {x: GET /x}}\n"
                 "  b: {hosts: [b.example], functions: {x: GET /x}}\n"
                 "masks:\n"
                 "  - {id: 1, on: b.*, find: [pci.*, acme.*], in: [audit, caller]}\n"
                 "  - {id: 2, on: b.x, find: pci.card, in: audit, keep: none}\n"
                 "  - {id: 3, on: '*', find: pci.card, in: caller, keep: bin+last4}\n");
    struct match_builder *b = match_builder_new();
    struct match_db *db;
    struct diags d;
    char why[256];

    (void)state;
    /* 0 a.unlisted, 1 a.x, 2 b.unlisted, 3 b.x; detectors: card, email, alpha, zeta */
    assert_int_equal(audit_of(s, 1)->detectors, 3); /* the floor */
    assert_int_equal(audit_of(s, 1)->keep[0], MATCH_KEEP_LAST4);
    assert_int_equal(audit_of(s, 3)->detectors, 15);
    assert_int_equal(audit_of(s, 3)->keep[0], MATCH_KEEP_NONE); /* the stricter of the two */
    assert_int_equal(audit_of(s, 2)->keep[0], MATCH_KEEP_LAST4);
    assert_int_equal(rules_function_at(s, 1)->mask_caller.detectors, 1);
    assert_int_equal(rules_function_at(s, 1)->mask_caller.keep[0], MATCH_KEEP_BIN_LAST4);
    assert_int_equal(rules_function_at(s, 3)->mask_caller.detectors, 13);
    assert_int_equal(rules_function_at(s, 3)->mask_caller.keep[0], MATCH_KEEP_LAST4);

    diags_init(&d);
    assert_true(rules_add_detectors(s, b, &d));
    db = match_builder_compile(b, why);
    assert_non_null(db);
    assert_int_equal(match_db_find(db, SPAN_LIT("pci.card")), 0);
    assert_int_equal(match_db_find(db, SPAN_LIT("pii.email")), 1);
    assert_int_equal(match_db_find(db, SPAN_LIT("acme.alpha")), 2);
    assert_int_equal(match_db_find(db, SPAN_LIT("acme.zeta")), 3);
    match_db_free(db);
    match_builder_free(b);
    diags_free(&d);
    rules_free(s);
}

/* What a condition says of every call: an error if that is no, a warning if the rule needs none. */
static void constant_conditions_are_told(void **state)
{
    static const struct {
        const char *when, *then, *says;
        bool error;
    } cases[] = {
        {"1 > 2", "allow", "never true", true},
        {"false && body.a > 1", "block", "never true", true},
        {"'1 / 0 == 1'", "allow", "never true", true},
        {"1 < 2", "hold", "is true of every call", false},
        {"'1 / 0 == 1'", "block", "is unknown of every call", false},
        {"1 > 2", "block, mode: off", NULL, false},
        {"1 > 2", "block, mode: report", "never true", true},
        {"body.a > 1", "block", NULL, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_dir t;
        struct diags d;
        char text[2000];

        snprintf(text, sizeof(text),
                 BASE "rules:\n  - {id: 1, name: n, on: stripe.*, when: %s, then: %s}\n",
                 cases[i].when, cases[i].then);
        test_dir_make(&t);
        test_dir_put(&t, "a.yaml", text);
        diags_init(&d);
        rules_free(rules_load(t.path, TEST_NOW, &d));
        if (d.count != (cases[i].says != NULL) || d.errors != cases[i].error ||
            (d.count && (d.items[0].where.line != 10 || d.items[0].where.column != 42 ||
                         !strstr(d.items[0].message, cases[i].says)))) {
            diags_print(&d, stdout, false);
            fail_msg("%s: expected %s", cases[i].when, cases[i].says ? cases[i].says : "nothing");
        }
        diags_free(&d);
        test_dir_remove(&t);
    }
}

static void expiry_warns_ahead(void **state)
{
    static const struct {
        const char *date;
        const char *says; /* NULL: no warning */
    } cases[] = {{"2026-09-20", "has expired"},
                 {"2026-09-21", "expires in 0 days"}, /* today, and it still holds */
                 {"2026-10-01", "expires in"},
                 {"2027-01-31", NULL}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct test_dir t;
        struct diags d;
        struct rules_set *s;
        char text[2000];

        snprintf(text, sizeof(text), RULE(GOOD_RULE "    expires: %s\n"), cases[i].date);
        test_dir_make(&t);
        test_dir_put(&t, "a.yaml", text);
        diags_init(&d);
        s = rules_load(t.path, TEST_NOW, &d);
        assert_non_null(s);
        assert_int_equal(d.count, cases[i].says ? 1 : 0);
        if (cases[i].says)
            assert_non_null(strstr(d.items[0].message, cases[i].says));
        rules_free(s);
        diags_free(&d);
        test_dir_remove(&t);
    }
}

/* The rows as files for schema.py: N.yaml, and N.says with what the loader says of it. */
static int write_rows(const char *directory)
{
    struct test_dir t;
    char name[32];

    snprintf(t.path, sizeof(t.path), "%s", directory);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(name, sizeof(name), "%u.yaml", i);
        test_dir_put(&t, name, rows[i].text);
        snprintf(name, sizeof(name), "%u.says", i);
        test_dir_put(&t, name, rows[i].says ? rows[i].says : "");
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_complaint_at_its_place),
        cmocka_unit_test(all_at_once_over_all_files),
        cmocka_unit_test(rules_that_never_decide_are_told),
        cmocka_unit_test(many_rules_shadow_one),
        cmocka_unit_test(order_of_files_and_entries_means_nothing),
        cmocka_unit_test(what_is_read_and_what_is_not),
        cmocka_unit_test(the_hash_is_over_names_and_contents),
        cmocka_unit_test(a_connection_as_written),
        cmocka_unit_test(tls_as_written),
        cmocka_unit_test(masks_are_resolved_by_function),
        cmocka_unit_test(constant_conditions_are_told),
        cmocka_unit_test(expiry_warns_ahead),
    };

    if (argc == 3 && strcmp(argv[1], "--rows") == 0)
        return write_rows(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
