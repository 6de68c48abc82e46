// Node as it comes: only NODE_EXTRA_CA_CERTS is set. usage: client.mjs HOST TOKEN
import https from "node:https";

const [host, token] = process.argv.slice(2);
const agent = new https.Agent({keepAlive: true, maxSockets: 1});

function call(method, body, agent) {
  return new Promise((resolve, reject) => {
    const request = https.request({host, path: "/v1/x", method, agent,
                                   headers: {Authorization: "Bearer " + token}}, (answer) => {
      const seen = {reusedSocket: request.reusedSocket, resumed: answer.socket.isSessionReused(),
                    version: answer.socket.getProtocol()};
      let text = "";
      answer.on("data", (d) => text += d);
      answer.on("end", () => resolve({status: answer.statusCode, body: JSON.parse(text), ...seen}));
    });
    request.on("error", reject);
    request.end(body);
  });
}

const one = await call("GET", undefined, agent);
const two = await call("POST", "hello=world", agent);
agent.destroy();
// Another connection of the same agent: its session cache is the agent's.
const three = await call("GET", undefined, agent);
console.log(JSON.stringify({get: one.status, post: two.status, method: two.body.method, length: two.body.length,
                            keptAlive: two.reusedSocket, resumed: three.resumed, version: one.version}));
agent.destroy();
