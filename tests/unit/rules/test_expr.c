/* The `when` language: what conditions say about one known call, and what is refused where. */
#include "expr_bench.h"
#include "rules_test.h"

static const char body_text[] =
    "{\"amount\": 50000, \"big\": 1e400, \"exact\": 50000.0, \"text\": \"50000\", \"flag\": true,"
    " \"off\": false, \"none\": null, \"zero\": -0, \"neg\": -7.5, \"twice\": 1, \"twice\": 2,"
    " \"currency\": \"usd\", \"name\": \"Zo\\u00eb \\\"Z\\\"\", \"empty\": \"\","
    " \"card\": {\"number\": \"4242\", \"odd.key\": 1, \"sp ace\": \"x\"},"
    " \"items\": [{\"price\": 5}, {\"price\": 7}], \"tags\": [\"a\", \"b\\u0063\", \"d\"],"
    " \"mixed\": [\"a\", 1, null, {\"k\": [\"]\"]}, \"z\"], \"numbers\": [1, 2.0, 3e0], \"nil\": "
    "[],"
    " \"\": \"unnamed\", \"in\": 3}";
static const char claims_text[] =
    "{\"sub\": \"u1\", \"roles\": [\"admin\", \"dev\"], \"level\": 3, \"email_verified\": true,"
    " \"https://x.example/org\": \"acme\", \"act\": {\"sub\": \"bot\"}}";

/* T, F, U, or E for an expression that is refused. */
struct result {
    char kind;
    unsigned column;
    char message[400];
};

static struct result run(const char *text, const struct rules_call *c)
{
    struct expr_bench *b = calloc(1, sizeof(*b));
    struct diags d;
    struct rules_source_text src = {span_cstr(text), NULL, "expr", &d};
    struct rules_expr *e;
    struct rules_value v;
    struct result r = {'E', 0, ""};

    diags_init(&d);
    e = rules_compile(&src, SCOPE_CALL, TYPE_BOOL, &b->mem);
    if (e) {
        assert_int_equal(d.errors, 0);
        expr_bench_read(b, e, c);
        assert_true(rules_run_adopt(&b->run, &e->needs));
        v = rules_eval(e, &b->run);
        r.kind = v.kind != VALUE_BOOL ? 'U' : v.boolean ? 'T' : 'F';
        rules_run_free(&b->run);
    } else {
        assert_true(d.errors > 0);
        r.column = d.items[0].where.column;
        snprintf(r.message, sizeof(r.message), "%s", d.items[0].message);
    }
    diags_free(&d);
    arena_free(&b->mem);
    free(b);
    return r;
}

static struct rules_function function = {.name = {"stripe.transfer.create", 22}};
static const struct rules_connection connection = {.name = {"stripe", 6}};

static void call_json(struct test_call *t)
{
    test_call_init(t);
    function.connection = &connection;
    t->call.function = &function;
    t->caller.claims = span_cstr(claims_text);
    t->head.query = SPAN_LIT("limit=10&q=a%20b&n=1&n=2&expand[]=x&page[size]=5");
    test_field(t, "X-Mode", "test");
    test_field(t, "X-Twice", "1");
    test_field(t, "x-twice", "1");
    test_field(t, "x-hop", "1");
    t->head.fields[t->head.nfields - 1].hop = true; /* is not sent on */
    t->params.n = 1;
    t->params.p[0].name = SPAN_LIT("charge");
    t->params.p[0].value = SPAN_LIT("ch_1");
    test_body(t, BODY_JSON, body_text);
}

struct row {
    const char *text;
    char want;
};

static unsigned check_rows(const struct row *rows, size_t n, const struct rules_call *c)
{
    unsigned wrong = 0;

    for (size_t i = 0; i < n; i++) {
        struct result r = run(rows[i].text, c);

        if (r.kind == rows[i].want)
            continue;
        printf("`%s`: expected %c, came %c %u %s\n", rows[i].text, rows[i].want, r.kind, r.column,
               r.message);
        wrong++;
    }
    return wrong;
}
#define ROWS(rows, c) assert_int_equal(check_rows((rows), sizeof(rows) / sizeof((rows)[0]), (c)), 0)

