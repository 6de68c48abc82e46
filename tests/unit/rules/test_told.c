/* Functions told by what the body says: what names one, and what must not. */
#include "rules_test.h"

static const char told[] =
    "connections:\n"
    "  x:\n"
    "    hosts: [x.example]\n"
    "    functions:\n"
    "      send: {at: POST /rpc, jsonrpc: eth_sendTransaction}\n"
    "      look: {at: POST /rpc, jsonrpc: [eth_call, eth_getBalance]}\n"
    "      rpc: POST /rpc\n"
    "      only: {at: POST /only, jsonrpc: ping}\n"
    "      refund: {at: POST /mcp, mcp: create_refund}\n"
    "      charge: {at: POST /mcp, mcp: [charge, charge_twice]}\n"
    "      session: {at: POST /mcp, jsonrpc: [initialize, tools/list]}\n"
    "      mcp: POST /mcp\n"
    "      tool: {at: POST /tools, mcp: a}\n"
    "      othertool: {at: POST /tools, jsonrpc: tools/call}\n"
    "      delete: {at: POST /admin, form: {action: [delete, purge]}}\n"
    "      deletejson: {at: POST /admin, json: {action: delete}}\n"
    "      admin: POST /admin\n"
    "      deep: {at: POST /deep, form: {data.type: 5}}\n"
    "      deepjson: {at: POST /deep, json: {data.type: five}}\n"
    "      otherdeep: POST /deep\n"
    "      start: {at: 'POST /v1/{org}/jobs', json: {kind: start}}\n"
    "      wet: {at: 'POST /v1/{org}/jobs', json: {dry_run: false}}\n"
    "      one: {at: 'POST /v1/{org}/jobs', json: {op: [1, -20]}}\n"
    "      job: POST /v1/{org}/jobs\n"
    "      refundql: {at: POST /graphql, graphql: mutation createRefund}\n"
    "      orders: {at: POST /graphql, graphql: [query order, query orders]}\n"
    "      watch: {at: POST /graphql, graphql: subscription *}\n"
    "      ql: POST /graphql\n"
    "      asks: {at: POST /ql, graphql: query *}\n"
    "      secret: {at: POST /ql, graphql: query secret}\n"
    "      both:\n"
    "        - {at: PUT /both, json: {a: x}}\n"
    "        - {at: PUT /both, json: {b: 'true'}}\n"
    "        - GET /both\n";

struct row {
    const char *path, *type, *body, *want;
};

#define RPC(method) "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"" method "\",\"params\":[]}"
#define TOOL(params)                                                                               \
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":" params "}"

#define PART(disposition, text)                                                                    \
    "--b\r\nContent-Disposition: form-data; " disposition "\r\n\r\n" text "\r\n"

