"""Functions told by what the body says, before a real MCP server and a real GraphQL server: what is blocked never runs
there, however the call is written."""
import json
import os

import pytest

from conftest import HERE, checked
from lab.scenarios import SPECIAL, wait_for

FUNCTIONS = """
      session: {at: POST /mcp, jsonrpc: [initialize, notifications/initialized, ping, tools/list]}
      tool.orders: {at: POST /mcp, mcp: list_orders}
      tool.refund: {at: POST /mcp, mcp: create_refund}
      mcp.other: POST /mcp
      graph.refund: {at: POST /graphql, graphql: mutation createRefund}
      graph.note: {at: POST /graphql, graphql: mutation addNote}
      graph.read: {at: POST /graphql, graphql: query *}
      graph.other: POST /graphql
"""
# The plain functions are allowed: what is refused below is refused by its own function or as unlisted.
RULES = """
rules:
  - {id: 700, name: Agents look, on: [special.session, special.tool.orders, special.mcp.other], then: allow}
  - {id: 701, name: No refunds by agents, on: [special.tool.refund, special.graph.refund], then: block}
  - {id: 702, name: Reading and notes, on: [special.graph.read, special.graph.note, special.graph.other], then: allow}
masks:
  - {id: 703, on: special.tool.orders, find: [pci.card], in: [audit], keep: none}
"""


@pytest.fixture(scope="module")
def agents(make_lab):
    with make_lab(name=os.environ.get("TURNPIKE_LAB", "tp") + "t") as lab:
        polite = next(p for p in lab.processes if "10.20.0.11" in p.args)
        polite.terminate()
        polite.wait(10)
        lab.spawn(lab.vendor, "/usr/bin/python3", os.path.join(HERE, "agent_vendor.py"), "10.20.0.11", "443",
                  lab.path("special.pem"), lab.path("special.key"), lab.path("agent.log"), log="agent.err")
        with open(lab.path("rules", "payments.yaml")) as f:
            text = f.read()
        with open(lab.path("rules", "payments.yaml"), "w") as f:
            f.write(text.replace("      write: POST /v1/**\n", "      write: POST /v1/**" + FUNCTIONS))
        with open(lab.path("rules", "agents.yaml"), "w") as f:
            f.write(RULES)
        lab.ctl("rules", "reload")
        wait_for("the agents' vendor", lambda: post(lab, "/mcp", rpc("ping")).status == 200)
        with checked(lab):
            yield lab


def post(lab, path, body, kind="application/json"):
    body = body if isinstance(body, str) else json.dumps(body)
    return lab.curl(SPECIAL + path, "-H", f"Content-Type: {kind}", "-d", body)


def rpc(method, **params):
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def tool(name):
    return rpc("tools/call", name=name, arguments={})


def ran(lab):
    return [line["ran"] for line in lab.vendor_log("agent")]


def recorded(lab):
    """The function of the last call that was decided."""
    return lab.audit("--kind", "call.decided")[-1]["function"]


def test_one_tool_runs_another_is_blocked(agents):
    before = ran(agents)
    for call in (rpc("initialize"), rpc("tools/list"), tool("list_orders")):
        a = post(agents, "/mcp", call)
        assert a.status == 200 and "result" in a.json, a
    assert recorded(agents) == "special.tool.orders"
    a = post(agents, "/mcp", tool("create_refund"))
    assert a.status == 403 and a.cause == "blocked_by_rule", a
    assert recorded(agents) == "special.tool.refund"
    assert ran(agents) == before + ["list_orders"]


def test_nothing_hides_a_tool(agents):
    before = ran(agents)
    hidden = [
        [tool("list_orders"), tool("create_refund")],
        [tool("create_refund")],
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_orders","name":"create_refund"}}',
        '{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"create_refund"}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"create_\\u0072efund"}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools\\/call","params":{"name":"create_refund","Name":"list_orders"}}',
        json.dumps(tool("create_refund")) + " x",
        '{"id":1,"method":"tools/call","params":{"name":"create_refund"}}',
    ]
    for body in hidden:
        a = post(agents, "/mcp", body)
        assert a.status == 403, (body, a)
    a = post(agents, "/mcp", tool("create_refund"), "text/plain")
    assert a.status == 403, a
    assert ran(agents) == before
    assert post(agents, "/mcp", rpc("resources/list")).status == 200  # the plain function


def test_a_mutation_is_blocked_a_query_runs(agents):
    before = ran(agents)
    a = post(agents, "/graphql", {"query": "query Q($i: Int) {mine: order(id: $i) {id} orders {id}}"})
    assert a.status == 200 and a.json["data"]["mine"] == {"id": 1}, a
    assert recorded(agents) == "special.graph.read"
    a = post(agents, "/graphql", {"query": "mutation {addNote(text: \"createRefund\") {id}}"})
    assert a.status == 200, a
    a = post(agents, "/graphql", {"query": "mutation {createRefund(id: 1) {id}}"})
    assert a.status == 403 and a.cause == "blocked_by_rule", a
    assert recorded(agents) == "special.graph.refund"
    assert ran(agents) == before + ["order", "orders", "addNote"]


def test_nothing_hides_a_mutation(agents):
    before = ran(agents)
    hidden = [
        {"query": "mutation {addNote: createRefund {id}}"},
        {"query": "mutation {addNote {id} x: createRefund {id}}"},
        {"query": "mutation {...F} fragment F on Mutation {addNote {id} ...G} fragment G on Mutation {createRefund {id}}"},
        {"query": "mutation {... on Mutation {createRefund {id}}}"},
        {"query": "mutation {addNote {id} ... @include(if: true) {createRefund {id}}}"},
        {"query": "query A {orders {id}} mutation B {createRefund {id}}", "operationName": "B"},
        {"query": "# {orders {id}}\nmutation {createRefund {id}}"},
        {"query": "mutation M($x: String = \"\"\"} query {orders {id}} #\"\"\") {createRefund {id}}"},
        # GraphQL of 2016, as this vendor's: no block strings, but an empty string and the next one.
        {"query": "mutation {addNote(text: [\"\"\" \" ]) createRefund(x: [\" \"\"\"]) {id}}"},
        [{"query": "{orders {id}}"}, {"query": "mutation {createRefund {id}}"}],
        '{"query":"{orders {id}}","query":"mutation {createRefund {id}}"}',
        '{"query":"mutation {create\\u0052efund {id}}"}',
    ]
    for body in hidden:
        a = post(agents, "/graphql", body)
        assert a.status == 403, (body, a)
    a = post(agents, "/graphql?query=mutation%7BcreateRefund%7Bid%7D%7D", {"query": "{orders {id}}"})
    assert a.status == 403, a
    assert ran(agents) == before


def test_a_body_in_pieces_and_one_too_large(agents):
    before = ran(agents)
    whole = json.dumps(tool("create_refund"))
    a = agents.curl(SPECIAL + "/mcp", "-H", "Content-Type: application/json", "-H", "Transfer-Encoding: chunked", "-d", whole)
    assert a.status == 403 and recorded(agents) == "special.tool.refund", a
    with open(agents.path("large.json"), "w") as f:
        f.write(json.dumps({**tool("create_refund"), "pad": "x" * (2 << 20)}))
    a = agents.curl(SPECIAL + "/mcp", "-H", "Content-Type: application/json", "-d", "@" + agents.path("large.json"))
    assert a.status == 403 and recorded(agents) == "special.unlisted", a
    assert ran(agents) == before