static void conditions_on_a_json_call(void **state)
{
    static const struct row rows[] = {
        /* numbers are decimals of any size */
        {"body.amount == 50000", 'T'},
        {"body.amount == 5e4", 'T'},
        {"body.amount == 50000.0", 'T'},
        {"body.exact == 50000", 'T'},
        {"body.exact == body.amount", 'T'},
        {"body.amount > 49999.999999999999999999999", 'T'},
        {"body.amount < 50000.000000000000000000001", 'T'},
        {"body.amount >= 50000", 'T'},
        {"body.amount <= 50000", 'T'},
        {"body.amount > 50000", 'F'},
        {"body.amount != 50000", 'F'},
        {"body.big > 99999999999999999999999999999999999999", 'T'},
        {"body.big > 1e399", 'T'},
        {"body.big < 1e401", 'T'},
        {"body.zero == 0", 'T'},
        {"body.neg == -7.5", 'T'},
        {"body.neg < -7", 'T'},
        {"body.neg > - 8", 'T'},
        {".5 < 1", 'T'},
        {"1 == 1.0", 'T'},
        {"9007199254740993 == 9007199254740992", 'F'},
        {"1E+2 == 100", 'T'},
        /* another type is unknown */
        {"body.text == 50000", 'U'},
        {"body.text != 50000", 'U'},
        {"body.text > 1", 'U'},
        {"body.text == '50000'", 'T'},
        {"body.amount == '50000'", 'U'},
        {"body.flag == 1", 'U'},
        {"body.flag == 'true'", 'U'},
        {"body.card == 'x'", 'U'},
        {"body.items == body.items", 'U'},
        {"body.none == 5", 'U'},
        {"body.none < body.amount", 'U'},
        /* missing, there twice */
        {"body.missing == 1", 'U'},
        {"body.missing != 1", 'U'},
        {"body.missing == null", 'U'},
        {"body.card.missing == 1", 'U'},
        {"body.amount.deeper == 1", 'U'},
        {"body.twice == 1", 'U'},
        {"body.twice != 3", 'U'},
        {"body.items[2].price == 1", 'U'},
        /* null */
        {"body.none == null", 'T'},
        {"body.none != null", 'F'},
        {"body.amount == null", 'F'},
        {"body.amount != null", 'T'},
        {"body.twice == null", 'U'},
        {"null == null", 'T'},
        {"(null == body.amount) == body.none", 'U'},
        {"(body.amount == null) == false", 'T'},
        /* strings */
        {"body.currency == 'usd'", 'T'},
        {"body.currency == \"usd\"", 'T'},
        {"body.currency == 'USD'", 'F'},
        {"body.currency < 'use'", 'T'},
        {"body.currency >= 'us'", 'T'},
        {"body.name == 'Zo\\u00eb \"Z\"'", 'T'},
        {"body.name == \"Zo\\u00EB \\\"Z\\\"\"", 'T'},
        {"body.name.startsWith('Zo')", 'T'},
        {"body.name.endsWith(\"\\\"Z\\\"\")", 'T'},
        {"body.name.contains('\\xeb')", 'T'},
        {"body.name.contains('zo')", 'F'},
        {"body.name.contains('')", 'T'},
        {"body.empty.contains('x')", 'F'},
        {"body.empty == ''", 'T'},
        {"body.empty.startsWith('')", 'T'},
        {"body.amount.startsWith('5')", 'U'},
        {"body.missing.startsWith('5')", 'U'},
        {"body.currency.startsWith(body.amount)", 'U'},
        {"'a' + 'b' == 'ab'", 'T'},
        {"'a' + 'b' + 'c' == 'abc'", 'T'},
        {"body.currency + '/' + caller.id == 'usd/alice'", 'T'},
        {"'x' + body.amount == 'x50000'", 'U'},
        {"('a' + 'b').startsWith('a')", 'T'},
        {"r'a\\d' == 'a\\\\d'", 'T'},
        {"'\\101\\x42\\u0043\\U00000044' == 'ABCD'", 'T'},
        {"'\\n\\t' == \"\\n\\t\"", 'T'},
        {"'it\\'s' == \"it's\"", 'T'},
        {"'\\`\\?' == '`?'", 'T'},
        /* sizes */
        {"size('Zo\\u00eb') == 3", 'T'},
        {"size(body.name) == 7", 'T'},
        {"body.currency.size() == 3", 'T'},
        {"size(body.items) == 2", 'T'},
        {"size(body.tags) == 3", 'T'},
        {"size(body.nil) == 0", 'T'},
        {"size(body.card) == 3", 'T'},
        {"size(body.amount) == 5", 'U'},
        {"size(body.missing) == 0", 'U'},
        {"size([1, 2]) == 2", 'T'},
        {"size(caller.groups) == 2", 'T'},
        {"size('') == 0", 'T'},
        /* fields and indexes */
        {"body.card.number == '4242'", 'T'},
        {"body['card']['number'] == '4242'", 'T'},
        {"body.card[\"odd.key\"] == 1", 'T'},
        {"body.card['sp ace'] == 'x'", 'T'},
        {"body['in'] == 3", 'T'},
        {"body[''] == 'unnamed'", 'T'},
        {"body.items[0].price == 5 && body.items[1].price == 7", 'T'},
        {"(body.items)[0].price == 5", 'T'},
        {"body.tags[1] == 'bc'", 'T'},
        /* has */
        {"has(body.amount)", 'T'},
        {"has(body.none)", 'T'},
        {"has(body.missing)", 'F'},
        {"has(body.card.number)", 'T'},
        {"has(body.card.x.y)", 'F'},
        {"has(body.twice)", 'U'},
        {"!has(body.missing)", 'T'},
        {"has(body)", 'T'},
        {"has(caller.claims.sub)", 'T'},
        {"has(caller.claims.nope)", 'F'},
        {"has(request.headers['x-mode'])", 'T'},
        {"has(request.headers['x-nope'])", 'F'},
        {"has(request.headers['x-twice'])", 'U'},
        {"has(request.headers['x-hop'])", 'F'},
        {"has(request.query.limit)", 'T'},
        {"has(request.query.nope)", 'F'},
        {"has(params.charge)", 'T'},
        {"has(params.other)", 'F'},
        {"has(caller.id)", 'T'},
        /* in */
        {"'finance' in caller.groups", 'T'},
        {"'nobody' in caller.groups", 'F'},
        {"!('finance-bot' in caller.groups)", 'T'},
        {"caller.id in ['bob', 'alice']", 'T'},
        {"caller.id in ['bob']", 'F'},
        {"caller.id in []", 'F'},
        {"body.amount in [1, 5e4]", 'T'},
        {"body.amount in [1, 2]", 'F'},
        {"body.missing in [1, 2]", 'U'},
        {"body.text in [50000]", 'U'},
        {"'bc' in body.tags", 'T'},
        {"'c' in body.tags", 'F'},
        {"'x' in body.nil", 'F'},
        {"2 in body.numbers", 'T'},
        {"3 in body.numbers", 'T'},
        {"4 in body.numbers", 'F'},
        {"'4' in body.numbers", 'U'},
        {"'a' in body.mixed", 'T'},
        {"'z' in body.mixed", 'T'},
        {"'q' in body.mixed", 'U'},
        {"1 in body.mixed", 'T'},
        {"'x' in body.missing", 'U'},
        {"'x' in body.currency", 'U'},
        {"'number' in body.card", 'U'},
        {"body.twice in [1]", 'U'},
        {"true in [true]", 'T'},
        {"'admin' in caller.claims.roles", 'T'},
        {"'root' in caller.claims.roles", 'F'},
        {"'root' in caller.claims.nope", 'U'},
        /* booleans */
        {"body.flag", 'T'},
        {"!body.flag", 'F'},
        {"body.off", 'F'},
        {"body.amount", 'U'},
        {"!body.amount", 'U'},
        {"body.missing", 'U'},
        {"body.flag == true", 'T'},
        {"body.off != true", 'T'},
        {"false < true", 'T'},
        /* unknown in logic, on either side */
        {"false && body.missing", 'F'},
        {"body.missing && false", 'F'},
        {"true && body.missing", 'U'},
        {"body.missing && true", 'U'},
        {"true || body.missing", 'T'},
        {"body.missing || true", 'T'},
        {"false || body.missing", 'U'},
        {"body.missing || false", 'U'},
        {"body.missing && body.missing", 'U'},
        {"body.missing || body.missing", 'U'},
        {"!(body.missing && false)", 'T'},
        {"!(body.missing == 1)", 'U'},
        {"body.amount && false", 'F'},
        {"body.amount || true", 'T'},
        {"body.missing == 1 || body.amount > 1", 'T'},
        {"has(body.missing) && body.missing > 5", 'F'},
        {"!has(body.missing) || body.missing > 5", 'T'},
        /* precedence and associativity */
        {"true || false && false", 'T'},
        {"(true || false) && false", 'F'},
        {"false && false || true", 'T'},
        {"false && (false || true)", 'F'},
        {"!true || true", 'T'},
        {"!(true || true)", 'F'},
        {"!false && false", 'F'},
        {"!!true", 'T'},
        {"1 < 2 == true", 'T'},
        {"true == 1 < 2", 'E'},
        {"1 == 1 && 2 == 2", 'T'},
        {"'a' + 'b' in ['ab']", 'T'},
        {"'a' in ['a'] && true", 'T'},
        {"!('a' in ['b']) == true", 'T'},
        {"true && true && true && false", 'F'},
        {"false || false || true", 'T'},
        {"true // the rest of the line means nothing && false", 'T'},
        {"true &&\n  body.flag", 'T'},
        {"  true\t", 'T'},
        /* the caller, the request */
        {"caller.id == 'alice'", 'T'},
        {"caller.issuer.startsWith('https://')", 'T'},
        {"caller.method == 'oidc'", 'T'},
        {"caller.address == '10.0.0.7'", 'T'},
        {"caller.address.startsWith('10.')", 'T'},
        {"caller.claims.level >= 3", 'T'},
        {"caller.claims.act.sub == 'bot'", 'T'},
        {"caller.claims['https://x.example/org'] == 'acme'", 'T'},
        {"caller['id'] == 'alice'", 'T'},
        {"connection == 'stripe'", 'T'},
        {"function == 'stripe.transfer.create'", 'T'},
        {"function.startsWith(connection + '.')", 'T'},
        {"request.method == 'POST'", 'T'},
        {"request.path == '/v1/transfers'", 'T'},
        {"request.size > 100", 'T'},
        {"request.size < 100", 'F'},
        {"request.query['limit'] == 10", 'T'},
        {"request.query.limit == '10'", 'T'},
        {"request.query['q'] == 'a b'", 'T'},
        {"request.query.page.size == 5", 'T'},
        {"request.query.n == 1", 'U'},
        {"request.query.nope == 1", 'U'},
        {"request.headers['X-MODE'] == 'test'", 'T'},
        {"request.headers[\"x-mode\"] == 'live'", 'F'},
        {"request.headers['x-twice'] == '1'", 'U'},
        {"request.headers['x-none'] == ''", 'U'},
        {"params.charge == 'ch_1'", 'T'},
        {"params['charge'] != 'ch_1'", 'F'},
        {"params.other == 'x'", 'U'},
        {"now > timestamp('2026-01-01T00:00:00Z')", 'T'},
        {"now < timestamp('2026-01-01T00:00:00Z')", 'F'},
        {"now == timestamp('2026-09-21T14:13:20Z')", 'T'},
        {"now == timestamp('2026-09-21T16:13:20.000+02:00')", 'T'},
        {"timestamp('2024-02-29T00:00:00Z') < timestamp('2024-03-01T00:00:00-00:30')", 'T'},
    };
    struct test_call t;

    (void)state;
    call_json(&t);
    printf("%zu conditions\n", sizeof(rows) / sizeof(rows[0]));
    ROWS(rows, &t.call);
}

