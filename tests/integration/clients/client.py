"""Python's own HTTPS, and requests if it is there. usage: client.py HOST TOKEN CA"""
import http.client
import json
import ssl
import sys
import urllib.request

host, token, ca = sys.argv[1:]
fields = {"Authorization": f"Bearer {token}"}
context = ssl.create_default_context(cafile=ca)
url = f"https://{host}/v1/x"
get = urllib.request.urlopen(urllib.request.Request(url, headers=fields), context=context).status
conn = http.client.HTTPSConnection(host, context=context)
conn.request("GET", "/v1/x", headers=fields)
conn.getresponse().read()
sock, session, version = conn.sock, conn.sock.session, conn.sock.version()
conn.request("POST", "/v1/x", body="hello=world", headers=fields)
answer = conn.getresponse()
post, said, kept = answer.status, json.load(answer), conn.sock is sock
conn.close()
again = context.wrap_socket(__import__("socket").create_connection((host, 443)), server_hostname=host, session=session)
out = {"get": get, "post": post, "method": said["method"], "length": said["length"], "keptAlive": kept,
       "resumed": again.session_reused, "version": version}
again.close()
try:
    import requests
    with requests.Session() as s:
        s.verify, s.headers["Authorization"] = ca, fields["Authorization"]
        out["requests"] = [s.get(url).status_code, s.post(url, data="hello=world").status_code]
except ImportError:
    pass
print(json.dumps(out))