static const struct row rows[] = {
    /* JSON-RPC */
    {"/rpc", "json", RPC("eth_sendTransaction"), "send"},
    {"/rpc", "json", RPC("eth_send\\u0054ransaction"), "send"},
    {"/rpc", "json", RPC("eth_call"), "look"},
    {"/rpc", "json", RPC("eth_getBalance"), "look"},
    {"/rpc", "json", RPC("eth_blockNumber"), "rpc"},
    {"/rpc/", "json", RPC("eth_sendTransaction"), "send"},
    {"/only", "json", RPC("ping"), "only"},
    {"/only", "json", RPC("pong"), "unlisted"},
    {"/rpc", "json", RPC("eth_sendtransaction"),
     "unlisted"}, /* somebody may take it for the other */
    {"/rpc", "json", RPC(" eth_sendTransaction"), "unlisted"},
    {"/rpc", "json", RPC("eth_sendTransaction\\u0000x"), "unlisted"},
    {"/rpc", "json", "[" RPC("eth_call") "]", "unlisted"},
    {"/rpc", "json", "[]", "unlisted"},
    {"/rpc", "json", "{}", "unlisted"},
    {"/rpc", "json", "", "unlisted"},
    {"/rpc", "json", "{\"jsonrpc\":\"2.0\",\"method\":\"eth_call\"", "unlisted"},
    {"/rpc", "json", "{\"jsonrpc\":\"2.0\",\"result\":1}", "unlisted"},
    {"/rpc", "json", "{\"method\":\"eth_call\"}", "unlisted"},
    {"/rpc", "json", "{\"jsonrpc\":\"1.0\",\"method\":\"eth_call\"}", "unlisted"},
    {"/rpc", "json", "{\"jsonrpc\":2.0,\"method\":\"eth_call\"}", "unlisted"},
    {"/rpc", "json", "{\"jsonrpc\":\"2.0\",\"method\":[\"eth_call\"]}", "unlisted"},
    {"/rpc", "json", "{\"jsonrpc\":\"2.0\",\"method\":null}", "unlisted"},
    {"/rpc", "json", "{\"jsonrpc\":\"2.0\",\"method\":\"eth_call\",\"method\":\"eth_call\"}",
     "unlisted"},
    {"/rpc", "json", "{\"jsonrpc\":\"2.0\",\"method\":\"eth_call\",\"Method\":\"other\"}",
     "unlisted"},
    {"/rpc", "json", "{\"jsonrpc\":\"2.0\",\"Method\":\"eth_call\"}", "unlisted"},
    {"/rpc", "json", "{\"jsonrpc\":\"2.0\",\"m\\u0065thod\":\"a\",\"method\":\"eth_call\"}",
     "unlisted"},
    {"/rpc", "form", "jsonrpc=2.0&method=eth_call", "unlisted"},
    {"/rpc", "other", RPC("eth_call"), "unlisted"},
    {"/rpc", "none", "", "unlisted"},
    /* MCP */
    {"/mcp", "json", TOOL("{\"name\":\"create_refund\"}"), "refund"},
    {"/mcp", "json", TOOL("{\"arguments\":{\"name\":\"charge\"},\"name\":\"create_refund\"}"),
     "refund"},
    {"/mcp", "json", TOOL("{\"name\":\"charge_twice\"}"), "charge"},
    {"/mcp", "json", TOOL("{\"name\":\"other\"}"), "mcp"},
    {"/mcp", "json", TOOL("{\"name\":\"Create_Refund\"}"), "unlisted"},
    {"/mcp", "json", TOOL("{\"name\":5}"), "unlisted"},
    {"/mcp", "json", TOOL("{}"), "unlisted"},
    {"/mcp", "json", TOOL("[\"create_refund\"]"), "unlisted"},
    {"/mcp", "json", TOOL("{\"name\":\"other\",\"name\":\"create_refund\"}"), "unlisted"},
    {"/mcp", "json", TOOL("{\"name\":\"other\"},\"params\":{\"name\":\"create_refund\"}"),
     "unlisted"},
    {"/mcp", "json", TOOL("{\"name\":\"other\",\"NAME\":\"create_refund\"}"), "unlisted"},
    {"/mcp", "json", "[" TOOL("{\"name\":\"other\"}") "]", "unlisted"},
    {"/mcp", "json", RPC("tools/list"), "session"},
    {"/mcp", "json", RPC("initialize"), "session"},
    {"/mcp", "json", RPC("ping"), "mcp"},
    {"/mcp", "json", RPC("Tools/call"), "unlisted"},
    {"/mcp", "json", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}", "unlisted"},
    {"/tools", "json", TOOL("{\"name\":\"a\"}"), "tool"},
    {"/tools", "json", TOOL("{\"name\":\"b\"}"), "othertool"},
    {"/tools", "json", TOOL("{}"), "unlisted"},
    {"/tools", "json", RPC("ping"), "unlisted"},
    /* forms and fields */
    {"/admin", "form", "action=delete&id=5", "delete"},
    {"/admin", "form", "id=5&action=p%75rge", "delete"},
    {"/admin", "form", "action=list", "admin"},
    {"/admin", "form", "action=Delete", "unlisted"},
    {"/admin", "form", "action=delete+", "unlisted"},
    {"/admin", "form", "action=list&action=delete", "unlisted"},
    {"/admin", "form", "action=list&Action=delete", "unlisted"},
    {"/admin", "form", "action[]=delete", "unlisted"},
    {"/admin", "form", "id=5", "unlisted"},
    {"/admin", "form", "", "unlisted"},
    {"/admin", "form", "action=%zz", "unlisted"},
    {"/admin", "parts", PART("name=\"action\"", "delete") "--b--\r\n", "delete"},
    {"/admin", "parts", PART("name=\"action\"", "list") "--b--\r\n", "admin"},
    {"/admin", "parts", PART("name=\"other\"", "list") "--b--\r\n", "unlisted"},
    {"/admin", "parts", PART("name=\"action\"; filename=\"x\"", "delete") "--b--\r\n", "unlisted"},
    {"/admin", "parts",
     PART("name=\"action\"", "list") PART("name=\"action\"", "delete") "--b--\r\n", "unlisted"},
    {"/admin", "parts", PART("name=\"action\"", "list"), "unlisted"},
    {"/admin?action=delete", "parts", PART("name=\"action\"", "list") "--b--\r\n", "unlisted"},
    {"/admin", "json", "{\"action\":\"delete\"}", "deletejson"},
    {"/admin", "json", "{\"action\":\"purge\"}", "admin"},
    {"/admin", "json", "{\"action\":true}", "unlisted"},
    {"/admin?x=1", "form", "action=list", "admin"},
    {"/admin?action=delete", "form", "action=list", "unlisted"},
    {"/admin?Action=delete", "form", "action=list", "unlisted"},
    {"/admin?%61ction=delete", "form", "action=list", "unlisted"},
    {"/admin?action[x]=delete", "form", "action=list", "unlisted"},
    {"/admin?%zz", "form", "action=list", "unlisted"},
    {"/admin?action=list", "form", "action=list", "unlisted"},
    {"/admin?x=1", "json", "{\"action\":\"delete\"}", "deletejson"},
    {"/deep?x=1", "form", "data[type]=5", "deep"},
    {"/deep", "form", "data[type]=5.0", "otherdeep"},
    {"/deep?data[type]=5", "form", "data[type]=6", "unlisted"},
    {"/deep?data=5", "form", "data[type]=6", "unlisted"},
    {"/deep", "json", "{\"data\":{\"type\":\"five\"}}", "deepjson"},
    {"/deep", "json", "{\"data\":{\"type\":\"5\"}}", "otherdeep"},
    {"/deep", "json", "{\"data\":[{\"type\":\"five\"}]}", "unlisted"},
    {"/deep", "json", "{\"data\":{},\"data.type\":\"five\"}", "unlisted"},
    /* several fields */
    {"/v1/o/jobs", "json", "{\"kind\":\"start\"}", "start"},
    {"/v1/o/jobs", "json", "{\"kind\":\"start\",\"dry_run\":true,\"op\":2}", "start"},
    {"/v1/o/jobs", "json", "{\"kind\":\"stop\",\"dry_run\":false}", "wet"},
    {"/v1/o/jobs", "json", "{\"kind\":\"start\",\"dry_run\":false}", "unlisted"},
    {"/v1/o/jobs", "json", "{\"kind\":\"stop\",\"dry_run\":true,\"op\":2}", "job"},
    {"/v1/o/jobs", "json", "{\"kind\":\"stop\",\"dry_run\":true}", "unlisted"},
    {"/v1/o/jobs", "json", "{\"kind\":\"stop\",\"dry_run\":\"false\",\"op\":2}", "unlisted"},
    {"/v1/o/jobs", "json", "{\"op\":1}", "one"},
    {"/v1/o/jobs", "json", "{\"op\":-20}", "one"},
    {"/v1/o/jobs", "json", "{\"op\":1.0,\"kind\":\"stop\",\"dry_run\":true}", "unlisted"},
    {"/v1/o/jobs", "json", "{\"op\":1e0,\"kind\":\"start\"}", "unlisted"},
    {"/v1/o/jobs", "json", "{\"kind\":\"start\",\"op\":null}", "unlisted"},
};