static void conditions_on_a_form(void **state)
{
    static const struct row rows[] = {
        {"body.amount == 50000", 'T'},
        {"body.amount > 49999", 'T'},
        {"body.amount == '5e4'", 'T'},
        {"body.amount == '50000'", 'F'},   /* a string beside a string is text */
        {"body.amount == body.same", 'T'}, /* both written as numbers */
        {"body.amount in [50000]", 'T'},
        {"body.amount in ['5e4']", 'T'},
        {"body.amount + '!' == '5e4!'", 'T'},
        {"size(body.amount) == 3", 'T'},
        {"body.amount.startsWith('5')", 'T'},
        {"body.currency == 'usd'", 'T'},
        {"body.currency > 5", 'U'},
        {"body.empty > 5", 'U'},
        {"body.empty == ''", 'T'},
        {"body.plus == '+5'", 'T'},
        {"body.plus > 1", 'U'}, /* RFC 8259 numbers have no plus */
        {"body.lead > 1", 'U'},
        {"body.flag == true", 'U'},
        {"body.flag == 'true'", 'T'},
        {"body.twice == 1", 'U'},
        {"has(body.twice)", 'U'},
        {"has(body.missing)", 'F'},
        {"body.missing > 1", 'U'},
        {"body.card.number == 4242", 'T'},
        {"body.card['number'] == '4242'", 'T'},
        {"body.items[0].price == 5", 'T'},
        {"size(body.list) == 2", 'T'},
        {"'a' in body.list", 'U'},
    };
    struct test_call t;

    (void)state;
    call_json(&t);
    test_body(&t, BODY_FORM,
              "amount=5e4&same=50000.0&currency=usd&empty=&plus=%2B5&lead=050&flag=true&twice=1&"
              "twice=1&card[number]=4242&items[0][price]=5&list[]=a&list[]=b");
    ROWS(rows, &t.call);
}

