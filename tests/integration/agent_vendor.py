#!/usr/bin/python3
"""A vendor for agents: an MCP server at /mcp (JSON-RPC 2.0, batches too) and a GraphQL server at /graphql (graphql-core).
usage: agent_vendor.py ADDRESS PORT CERTIFICATE KEY LOG

A log line for each tool and each field that has run: {"ran": "create_refund"}.
"""
import json
import os
import sys

from graphql import build_ast_schema, graphql, parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), *[".."] * 2, "tools", "lab"))
import serving  # noqa: E402
import vendor  # noqa: E402

TOOLS = ("create_refund", "list_orders")
SCHEMA = build_ast_schema(parse("""
    schema { query: Query mutation: Mutation }
    type Query { order(id: Int): Order orders: [Order] }
    type Mutation { createRefund(id: Int): Order addNote(text: String): Order }
    type Order { id: Int }
"""))


class Root:
    """Resolves every field by noting it."""

    def __init__(self, log):
        self.log = log

    def _run(self, name, answer):
        self.log.write({"ran": name})
        return answer

    def order(self, *_, **__):
        return self._run("order", {"id": 1})

    def orders(self, *_, **__):
        return self._run("orders", [{"id": 1}])

    def createRefund(self, *_, **__):
        return self._run("createRefund", {"id": 2})

    def addNote(self, *_, **__):
        return self._run("addNote", {"id": 3})


def rpc(call, log):
    answer = {"jsonrpc": "2.0", "id": call.get("id")}
    method = call.get("method")
    if method == "initialize":
        answer["result"] = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                            "serverInfo": {"name": "lab", "version": "1"}}
    elif method == "tools/list":
        answer["result"] = {"tools": [{"name": t, "inputSchema": {"type": "object"}} for t in TOOLS]}
    elif method == "tools/call" and call["params"]["name"] in TOOLS:
        log.write({"ran": call["params"]["name"]})
        answer["result"] = {"content": [{"type": "text", "text": "done"}]}
    else:
        answer["error"] = {"code": -32601, "message": "Method not found"}
    return answer


def mcp(body, log):
    said = json.loads(body)  # a duplicate key: the last one counts
    return [rpc(c, log) for c in said] if isinstance(said, list) else rpc(said, log)


def query(body, log):
    said = json.loads(body)
    done = graphql(SCHEMA, said["query"], root=Root(log), operation_name=said.get("operationName"))
    return {"data": done.data, "errors": [str(e) for e in done.errors or []]}


def handle(conn, log):
    while (request := vendor.read_request(conn)) is not None:
        _, target, _, body = request
        answer = {"/mcp": mcp, "/graphql": query}[target.split("?")[0]](body, log)
        conn.sendall(vendor.whole(json.dumps(answer)))
    conn.unwrap()


if __name__ == "__main__":
    serving.serve(handle)