#define QL(document) "{\"query\":\"" document "\"}"
#define QL_NAMED(document, name)                                                                   \
    "{\"operationName\":" name ",\"variables\":{\"a\":1},\"query\":\"" document "\"}"

static const struct row graphql_rows[] = {
    {"/graphql", "json", QL("mutation {createRefund(id: 5) {id}}"), "refundql"},
    {"/graphql", "json", QL("mutation {x: createRefund {id}}"), "refundql"},
    {"/graphql", "json", QL("mutation {createRefund {id} createRefund {id} __typename}"),
     "refundql"},
    {"/graphql", "json", QL("mutation {...F} fragment F on Mutation {createRefund {id}}"),
     "refundql"},
    {"/graphql", "json", QL("mutation {... {createRefund {id}}}"), "refundql"},
    {"/graphql", "json", QL("mut\\\\u0061tion {createRefund}"), "unlisted"},
    {"/graphql", "json", QL("mut\\u0061tion {createRefund}"), "refundql"},
    {"/graphql", "json", QL("mutation {createRefund: other}"), "ql"},
    {"/graphql", "json", QL("mutation {other(i: \\\"createRefund\\\")}"), "ql"},
    {"/graphql", "json", QL("mutation {other(i: \\\"createRefund\")}"), "unlisted"},
    {"/graphql", "json", QL("mutation {other(i: \\\"x)}"), "unlisted"},
    {"/graphql", "json", QL("mutation {other}"), "ql"},
    {"/graphql", "json", QL("mutation {other {createRefund}}"), "ql"},
    {"/graphql", "json", QL("mutation {other createRefund}"), "unlisted"},
    {"/graphql", "json", QL("mutation {other ...F} fragment F on M {createRefund}"), "unlisted"},
    {"/graphql", "json", QL("mutation {CreateRefund}"), "ql"}, /* names have their case */
    {"/graphql", "json", QL("query {createRefund}"), "ql"},
    {"/graphql", "json", QL("{order {id}}"), "orders"},
    {"/graphql", "json", QL("{order {id} orders {id}}"), "orders"},
    {"/graphql", "json", QL("{order {id} other}"), "unlisted"},
    {"/graphql", "json", QL("subscription {anything}"), "watch"},
    {"/graphql", "json", QL("{__typename}"), "ql"},
    {"/graphql", "json", QL("query A {order} mutation B {createRefund}"), "unlisted"},
    {"/graphql", "json", QL_NAMED("query A {order} mutation B {createRefund}", "\"A\""), "orders"},
    {"/graphql", "json", QL_NAMED("query A {order} mutation B {createRefund}", "\"B\""),
     "refundql"},
    {"/graphql", "json", QL_NAMED("query A {order} mutation B {createRefund}", "\"C\""),
     "unlisted"},
    {"/graphql", "json", QL_NAMED("query A {order}", "null"), "orders"},
    {"/graphql", "json", QL_NAMED("query A {order}", "5"), "unlisted"},
    {"/graphql", "json", "[" QL("{order}") "]", "unlisted"},
    {"/graphql", "json", "{\"query\":null}", "unlisted"},
    {"/graphql", "json", "{\"query\":[\"{order}\"]}", "unlisted"},
    {"/graphql", "json", "{\"query\":\"{order}\",\"query\":\"{order}\"}", "unlisted"},
    {"/graphql", "json", "{\"query\":\"{order}\",\"Query\":\"mutation {createRefund}\"}",
     "unlisted"},
    {"/graphql", "json", "{\"operationName\":\"A\"}", "unlisted"},
    {"/graphql", "json", "{\"documentId\":\"A\"}", "unlisted"},
    {"/graphql", "json", "{\"extensions\":{\"persistedQuery\":{\"sha256Hash\":\"ab\"}}}",
     "unlisted"},
    {"/graphql", "json",
     "{\"query\":\"{order}\",\"extensions\":{\"persistedQuery\":{\"sha256Hash\":\"ab\"}}}",
     "unlisted"},
    {"/graphql", "json", "{\"query\":\"{order}\",\"extensions\":{\"tracing\":true}}", "orders"},
    {"/graphql?x=1", "json", QL("{order}"), "orders"},
    {"/graphql?query=mutation{createRefund}", "json", QL("{order}"), "unlisted"},
    {"/graphql?operationName=B", "json", QL("query A {order} mutation B {createRefund}"),
     "unlisted"},
    {"/graphql?extensions=%7B%7D", "json", QL("{order}"), "unlisted"},
    {"/graphql", "other", "{order}", "unlisted"},
    {"/graphql", "form", "query={order}", "unlisted"},
    {"/ql", "json", QL("{a b c}"), "asks"},
    {"/ql", "json", QL("{__typename}"), "asks"},
    {"/ql", "json", QL("{secret}"), "secret"},
    {"/ql", "json", QL("{a: secret}"), "secret"},
    {"/ql", "json", QL("{a secret}"), "unlisted"},
    {"/ql", "json", QL("mutation {a}"), "unlisted"},
};

