// The vendors' own SDKs as they come: no base URL, no option but the key, which is the caller's token.
// usage: calls.mjs VENDOR CASE,... with TOKEN in the environment; one JSON line a case.
// NODE_PATH is of no use to `import`: the packages are resolved from SDKS, where they were installed.
import {createRequire} from "node:module";

const {TOKEN, SDKS} = process.env;
const load = createRequire(SDKS + "/");
const SID = "AC" + "0".repeat(32);

const vendors = {
  stripe: {
    open(token) { return new (load("stripe"))(token); },
    allowed: async (c) => (await c.charges.retrieve("ch_1")).id,
    allowed_post: async (c) => (await c.refunds.create({charge: "ch_1", amount: 500})).id,
    blocked: (c) => c.refunds.create({charge: "ch_1", amount: 60000}),
    unlisted: (c) => c.customers.retrieve("cus_1"),
    pending: (c) => c.payouts.create({amount: 100, currency: "usd"}),
    unknown: (c) => c.refunds.create({charge: "ch_1"}),
    broken: (c) => c.balance.retrieve(),
    told: (e) => ({status: e.statusCode, message: e.message, code: e.code, kind: e.rawType, id: e.requestId}),
  },
  openai: {
    open(apiKey) { return new (load("openai"))({apiKey}); },
    allowed: async (c) => (await c.chat.completions.create(chat(100))).choices[0].message.content,
    stream: async (c) => {
      let text = "";
      for await (const e of await c.chat.completions.create({...chat(100), stream: true}))
        text += e.choices[0].delta.content ?? "";
      return text;
    },
    upload: async (c) => {
      const file = await load("openai").toFile(Buffer.alloc(50000, "x\n"), "batch.jsonl");
      const done = await c.files.create({file, purpose: "batch"});
      return `${done.filename} ${done.bytes} ${done.purpose}`;
    },
    blocked: (c) => c.chat.completions.create(chat(6000)),
    blocked_stream: (c) => c.chat.completions.create({...chat(6000), stream: true}),
    blocked_upload: async (c) => c.files.create({
      file: await load("openai").toFile(Buffer.alloc(100, "x"), "a.jsonl"), purpose: "fine-tune"}),
    unlisted: (c) => c.moderations.create({input: "x"}),
    pending: (c) => c.embeddings.create({model: "m", input: "x"}),
    unknown: (c) => c.chat.completions.create(chat(undefined)),
    broken: (c) => c.models.list(),
    told: (e) => ({status: e.status, message: e.message, code: e.code, kind: e.type, id: e.requestID}),
  },
  anthropic: {
    open(apiKey) { return new (load("@anthropic-ai/sdk").Anthropic)({apiKey}); },
    allowed: async (c) => (await c.messages.create(chat(100))).content[0].text,
    stream: async (c) => (await c.messages.stream(chat(100)).finalMessage()).content[0].text,
    blocked: (c) => c.messages.create(chat(6000)),
    blocked_stream: (c) => c.messages.stream(chat(6000)).finalMessage(),
    unlisted: (c) => c.messages.batches.list(),
    pending: (c) => c.messages.countTokens({model: "m", messages: chat(1).messages}),
    unknown: (c) => c.messages.create(chat(undefined)),
    broken: (c) => c.models.list(),
    told: (e) => ({status: e.status, message: e.message, code: e.error?.turnpike?.cause,
                   kind: e.error?.error?.type, id: e.requestID}),
  },
  twilio: {
    open(token) { return load("twilio")(SID, token); },
    allowed: async (c) => (await c.messages("SM1").fetch()).sid,
    allowed_post: async (c) => (await c.messages.create(sms({validityPeriod: 60}))).sid,
    blocked: (c) => c.messages.create(sms({validityPeriod: 600})),
    unlisted: (c) => c.recordings.list({limit: 1}),
    pending: (c) => c.calls.create({to: "+15005550006", from: "+15005550001", url: "https://example.com/x"}),
    unknown: (c) => c.messages.create(sms({})),
    broken: (c) => c.balance.fetch(),
    told: (e) => ({status: e.status, message: e.message, code: e.details?.cause, number: e.code, id: e.details?.call}),
  },
};

function chat(most) {
  return {model: "m", max_tokens: most, messages: [{role: "user", content: "Hi"}]};
}

function sms(more) {
  return {to: "+15005550006", from: "+15005550001", body: "Hello", ...more};
}

const vendor = vendors[process.argv[2]];
for (const name of process.argv[3].split(",")) {
  // The test tells cases by their times, in ms.
  await new Promise((done) => setTimeout(done, 20));
  const said = {case: name, began: Date.now()};
  try {
    const client = vendor.open(name === "identity" ? "sk_live_somebodys_old_key" : TOKEN);
    said.answer = await vendor[name === "identity" || name === "busy" ? "allowed" : name](client);
  } catch (e) {
    // Errors of an SDK inherit from each other: all their names, the closest first.
    said.classes = [];
    for (let p = Object.getPrototypeOf(e); p !== Object.prototype; p = Object.getPrototypeOf(p))
      said.classes.push(p.constructor.name);
    said.error = vendor.told(e);
  }
  said.ended = Date.now();
  console.log(JSON.stringify(said));
}
process.exit(0); // an answer that an SDK has left unread would keep it here
