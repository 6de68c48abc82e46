#!/usr/bin/python3
"""Four vendors at one address, as far as their Node SDKs need them: usage: sdk_vendor.py ADDRESS PORT CERTIFICATE KEY LOG"""
import email
import email.policy
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), *[".."] * 3, "tools", "lab"))
import serving  # noqa: E402
import vendor  # noqa: E402

BROKEN = ("/v1/balance", "/v1/models", "/Balance.json")  # answers that no client may trust


def chat(piece, end):
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": end}]}


def openai(fields, body):
    said = json.loads(body)
    if said.get("stream"):
        return [("", chat("Hel", None)), ("", chat("lo", "stop")), ("", "[DONE]")]
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]}


def anthropic(fields, body):
    message = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "stop_reason": None,
               "stop_sequence": None, "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}
    if not json.loads(body).get("stream"):
        return {**message, "stop_reason": "end_turn", "content": [{"type": "text", "text": "Hello"}]}
    delta = {"type": "content_block_delta", "index": 0}
    return [(e["type"], e) for e in (
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {**delta, "delta": {"type": "text_delta", "text": "Hel"}},
        {**delta, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
         "usage": {"output_tokens": 2}},
        {"type": "message_stop"})]


def upload(fields, body):
    head = f"Content-Type: {fields['content-type']}\r\n\r\n".encode()
    parts = {p.get_param("name", header="content-disposition"): p
             for p in email.message_from_bytes(head + body, policy=email.policy.HTTP).iter_parts()}
    return {"id": "file-1", "object": "file", "filename": parts["file"].get_filename(),
            "bytes": len(parts["file"].get_payload(decode=True)), "purpose": parts["purpose"].get_payload()}


ROUTES = {"/v1/chat/completions": openai, "/v1/messages": anthropic, "/v1/files": upload}


def handle(conn, log):
    while (request := vendor.read_request(conn)) is not None:
        method, target, fields, body = request
        log.write({"host": fields["host"], "method": method, "target": target})
        path = target.split("?")[0]
        if path.endswith(BROKEN):
            vendor.garbage(conn, fields)
            break
        said = ROUTES.get(path, lambda *_: {"id": "x1", "object": "thing", "sid": "SM1", "status": "queued"})(fields, body)
        if isinstance(said, list):
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            vendor.send_pieces(conn, [head] + [
                vendor.chunk(((f"event: {kind}\n" if kind else "") + "data: " +
                              (e if isinstance(e, str) else json.dumps(e)) + "\n\n").encode()) for kind, e in said], 0.05)
            conn.sendall(b"0\r\n\r\n")
        else:
            conn.sendall(vendor.whole(json.dumps(said), status="201 Created" if method == "POST" else "200 OK"))
    conn.unwrap()


if __name__ == "__main__":
    serving.serve(handle)