static void set_target(struct test_call *t, const char *path)
{
    const char *query = strchr(path, '?');

    t->head.path = span_of(path, query ? (size_t)(query - path) : strlen(path));
    t->head.query = query ? span_cstr(query + 1) : SPAN_NONE;
}

static enum body_type type_of(const char *name)
{
    return strcmp(name, "json") == 0    ? BODY_JSON
           : strcmp(name, "parts") == 0 ? BODY_MULTIPART
           : strcmp(name, "form") == 0  ? BODY_FORM
           : strcmp(name, "none") == 0  ? BODY_NONE
                                        : BODY_OTHER;
}

static const char *told_name(struct rules_scratch *x, struct test_call *t)
{
    static char name[200];

    t->call.function = rules_function_told(x, &t->call);
    snprintf(name, sizeof(name), "%.*s", SPAN_ARG(t->call.function->name));
    return name + 2;
}

static struct rules_scratch *scratch_for(const struct rules_set *s)
{
    struct rules_scratch *x = rules_scratch_new();

    assert_non_null(x);
    assert_true(rules_scratch_adopt(x, s));
    return x;
}

static unsigned check_rows(const char *text, const struct row *row, size_t n)
{
    struct rules_set *s = test_set(text);
    struct rules_scratch *x = scratch_for(s);
    unsigned wrong = 0;

    for (size_t i = 0; i < n; i++) {
        struct test_call t;
        const char *got;

        test_call_init(&t);
        set_target(&t, row[i].path);
        test_body(&t, type_of(row[i].type), row[i].body);
        test_route(&t, s, "x.example");
        got = told_name(x, &t);
        if (strcmp(got, row[i].want)) {
            printf("%s %s %s: expected %s, came %s\n", row[i].path, row[i].type, row[i].body,
                   row[i].want, got);
            wrong++;
        }
    }
    rules_scratch_free(x);
    rules_free(s);
    return wrong;
}