static void nothing_is_known_of_a_body_that_cannot_be_read(void **state)
{
    static const struct row rows[] = {
        {"body.amount == 1", 'U'}, {"has(body.amount)", 'U'},     {"!has(body.amount)", 'U'},
        {"size(body) == 0", 'U'},  {"body.a == null", 'U'},       {"body.a != null", 'U'},
        {"body.a in [1]", 'U'},    {"false && has(body.a)", 'F'}, {"request.size == 0", 'F'},
        {"true || body.a", 'T'},   {"caller.id == 'alice'", 'T'}, {"'x' in body.a", 'U'},
    };
    static const enum body_problem problems[] = {BODY_PROBLEM_TOO_LARGE, BODY_PROBLEM_ENCODING};
    struct test_call t;

    (void)state;
    call_json(&t);
    for (size_t i = 0; i < 2; i++) {
        t.call.body_problem = problems[i];
        ROWS(rows, &t.call);
    }
    test_body(&t, BODY_JSON, "{\"amount\": 1, \"a\": 1} trailing");
    ROWS(rows, &t.call);
    test_body(&t, BODY_OTHER, "amount=1");
    ROWS(rows, &t.call);
}

static void a_call_without_body_has_no_fields(void **state)
{
    static const struct row rows[] = {
        {"has(body.amount)", 'F'}, {"body.amount > 1", 'U'}, {"has(body)", 'F'}};
    struct test_call t;

    (void)state;
    call_json(&t);
    test_body(&t, BODY_NONE, "");
    ROWS(rows, &t.call);
}