static void bodies_tell_functions(void **state)
{
    (void)state;
    assert_int_equal(check_rows(told, rows, sizeof(rows) / sizeof(rows[0])), 0);
}

static void graphql_operations_are_functions(void **state)
{
    (void)state;
    assert_int_equal(check_rows(told, graphql_rows, sizeof(graphql_rows) / sizeof(graphql_rows[0])),
                     0);
}

/* Whatever the cause: what cannot be read is nobody's function, not even the plain one. */
static void an_unreadable_body_is_unlisted(void **state)
{
    struct rules_set *s = test_set(told);
    struct rules_scratch *x = scratch_for(s);
    struct test_call t;

    (void)state;
    test_call_init(&t);
    set_target(&t, "/rpc");
    test_route(&t, s, "x.example");
    assert_true(span_eq(t.call.function->name, SPAN_LIT("x.rpc")));
    for (unsigned p = BODY_PROBLEM_NONE + 1; p < BODY_PROBLEM_COUNT; p++) {
        test_body(&t, BODY_JSON, "");
        t.call.body_problem = (enum body_problem)p;
        test_route(&t, s, "x.example");
        assert_string_equal(told_name(x, &t), "unlisted");
    }
    set_target(&t, "/both"); /* by another method the same path tells by itself */
    t.head.method = SPAN_LIT("GET");
    test_route(&t, s, "x.example");
    assert_string_equal(told_name(x, &t), "both");
    rules_scratch_free(x);
    rules_free(s);
}

static void parameters_stay(void **state)
{
    struct rules_set *s = test_set(told);
    struct rules_scratch *x = scratch_for(s);
    struct test_call t;

    (void)state;
    test_call_init(&t);
    set_target(&t, "/v1/acme/jobs");
    test_body(&t, BODY_JSON, "{\"kind\":\"start\"}");
    test_route(&t, s, "x.example");
    assert_string_equal(told_name(x, &t), "start");
    assert_int_equal(t.params.n, 1);
    assert_true(span_eq(t.params.p[0].name, SPAN_LIT("org")));
    assert_true(span_eq(t.params.p[0].value, SPAN_LIT("acme")));
    rules_scratch_free(x);
    rules_free(s);
}

/* Two hundred fields more or less in the query: the memory for it is bounded, and so is the answer.
 */
static void a_long_query_is_unlisted(void **state)
{
    struct rules_set *s = test_set(told);
    struct rules_scratch *x = scratch_for(s);
    char *path = malloc(200001);
    struct test_call t;

    (void)state;
    test_call_init(&t);
    memset(path, 'a', 200000);
    memcpy(path, "/admin?", 7);
    path[200000] = 0;
    set_target(&t, path);
    test_body(&t, BODY_FORM, "action=list");
    test_route(&t, s, "x.example");
    assert_string_equal(told_name(x, &t), "unlisted");
    free(path);
    rules_scratch_free(x);
    rules_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_tell_functions),
        cmocka_unit_test(graphql_operations_are_functions),
        cmocka_unit_test(an_unreadable_body_is_unlisted),
        cmocka_unit_test(parameters_stay),
        cmocka_unit_test(a_long_query_is_unlisted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