static void a_caller_without_identity_is_unknown_not_empty(void **state)
{
    static const struct row rows[] = {
        {"caller.id == ''", 'U'},
        {"caller.id != 'admin'", 'U'},
        {"has(caller.id)", 'F'},
        {"caller.method == 'none'", 'T'},
        {"'finance' in caller.groups", 'F'},
        {"has(caller.claims.sub)", 'F'},
        {"caller.claims.sub == 'x'", 'U'},
        {"size(caller.groups) == 0", 'T'},
    };
    struct test_call t;

    (void)state;
    call_json(&t);
    t.caller.id = t.caller.issuer = SPAN_NONE;
    t.caller.claims = SPAN_LIT("{}");
    t.caller.method = SPAN_LIT("none");
    t.caller.ngroups = 0;
    ROWS(rows, &t.call);
}

static void text_that_does_not_fit_is_unknown(void **state)
{
    static char big[RULES_TEXT_ROOM];
    static char json[sizeof(big) + 64];
    struct test_call t;

    (void)state;
    memset(big, 'x', sizeof(big) - 1);
    snprintf(json, sizeof(json), "{\"a\": \"%s\"}", big);
    call_json(&t);
    test_body(&t, BODY_JSON, json);
    assert_int_equal(run("body.a + 'y' != 'z'", &t.call).kind, 'T');
    assert_int_equal(run("body.a + 'yy' != 'z'", &t.call).kind, 'U');
}

static void refused_where_it_stands(void **state)
{
    static const struct {
        const char *text;
        unsigned column;
        const char *says;
    } rows[] = {
        {"", 1, "ends too early"},
        {"true &&", 8, "ends too early"},
        {"&& true", 1, "value is missing"},
        {"(true", 6, "`)` is missing"},
        {"true)", 5, "should end here"},
        {"true true", 6, "should end here"},
        {"body.a = 1", 8, "write =="},
        {"true & true", 6, "write &&"},
        {"true | true", 6, "write ||"},
        {"a", 1, "no name `a`"},
        {"amount > 5", 1, "no name `amount`"},
        {"claims.sub == 'x'", 1, "caller.claims"},
        {"caller == 'x'", 1, "`caller` has"},
        {"caller.name == 'x'", 8, "`caller` has"},
        {"caller.id.x == 'x'", 11, "has no parts"},
        {"caller.groups.x == 'x'", 15, "use `in`"},
        {"caller.groups[-1] == 'x'", 15, "as written"},
        {"request.body == 'x'", 9, "`request` has"},
        {"request.query == 'x'", 9, "request.query["},
        {"request.headers == 'x'", 9, "exactly one name"},
        {"request.headers['a']['b'] == 'x'", 21, "exactly one name"},
        {"request.headers['a b'] == 'x'", 16, "no header field name"},
        {"params == 'x'", 1, "exactly one name"},
        {"connection.x == 'x'", 12, "has no parts"},
        {"body[caller.id] == 1", 13, "as written"},
        {"body[-1] == 1", 6, "as written"},
        {"body[1.5] == 1", 6, "as written"},
        {"'abc'.x == 1", 7, "have parts"},
        {"'abc'[0] == 'a'", 6, "have parts"},
        {"body. == 1", 7, "must follow the dot"},
        {"body.in == 1", 6, "must follow the dot"},
        {"body.a - 'x' == 2", 8, "a value of the call - a string is not defined"},
        {"3 > 'a' + body.b", 3, "a number is compared with a string"},
        {"1 + 'a' == 3", 3, "a number + a string is not defined"},
        {"true + true", 6, "true or false + true or false is not defined"},
        {"-caller.id == 2", 1, "- needs a number, not a string"},
        {"!-body.a == 2", 2, "put parentheses"},
        {"-!body.a == 2", 2, "put parentheses"},
        {"true ? 1 : 'a'", 6, "one branch gives a number, the other a string"},
        {"true ? true", 12, "a `:` is missing"},
        {"true ? false ? true : false : true", 14, "a `:` is missing"},
        {"found('nope.*')", 7, "finds no known detector"},
        {"found(function)", 7, "as written"},
        {"found('pci.card') == true", 19, "a number is compared with true or false"},
        {"spent('a', '1h', caller.id) > 5", 7, "adds up a number of the body"},
        {"spent(body.amount, '1h') > 5", 7, "adds up a number of the body"},
        {"spent('body.', '1h') > 5", 7, "no path that a body could have"},
        {"spent('body.a..b', '1h') > 5", 7, "no path that a body could have"},
        {"spent('body.a') > 5", 1, "write spent("},
        {"calls() > 5", 1, "write calls("},
        {"calls('1h',1,2,3,4,5,6,7,8,9) > 5", 1, "up to 8 keys"},
        {"calls('32d') > 5", 7, "whole seconds from"},
        {"calls('0s') > 5", 7, "whole seconds from"},
        {"calls('1.5s') > 5", 7, "whole seconds from"},
        {"calls('-1h') > 5", 7, "whole seconds from"},
        {"calls('1x') > 5", 7, "whole seconds from"},
        {"calls(5) > 5", 7, "whole seconds from"},
        {"calls(function) > 5", 7, "whole seconds from"},
        {"calls('1h', true) > 5", 13, "a string or a number, not true or false"},
        {"calls('1h', caller.groups) > 5", 13, "a string or a number, not a list"},
        {"calls('1h', calls('1h')) > 5", 13, "cannot hold another"},
        {"calls('1h') == 'x'", 13, "a number is compared with a string"},
        {"calls('1h')", 1, "must give true or false"},
        {"spent > 5", 1, "is a function"},
        {"body.a.matches('(x')", 16, "this pattern is refused: Missing close parenthesis"},
        {"body.a.matches(body.b)", 21, "the pattern must be a string as written"},
        {"body.a.all(x)", 8, "write .all(x, condition)"},
        {"body.a.all(1, true)", 12, "names the element"},
        {"body.a.all(body, true)", 12, "this name is taken"},
        {"body.a.exists(x, 1)", 18, "needs true or false, not a number"},
        {"caller.id.exists(x, x == 'a')", 11, "needs a list, not a string"},
        {"caller.groups.all(g, g.x == 1)", 24, "is a string and has no parts"},
        {"caller.groups.all(g, g == 1)", 24, "a string is compared with a number"},
        {"Foo{a: 1} == 2", 4, "no messages here"},
        {"caller.groups.all(g, h == 'x')", 22, "no name `h`"},
        {"body.a.map(x, x) == 5", 8, "use all() or exists()"},
        {"int(body.a) == 5", 1, "numbers have one type"},
        {"lists.x.size() > 1", 1, "there is no list `x`"},
        {"body.a.nope()", 8, "no function .nope()"},
        {"nope(1)", 1, "no function nope()"},
        {"has(1)", 5, "has() needs a name"},
        {"has(body.a, body.b)", 1, "one argument"},
        {"has()", 1, "one argument"},
        {"size(5) == 1", 6, "size() needs"},
        {"size(true) == 1", 6, "size() needs"},
        {"'a'.startsWith()", 5, "one argument"},
        {"'a'.startsWith(5)", 16, "needs a string, not a number"},
        {"5 == 'a'", 3, "a number is compared with a string"},
        {"caller.id == 5", 11, "a string is compared with a number"},
        {"caller.id == null", 11, "a string is compared with null"},
        {"caller.id == true", 11, "a string is compared with true or false"},
        {"body.a < null", 8, "null has no order"},
        {"caller.groups == ['a']", 15, "use `in`"},
        {"body.a == ['a']", 8, "use `in`"},
        {"now == 5", 5, "a time is compared with a number"},
        {"now == body.a", 5, "now or timestamp"},
        {"timestamp('yesterday') < now", 11, "RFC 3339"},
        {"timestamp('2026-02-29T00:00:00Z') < now", 11, "RFC 3339"},
        {"timestamp('2026-01-01T24:00:00Z') < now", 11, "RFC 3339"},
        {"timestamp('2026-01-01') < now", 11, "RFC 3339"},
        {"caller.id in 'alice'", 14, "needs a list on its right"},
        {"5 in caller.groups", 3, "looked for in a list"},
        {"null in ['a']", 1, "cannot be in a list"},
        {"body.a in ['a', 5]", 17, "begins with a string"},
        {"body.a in [body.b]", 17, "as written"},
        {"body.a in [null]", 12, "as written"},
        {"'a' && true", 1, "&& needs true or false"},
        {"true || 5", 9, "|| needs true or false"},
        {"!'a'", 2, "! needs true or false"},
        {"!5 == 5", 2, "! needs true or false"},
        {"1 < 2 < 3", 7, "is compared with a number"},
        {"'a'", 1, "this must give true or false"},
        {"body.a + 'x'", 8, "this must give true or false"},
        {"caller.groups", 1, "this must give true or false"},
        {"'abc", 1, "does not end"},
        {"\"abc'", 1, "does not end"},
        {"'a\nb' == 'c'", 1, "does not end"},
        {"'a\\q' == 'c'", 3, "escape is not known"},
        {"'\\ud800' == 'c'", 2, "escape is not known"},
        {"'\\x4' == 'c'", 2, "escape is not known"},
        {"'''a'' == 'c'", 1, "does not end"},
        {"b'a' == 'c'", 1, "no bytes here"},
        {"rb'a' == 'c'", 1, "no bytes here"},
        {"007 == 7", 1, "leading zeros"},
        {"0x == 16", 1, "1 to 16 digits"},
        {"0x12345678901234567 == 16", 1, "1 to 16 digits"},
        {"0x1g == 16", 4, "a letter stands right after"},
        {"10u == 10", 3, "without the u"},
        {"1e == 10", 1, "exponent needs digits"},
        {"body.a == 1; true", 12, "no meaning"},
        {"body.a == #1", 11, "no meaning"},
        {"body.a == \xc3\xa9", 11, "no meaning"},
        {"{'a': 1} == 5", 1, "no maps here"},
        {"[1, 2", 6, "`]` is missing"},
        {"body['a'", 9, "`]` is missing"},
        {"if == 1", 1, "reserved"},
        {"in == 1", 1, "needs a value on its left"},
    };
    struct test_call t;
    unsigned wrong = 0;

    (void)state;
    call_json(&t);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct result r = run(rows[i].text, &t.call);

        if (r.kind == 'E' && r.column == rows[i].column && strstr(r.message, rows[i].says))
            continue;
        printf("`%s`: expected a complaint at %u with \"%s\", came %c %u \"%s\"\n", rows[i].text,
               rows[i].column, rows[i].says, r.kind, r.column, r.message);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

static void text_of(struct expr_bench *b, const struct rules_expr *e, const char *want)
{
    struct rules_value v = rules_eval(e, &b->run);

    assert_true(v.kind == VALUE_STRING || v.kind == VALUE_NUMBER);
    assert_int_equal(v.text.n, strlen(want));
    assert_memory_equal(v.text.p, want, v.text.n);
}

static void windows_say_what_they_count(void **state)
{
    static const char text[] =
        "spent ( 'body.card[\"a b\"]', '1d' , caller . id, (body.currency) + 'x' )>5 && "
        "calls(\"90m\") < 10 || calls('1h30m') > 20";
    struct expr_bench *b = calloc(1, sizeof(*b));
    struct test_call t;
    struct diags d;
    struct rules_source_text src = {span_cstr(text), NULL, "expr", &d};
    struct rules_value window[2] = {VALUE_OF(VALUE_NUMBER), VALUE_OF(VALUE_NUMBER)};
    struct rules_expr *e;

    (void)state;
    call_json(&t);
    diags_init(&d);
    e = rules_compile(&src, SCOPE_CALL, TYPE_BOOL, &b->mem);
    assert_non_null(e);
    assert_int_equal(e->nwindows, 2); /* the two of calls() are one */
    assert_int_equal(e->windows[0].kind, WINDOW_SPENT);
    assert_string_equal(
        e->windows[0].text.p,
        "spent(\"body.card[\\\"a b\\\"]\",\"86400s\",caller.id,(body.currency)+\"x\")");
    assert_true(e->windows[0].length_ns == 86400 * RULES_SECOND);
    assert_true(span_eq(e->paths.path[DOC_BODY][e->windows[0].amount], SPAN_LIT("card[\"a b\"]")));
    assert_int_equal(e->windows[0].nkeys, 2);
    assert_int_equal(e->windows[1].kind, WINDOW_CALLS);
    assert_string_equal(e->windows[1].text.p, "calls(\"5400s\")");
    assert_int_equal(e->windows[1].nkeys, 0);
    expr_bench_read(b, e, &t.call);
    text_of(b, e->windows[0].key[0], "alice");
    text_of(b, e->windows[0].key[1], "usdx");
    /* Nobody counted. */
    assert_int_equal(rules_eval(e, &b->run).kind, VALUE_UNKNOWN);
    b->run.window = window;
    window[0].text = SPAN_LIT("5.01");
    window[1].text = SPAN_LIT("9");
    assert_true(rules_eval(e, &b->run).boolean);
    window[1].text = SPAN_LIT("10");
    assert_false(rules_eval(e, &b->run).boolean);
    window[1].text = SPAN_LIT("21");
    assert_true(rules_eval(e, &b->run).boolean);
    diags_free(&d);
    arena_free(&b->mem);
    free(b);
}

static char *repeat(const char *before, const char *what, unsigned n, const char *after)
{
    char *s = malloc(strlen(before) + strlen(what) * n + strlen(after) + 1), *at;

    at = stpcpy(s, before);
    while (n--)
        at = stpcpy(at, what);
    strcpy(at, after);
    return s;
}

static char kind_of(char *text, const struct rules_call *c)
{
    char k = run(text, c).kind;

    free(text);
    return k;
}

static void bounds_hold(void **state)
{
    struct test_call t;

    (void)state;
    call_json(&t);
    assert_int_equal(kind_of(repeat("true", " && true", 600, ""), &t.call), 'T');
    assert_int_equal(kind_of(repeat("true", " && true", 1999, ""), &t.call), 'E');
    assert_int_equal(kind_of(repeat("", "!", 60, "true"), &t.call), 'T');
    assert_int_equal(kind_of(repeat("", "!", 100, "true"), &t.call), 'E');
    assert_int_equal(kind_of(repeat("", "true && (", 60, "true"), &t.call), 'E');
    assert_int_equal(kind_of(repeat("", "(", 20000, "true"), &t.call), 'E');
    assert_int_equal(kind_of(repeat("body", ".a", 60, " == 1"), &t.call), 'U');
    assert_int_equal(kind_of(repeat("body", ".a", 100, " == 1"), &t.call), 'E');
    assert_int_equal(kind_of(repeat("(((body", ".a", 60, ").a.a.a.a).a.a.a).a.a == 1"), &t.call),
                     'E');
    assert_int_equal(kind_of(repeat("'", "a", 20000, "' == 'b'"), &t.call), 'E');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_on_a_json_call),
        cmocka_unit_test(conditions_on_a_form),
        cmocka_unit_test(nothing_is_known_of_a_body_that_cannot_be_read),
        cmocka_unit_test(a_call_without_body_has_no_fields),
        cmocka_unit_test(a_caller_without_identity_is_unknown_not_empty),
        cmocka_unit_test(text_that_does_not_fit_is_unknown),
        cmocka_unit_test(refused_where_it_stands),
        cmocka_unit_test(windows_say_what_they_count),
        cmocka_unit_test(bounds_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
