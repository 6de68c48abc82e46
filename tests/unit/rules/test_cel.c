/* The `when` language against the definition of CEL, section by section: what each expression gives
 * for a body, as text, or with which words it is refused ("! ..."). Where the language is not
 * CEL's, the section says so. */
#include "expr_bench.h"
#include "rules_test.h"

struct row {
    const char *expr, *body, *want;
};

struct section {
    const char *name;
    const struct row *rows;
    size_t n;
};
#define SECTION(name, rows)                                                                        \
    {                                                                                              \
        (name), (rows), sizeof(rows) / sizeof((rows)[0])                                           \
    }

/* ------------------------------------------------------------------- rows */

static const struct row lexis[] = {
    {"true", NULL, "true"},
    {"  true  ", NULL, "true"},
    {"\ttrue\r\n", NULL, "true"},
    {"true\f", NULL, "true"},
    {"true // false", NULL, "true"},
    {"// all of it", NULL, "! ends too early"},
    {"true // a\n && false", NULL, "false"},
    {"", NULL, "! ends too early"},
    {"True", NULL, "! no name `True`"},
    {"1+2", NULL, "3"},
    {"1 +\n2", NULL, "3"},
    {"body.a_1", "{\"a_1\": 7}", "7"},
    {"body._x", "{\"_x\": 7}", "7"},
    {"body.A", "{\"A\": 7}", "7"},
    {"body.1a", NULL, "! letter stands right after"},
    {"if", NULL, "! reserved"},
    {"while", NULL, "! reserved"},
    {"namespace", NULL, "! reserved"},
    {"function", NULL, "\"stripe.transfer.create\""}, /* reserved in CEL, a name here */
    {"body.if", "{\"if\": 7}", "7"},                  /* CEL allows reserved words as fields */
    {"body.null", NULL, "! must follow the dot"},
    {"body.true", NULL, "! must follow the dot"},
    {"body.in", NULL, "! must follow the dot"},
    {"body['in']", "{\"in\": 7}", "7"},
    {"1 == 1;", NULL, "! no meaning"},
    {"@", NULL, "! no meaning"},
    {"a$", NULL, "! no meaning"},
    {"1 2", NULL, "! should end here"},
    {"(1", NULL, "! `)` is missing"},
    {"1)", NULL, "! should end here"},
    {"((1))", NULL, "1"},
    {".body", NULL, "! a value is missing"}, /* CEL's root scope: there is one scope here */
    {"Msg{}", NULL, "! no messages here"},
    {"{'a': 1}", NULL, "! no maps here"},
    {"{}", NULL, "! no maps here"},
};

static const struct row numbers[] = {
    {"0", NULL, "0"},
    {"12", NULL, "12"},
    {"-12", NULL, "-12"},
    {"- 12", NULL, "-12"},
    {"1.5", NULL, "1.5"},
    {".5", NULL, "0.5"},
    {"-.5", NULL, "-0.5"},
    {"1e3 == 1000", NULL, "true"},
    {"1E3 == 1000", NULL, "true"},
    {"1e+3 == 1000", NULL, "true"},
    {"25e-1 == 2.5", NULL, "true"},
    {"6.02e23 > 6e23", NULL, "true"},
    {"0x0", NULL, "0"},
    {"0xff", NULL, "255"},
    {"0XFF", NULL, "255"},
    {"0xFf + 1", NULL, "256"},
    {"-0x10", NULL, "-16"},
    {"0xffffffffffffffff", NULL, "18446744073709551615"},
    {"0x10000000000000000", NULL, "! 1 to 16 digits"},
    {"0x", NULL, "! 1 to 16 digits"},
    {"5u", NULL, "! without the u"},
    {"5U", NULL, "! without the u"},
    {"0x5u", NULL, "! without the u"},
    {"5ux", NULL, "! a letter stands right after"},
    {"007", NULL, "! leading zeros"},
    {"00", NULL, "! leading zeros"},
    {"0.0 == 0", NULL, "true"},
    {"-0 == 0", NULL, "true"},
    {"1e", NULL, "! exponent needs digits"},
    {"1e+", NULL, "! exponent needs digits"},
    {"1.", NULL, "! must follow the dot"},
    {"1..5", NULL, "! must follow the dot"},
    {"1abc", NULL, "! a letter stands right after"},
    {"9223372036854775808", NULL, "9223372036854775808"}, /* no overflow: of any size */
    {"123456789012345678901234567890", NULL, "123456789012345678901234567890"},
    {"1e400 > 1e399", NULL, "true"},
    {"9007199254740993 == 9007199254740992", NULL, "false"}, /* no floats */
    {"0.1 + 0.2 == 0.3", NULL, "true"},
};

static const struct row strings[] = {
    {"'a'", NULL, "\"a\""},
    {"\"a\"", NULL, "\"a\""},
    {"''", NULL, "\"\""},
    {"'a\"b'", NULL, "\"a\\\"b\""},
    {"\"a'b\"", NULL, "\"a'b\""},
    {"'\\a\\b\\f\\v' == '\\x07\\x08\\x0c\\x0b'", NULL, "true"},
    {"'\\n\\r\\t' == '\\x0a\\x0d\\x09'", NULL, "true"},
    {"'\\\\' == '\\x5c'", NULL, "true"},
    {"'\\'' == \"'\"", NULL, "true"},
    {"\"\\\"\" == '\"'", NULL, "true"},
    {"'\\`\\?' == '`?'", NULL, "true"},
    {"'\\x41\\X42'", NULL, "\"AB\""},
    {"'\\101\\102'", NULL, "\"AB\""},
    {"'\\u00e9' == '\xc3\xa9'", NULL, "true"},
    {"'\\U0001f600' == '\xf0\x9f\x98\x80'", NULL, "true"},
    {"'\\xff' == '\\u00ff'", NULL, "true"}, /* in strings \x is a code point */
    {"'\\377' == '\\u00ff'", NULL, "true"},
    {"'\\400'", NULL, "! escape is not known"},
    {"'\\08'", NULL, "! escape is not known"},
    {"'\\q'", NULL, "! escape is not known"},
    {"'\\x4'", NULL, "! escape is not known"},
    {"'\\u12'", NULL, "! escape is not known"},
    {"'\\ud800'", NULL, "! escape is not known"},
    {"'\\udfff'", NULL, "! escape is not known"},
    {"'\\U00110000'", NULL, "! escape is not known"},
    {"r'\\n'", NULL, "\"\\\\n\""},
    {"R'a\\'", NULL, "\"a\\\\\""},
    {"r\"\\d+\" == '\\\\d+'", NULL, "true"},
    {"'''a'b''c'''", NULL, "\"a'b''c\""},
    {"\"\"\"a\"b\"\"\"", NULL, "\"a\\\"b\""},
    {"'''a\nb'''", NULL, "\"a\\nb\""},
    {"'''a\\nb''' == 'a\\nb'", NULL, "true"},
    {"r'''a\\nb''' == 'a\\\\nb'", NULL, "true"},
    {"r\"\"\"\\\"\"\"", NULL, "\"\\\\\""},
    {"''''''", NULL, "\"\""},
    {"'''a''", NULL, "! does not end"},
    {"'a", NULL, "! does not end"},
    {"'a\nb'", NULL, "! does not end on its line"},
    {"'a\"", NULL, "! does not end"},
    {"b'a'", NULL, "! no bytes"},
    {"B\"a\"", NULL, "! no bytes"},
    {"br'a'", NULL, "! no bytes"},
    {"rb'a'", NULL, "! no bytes"},
    {"body.r == r'a'", "{\"r\": \"a\"}", "true"},
};

static const struct row precedence[] = {
    {"1 + 2 * 3", NULL, "7"},
    {"(1 + 2) * 3", NULL, "9"},
    {"2 * 3 + 1", NULL, "7"},
    {"10 - 2 - 3", NULL, "5"},
    {"10 - (2 - 3)", NULL, "11"},
    {"100 / 10 / 5", NULL, "2"},
    {"100 / (10 / 5)", NULL, "50"},
    {"7 % 4 * 2", NULL, "6"},
    {"2 * 7 % 4", NULL, "2"},
    {"1 + 2 == 3", NULL, "true"},
    {"3 == 1 + 2", NULL, "true"},
    {"1 < 2 && 2 < 3", NULL, "true"},
    {"1 < 2 == true", NULL, "true"},
    {"true == 1 < 2", NULL, "! is compared with"}, /* left to right */
    {"1 < 2 < 3", NULL, "! is compared with a number"},
    {"true || false && false", NULL, "true"},
    {"(true || false) && false", NULL, "false"},
    {"!true || true", NULL, "true"},
    {"!(true || true)", NULL, "false"},
    {"!true == false", NULL, "true"},
    {"-1 + 2", NULL, "1"},
    {"-(1 + 2)", NULL, "-3"},
    {"1 - -1", NULL, "2"},
    {"1--1", NULL, "2"},
    {"--1", NULL, "1"},
    {"---1", NULL, "-1"},
    {"!!true", NULL, "true"},
    {"!!!true", NULL, "false"},
    {"!-1", NULL, "! put parentheses"},
    {"-!true", NULL, "! put parentheses"},
    {"!(-1 > 0)", NULL, "true"},
    {"-body.a.b", "{\"a\": {\"b\": 3}}", "-3"},
    {"!body.a.b", "{\"a\": {\"b\": true}}", "false"},
    {"-body.a[1]", "{\"a\": [1, 2]}", "-2"},
    {"'a' + 'b' in ['ab']", NULL, "true"},
    {"1 in [1] == true", NULL, "true"},
    {"!('a' in ['b'])", NULL, "true"},
    {"2 * -3", NULL, "-6"},
    {"2 - 3 * -1", NULL, "5"},
    {"true ? 1 : 2 + 3", NULL, "1"},
    {"false ? 1 : 2 + 3", NULL, "5"},
    {"false || true ? 1 : 2", NULL, "1"},
    {"1 < 2 ? 'y' : 'n'", NULL, "\"y\""},
    {"+1", NULL, "! a value is missing"},
    {"1 +", NULL, "! ends too early"},
    {"* 1", NULL, "! a value is missing"},
    {"1 = 1", NULL, "! write =="},
    {"true & true", NULL, "! write &&"},
    {"true | true", NULL, "! write ||"},
};

static const struct row logic[] = {
    {"true && true", NULL, "true"},
    {"true && false", NULL, "false"},
    {"false || false", NULL, "false"},
    {"false || true", NULL, "true"},
    {"false && body.x", NULL, "false"},
    {"body.x && false", NULL, "false"},
    {"true && body.x", NULL, "unknown"},
    {"body.x && true", NULL, "unknown"},
    {"true || body.x", NULL, "true"},
    {"body.x || true", NULL, "true"},
    {"false || body.x", NULL, "unknown"},
    {"body.x || false", NULL, "unknown"},
    {"1 / 0 > 1 || true", NULL, "true"},
    {"true || 1 / 0 > 1", NULL, "true"},
    {"1 / 0 > 1 && false", NULL, "false"},
    {"false && 1 / 0 > 1", NULL, "false"},
    {"1 / 0 > 1 && true", NULL, "unknown"},
    {"1 / 0 > 1 || false", NULL, "unknown"},
    {"!body.x", NULL, "unknown"},
    {"!(1 / 0 > 1)", NULL, "unknown"},
    {"body.n && false", "{\"n\": 5}", "false"},
    {"body.n && true", "{\"n\": 5}", "unknown"},
    {"!body.n", "{\"n\": 5}", "unknown"},
    {"body.b && body.b", "{\"b\": true}", "true"},
    {"1 && true", NULL, "! && needs true or false"},
    {"true || 'a'", NULL, "! || needs true or false"},
    {"!5", NULL, "! ! needs true or false"},
    {"!null", NULL, "! ! needs true or false"},
    {"now && true", NULL, "! && needs true or false, not a time"},
};

static const struct row equality[] = {
    {"1 == 1", NULL, "true"},
    {"1 == 1.0", NULL, "true"},
    {"1 != 2", NULL, "true"},
    {"'a' == 'a'", NULL, "true"},
    {"'a' == 'A'", NULL, "false"},
    {"'a' != 'b'", NULL, "true"},
    {"true == true", NULL, "true"},
    {"true == false", NULL, "false"},
    {"null == null", NULL, "true"},
    {"null != null", NULL, "false"},
    {"'\\u00e9' == 'e\\u0301'", NULL, "false"}, /* no normalisation */
    {"1 == 'a'", NULL, "! a number is compared with a string"},
    {"true == 1", NULL, "! is compared with"},
    {"1 == null", NULL, "! a number is compared with null"},
    {"body.a == null", "{\"a\": null}", "true"},
    {"body.a == null", "{\"a\": 1}", "false"},
    {"body.a != null", "{\"a\": 1}", "true"},
    {"body.a == null", "{}", "unknown"},
    {"body.a == 1", "{\"a\": null}", "unknown"},
    {"body.a == 1", "{\"a\": \"1\"}", "unknown"}, /* CEL: false; what is of another type */
    {"body.a == '1'", "{\"a\": 1}", "unknown"},   /* counts against the call here */
    {"body.a == true", "{\"a\": \"true\"}", "unknown"},
    {"body.a == body.b", "{\"a\": 1, \"b\": 1.0}", "true"},
    {"body.a == body.b", "{\"a\": \"x\", \"b\": \"x\"}", "true"},
    {"body.a == body.b", "{\"a\": \"x\", \"b\": 1}", "unknown"},
    {"body.a == body.b", "{\"a\": [1], \"b\": [1]}", "unknown"}, /* lists are not compared */
    {"[1] == [1]", NULL, "! lists are not compared"},
    {"caller.groups == ['a']", NULL, "! lists are not compared"},
    {"body.a == 1", "{\"a\": 1, \"a\": 1}", "unknown"},
    {"body.a == 1", "{\"a\": 1, \"A\": 1}", "unknown"},
    {"duration('60s') == duration('1m')", NULL, "true"},
    {"timestamp('2026-01-01T00:00:00Z') == timestamp('2026-01-01T01:00:00+01:00')", NULL, "true"},
    {"now == duration('1h')", NULL, "! a time is compared with a duration"},
};

static const struct row ordering[] = {
    {"1 < 2", NULL, "true"},
    {"2 < 1", NULL, "false"},
    {"1 <= 1", NULL, "true"},
    {"1 >= 1.0", NULL, "true"},
    {"-1 > -2", NULL, "true"},
    {"-1 < 0.5", NULL, "true"},
    {"'a' < 'b'", NULL, "true"},
    {"'B' < 'a'", NULL, "true"},
    {"'a' < 'aa'", NULL, "true"},
    {"'' < 'a'", NULL, "true"},
    {"'10' < '9'", NULL, "true"},
    {"'\\uffff' < '\\U00010000'", NULL, "true"}, /* by code point, as UTF-8's bytes */
    {"false < true", NULL, "true"},
    {"true <= true", NULL, "true"},
    {"null < null", NULL, "! null has no order"},
    {"body.a < null", NULL, "! null has no order"},
    {"1 < 'a'", NULL, "! a number is compared with a string"},
    {"body.a < 5", "{\"a\": 4.999999999999999999999}", "true"},
    {"body.a < 5", "{\"a\": \"4\"}", "unknown"},
    {"body.a < 5", "{\"a\": [4]}", "unknown"},
    {"body.a < 5", "{\"a\": {\"b\": 4}}", "unknown"},
    {"body.a > 1e300", "{\"a\": 1e999999999999}", "true"},
    {"duration('1m') < duration('61s')", NULL, "true"},
    {"now > timestamp('2026-09-21T14:13:19Z')", NULL, "true"},
    {"now < timestamp('2026-09-21T14:13:20.000000001Z')", NULL, "true"},
    {"duration('-1s') < duration('-999ms')", NULL, "true"},
};

/* CEL's ints overflow and its doubles round. Here numbers are exact decimals: 7/2 is 3.5. */
static const struct row arithmetic[] = {
    {"1 + 2", NULL, "3"},
    {"1 - 2", NULL, "-1"},
    {"3 * 4", NULL, "12"},
    {"7 / 2", NULL, "3.5"},
    {"-7 / 2", NULL, "-3.5"},
    {"6 / 3", NULL, "2"},
    {"1 / 3", NULL, "0.3333333333333333333333333333333333333333"},
    {"2 / 3", NULL, "0.6666666666666666666666666666666666666666"}, /* cut, not rounded */
    {"-2 / 3", NULL, "-0.6666666666666666666666666666666666666666"},
    {"1000000 / 3", NULL, "333333.3333333333333333333333333333333333"},
    {"1 / 3 * 3 == 1", NULL, "false"},
    {"1 / 0", NULL, "unknown"},
    {"0 / 0", NULL, "unknown"},
    {"0 / 5", NULL, "0"},
    {"1 / 8", NULL, "0.125"},
    {"1e40 / 7", NULL, "1428571428571428571428571428571428571428"},
    {"7 % 3", NULL, "1"},
    {"-7 % 3", NULL, "-1"},
    {"7 % -3", NULL, "1"},
    {"-7 % -3", NULL, "-1"},
    {"6 % 3", NULL, "0"},
    {"5.0 % 3", NULL, "2"},
    {"5.5 % 3", NULL, "unknown"},
    {"5 % 1.5", NULL, "unknown"},
    {"5 % 0", NULL, "unknown"},
    {"5 % 3e0", NULL, "2"},
    {"1e30 % 7", NULL, "1"},
    {"123456789012345678901234567890 % 97", NULL, "52"},
    {"1e255 % 3", NULL, "1"},
    {"1e256 % 3", NULL, "unknown"},
    {"5 % 1e300", NULL, "5"},
    {"0.1 + 0.2", NULL, "0.3"},
    {"1.10 + 2.20", NULL, "3.3"},
    {"0.5 + 0.5", NULL, "1"},
    {"1 - 1", NULL, "0"},
    {"0.1 - 0.1", NULL, "0"},
    {"-0.5 - 0.5", NULL, "-1"},
    {"1.5 * 1.5", NULL, "2.25"},
    {"-1.5 * 2", NULL, "-3"},
    {"0 * 5", NULL, "0"},
    {"-1 * 0", NULL, "0"},
    {"1e400 + 0", NULL, "1e400"},
    {"1e400 * 1e400", NULL, "1e800"},
    {"1e400 + 1", NULL, "unknown"}, /* would go over more than 256 places */
    {"1e255 + 1 > 1e255", NULL, "true"},
    {"1e256 + 1", NULL, "unknown"},
    {"1e-255 + 1 > 1", NULL, "true"},
    {"1e-256 + 1", NULL, "unknown"},
    {"9223372036854775807 + 1", NULL, "9223372036854775808"},
    {"-9223372036854775808 - 1", NULL, "-9223372036854775809"},
    {"999999999999999999 * 999999999999999999", NULL, "999999999999999998000000000000000001"},
    {"999999999999999999 + 1", NULL, "1000000000000000000"},
    {"99999999999999999999 + 1", NULL, "100000000000000000000"},
    {"100000000000000000000 - 1", NULL, "99999999999999999999"},
    {"12345678901234567890 * 98765432109876543210", NULL,
     "1219326311370217952237463801111263526900"},
    {"1219326311370217952237463801111263526900 / 98765432109876543210", NULL,
     "12345678901234567890"},
    {"1e-400 * 1e-400", NULL, "1e-800"},
    {"1.25e-45 * 2", NULL, "2.5e-45"},
    {"'a' + 'b'", NULL, "\"ab\""},
    {"'' + ''", NULL, "\"\""},
    {"'a' + 1", NULL, "! a string + a number is not defined"},
    {"'a' - 'b'", NULL, "! a string - a string is not defined"},
    {"'a' * 2", NULL, "! a string * a number is not defined"},
    {"true + true", NULL, "! is not defined"},
    {"null + 1", NULL, "! is not defined"},
    {"[1] + [2]", NULL, "! is not defined"}, /* CEL joins lists */
    {"-'a'", NULL, "! - needs a number"},
    {"-true", NULL, "! - needs a number"},
    {"body.a + body.b", "{\"a\": 1, \"b\": 2}", "3"},
    {"body.a + body.b", "{\"a\": \"x\", \"b\": \"y\"}", "\"xy\""},
    {"body.a + body.b", "{\"a\": \"1\", \"b\": 2}", "unknown"},
    {"body.a + body.b", "{\"a\": true, \"b\": 2}", "unknown"},
    {"body.a + 1", "{\"a\": null}", "unknown"},
    {"body.a + 1", "{}", "unknown"},
    {"body.a - body.b", "{\"a\": 1, \"b\": 2}", "-1"},
    {"body.a - body.b", "{\"a\": \"x\", \"b\": \"y\"}", "unknown"},
    {"body.a * body.b", "{\"a\": 2.50, \"b\": 4}", "10"},
    {"body.a / body.b", "{\"a\": 10, \"b\": 4}", "2.5"},
    {"body.a / body.b", "{\"a\": 10, \"b\": 0}", "unknown"},
    {"body.a / body.b", "{\"a\": 10, \"b\": 0.000}", "unknown"},
    {"body.a % body.b", "{\"a\": 10, \"b\": 4}", "2"},
    {"-body.a", "{\"a\": 5}", "-5"},
    {"-body.a", "{\"a\": -0}", "0"},
    {"-body.a", "{\"a\": \"5\"}", "unknown"},
    {"--body.a", "{\"a\": 5}", "5"},
    {"body.a * 100 > 5000", "{\"a\": 50.01}", "true"},
    {"(body.a + body.b) * 2 == 10", "{\"a\": 2, \"b\": 3}", "true"},
    {"request.size + 1 > 0", NULL, "true"},
    {"caller.id + 1", NULL, "! a string + a number is not defined"},
    {"now + 1", NULL, "! a time + a number is not defined"},
    {"now + body.a", NULL, "! timestamp() or duration() around it"},
};

static const struct row conditional[] = {
    {"true ? 1 : 2", NULL, "1"},
    {"false ? 1 : 2", NULL, "2"},
    {"body.a ? 'y' : 'n'", "{\"a\": true}", "\"y\""},
    {"body.a ? 'y' : 'n'", "{\"a\": false}", "\"n\""},
    {"body.a ? 'y' : 'n'", "{\"a\": 1}", "unknown"},
    {"body.a ? 'y' : 'n'", "{}", "unknown"},
    {"body.a ? 1 : 1", "{}", "unknown"},
    {"true ? 1 : 1 / 0", NULL, "1"},
    {"false ? 1 / 0 : 2", NULL, "2"},
    {"true ? body.x : 1", "{}", "missing"},
    {"(true ? body.x : 1) == 1", "{}", "unknown"},
    {"true ? 1 : body.x", "{}", "1"},
    {"true ? false ? 1 : 2 : 3", NULL, "! a `:` is missing"},
    {"true ? (false ? 1 : 2) : 3", NULL, "2"},
    {"false ? 1 : false ? 2 : 3", NULL, "3"},
    {"false ? 1 : true ? 2 : 3", NULL, "2"},
    {"(true ? 1 : 2) + 1", NULL, "2"},
    {"true ? 1 : 'a'", NULL, "! one branch gives a number, the other a string"},
    {"true ? null : 1", NULL, "! one branch gives null"},
    {"1 ? 2 : 3", NULL, "! ? needs true or false"},
    {"true ? 1", NULL, "! a `:` is missing"},
    {"true ? : 1", NULL, "! a value is missing"},
    {"body.cur == 'usd' ? body.a > 100 : body.a > 10", "{\"cur\": \"usd\", \"a\": 50}", "false"},
    {"body.cur == 'usd' ? body.a > 100 : body.a > 10", "{\"cur\": \"eur\", \"a\": 50}", "true"},
    {"body.cur == 'usd' ? body.a > 100 : body.a > 10", "{\"a\": 50}", "unknown"},
    {"'x' in (true ? ['x'] : ['y'])", NULL, "true"},
    {"(true ? now : now) == now", NULL, "true"},
    {"!(false ? true : false)", NULL, "true"},
    {"false && (body.x ? true : false)", NULL, "false"},
    {"(body.x ? true : false) || true", NULL, "true"},
};

static const struct row fields[] = {
    {"body.a", "{\"a\": 1}", "1"},
    {"body.a.b", "{\"a\": {\"b\": \"x\"}}", "\"x\""},
    {"body['a']['b']", "{\"a\": {\"b\": \"x\"}}", "\"x\""},
    {"body['a'].b", "{\"a\": {\"b\": \"x\"}}", "\"x\""},
    {"body[\"odd.key\"]", "{\"odd.key\": 1}", "1"},
    {"body['']", "{\"\": 1}", "1"},
    {"body['\\u00e9']", "{\"\\u00e9\": 1}", "1"},
    {"body.a", "{}", "missing"},
    {"body.a.b", "{\"a\": 1}", "missing"},
    {"body.a.b", "{}", "missing"},
    {"body.a", "{\"a\": 1, \"a\": 2}", "unknown"},
    {"body.a", "[1]", "missing"},
    {"body", "5", "5"},
    {"body", "{\"a\": 1}", "[1 member]"},
    {"body[0]", "[7, 8]", "7"},
    {"body[1]", "[7, 8]", "8"},
    {"body[2]", "[7, 8]", "missing"},
    {"body.a[1].b", "{\"a\": [{\"b\": 1}, {\"b\": 2}]}", "2"},
    {"body.a[0]", "{\"a\": {\"0\": 1}}", "missing"},
    {"body.a['0']", "{\"a\": [1]}", "missing"},
    {"body[caller.id]", NULL, "! as written"},
    {"body[-1]", NULL, "! as written"},
    {"body[1.0]", NULL, "! as written"},
    {"body[1e0]", NULL, "! as written"},
    {"body[true]", NULL, "! as written"},
    {"body[]", NULL, "! a value is missing"},
    {"body.a.", NULL, "! must follow the dot"},
    {"'a'.b", NULL, "! have parts"},
    {"5 .b", NULL, "! have parts"},
    {"true.b", NULL, "! have parts"},
    {"caller.id.b", NULL, "! has no parts"},
    {"caller.claims.sub", NULL, "\"u1\""},
    {"caller.claims.roles[0]", NULL, "\"admin\""},
    {"caller.claims.nope", NULL, "missing"},
    {"caller.nope", NULL, "! `caller` has"},
    {"caller.groups", NULL, "[2 elements]"},
    {"caller.groups[0]", NULL, "\"finance\""},
    {"caller.groups[1]", NULL, "\"staff\""},
    {"caller.groups[2]", NULL, "unknown"},
    {"caller.groups[2] == 'x'", NULL, "unknown"},
    {"caller.groups[-1]", NULL, "! as written"},
    {"caller.groups['x']", NULL, "! as written"},
    {"[5, 6][1]", NULL, "6"},
    {"[5, 6][2]", NULL, "unknown"},
    {"['a'][0] == 'a'", NULL, "true"},
    {"[][0]", NULL, "unknown"},
    {"request.method", NULL, "\"POST\""},
    {"request.path", NULL, "\"/v1/transfers\""},
    {"request.size", "{}", "2"},
    {"request.nope", NULL, "! `request` has"},
    {"now", NULL, "2026-09-21T14:13:20Z"},
    {"nope", NULL, "! there is no name `nope`"},
};

static const struct row in_list[] = {
    {"1 in [1, 2]", NULL, "true"},
    {"3 in [1, 2]", NULL, "false"},
    {"1.0 in [1, 2]", NULL, "true"},
    {"10e-1 in [1, 2]", NULL, "true"},
    {"'a' in ['a']", NULL, "true"},
    {"'A' in ['a']", NULL, "false"},
    {"1 in []", NULL, "false"},
    {"true in [false]", NULL, "false"},
    {"1 in ['a']", NULL, "! looked for in a list"},
    {"null in [1]", NULL, "! cannot be in a list"},
    {"[1] in [1]", NULL, "! cannot be in a list"},
    {"now in [1]", NULL, "! cannot be in a list"},
    {"1 in 1", NULL, "! needs a list on its right"},
    {"'a' in 'abc'", NULL, "! needs a list on its right"},
    {"1 in [1, 'a']", NULL, "! begins with a number; here is a string"},
    {"1 in [null]", NULL, "! as written"},
    {"1 in [[1]]", NULL, "! as written"},
    {"1 in [1,]", NULL, "true"},                   /* CEL allows the last comma */
    {"5 in [1,2,3,4,5,6,7,8,9,10]", NULL, "true"}, /* long enough to be hashed */
    {"5.0 in [1,2,3,4,5,6,7,8,9,10]", NULL, "true"},
    {"50e-1 in [1,2,3,4,5,6,7,8,9,10]", NULL, "true"},
    {"0.5e1 in [1,2,3,4,5.00,6,7,8,9,10]", NULL, "true"},
    {"11 in [1,2,3,4,5,6,7,8,9,10]", NULL, "false"},
    {"-5 in [1,2,3,4,5,6,7,8,9,10]", NULL, "false"},
    {"0 in [1,2,3,4,5,6,7,8,9,-0.0]", NULL, "true"},
    {"1e1 in [1,2,3,4,5,6,7,8,9,10]", NULL, "true"},
    {"1e20 in [1,2,3,4,5,6,7,8,9,100000000000000000000]", NULL, "true"},
    {"0.001 in [1,2,3,4,5,6,7,8,9,1e-3]", NULL, "true"},
    {"body.a in [1,2,3,4,5,6,7,8,9,10]", "{\"a\": 7}", "true"},
    {"body.a in [1,2,3,4,5,6,7,8,9,10]", "{\"a\": \"7\"}", "unknown"},
    {"body.a in [1,2,3,4,5,6,7,8,9,10]", "{\"a\": null}", "unknown"},
    {"body.a in [1,2,3,4,5,6,7,8,9,10]", "{}", "unknown"},
    {"'i' in ['a','b','c','d','e','f','g','h','i']", NULL, "true"},
    {"'j' in ['a','b','c','d','e','f','g','h','i']", NULL, "false"},
    {"body.a in ['a','b','c','d','e','f','g','h','i']", "{\"a\": \"\\u0069\"}", "true"},
    {"body.a in ['a','b','c','d','e','f','g','h','i']", "{\"a\": 1}", "unknown"},
    {"'x' in body.a", "{\"a\": [\"x\"]}", "true"},
    {"'x' in body.a", "{\"a\": [\"\\u0078\"]}", "true"},
    {"'x' in body.a", "{\"a\": []}", "false"},
    {"'x' in body.a", "{\"a\": [1, \"x\"]}", "true"},
    {"'x' in body.a", "{\"a\": [1]}", "unknown"},
    {"'x' in body.a", "{\"a\": [[\"x\"]]}", "unknown"},
    {"'x' in body.a", "{\"a\": {\"x\": 1}}", "unknown"}, /* CEL looks at a map's keys */
    {"'x' in body.a", "{\"a\": \"x\"}", "unknown"},
    {"'x' in body.a", "{}", "unknown"},
    {"'staff' in caller.groups", NULL, "true"},
    {"'root' in caller.groups", NULL, "false"},
    {"'admin' in caller.claims.roles", NULL, "true"},
};

static const struct row has_macro[] = {
    {"has(body.a)", "{\"a\": 1}", "true"},
    {"has(body.a)", "{\"a\": null}", "true"},
    {"has(body.a)", "{\"a\": []}", "true"},
    {"has(body.a)", "{}", "false"},
    {"has(body.a.b)", "{}", "false"},
    {"has(body.a.b)", "{\"a\": 5}", "false"},
    {"has(body.a.b)", "{\"a\": {\"b\": 0}}", "true"},
    {"has(body.a)", "{\"a\": 1, \"a\": 1}", "unknown"},
    {"has(body.a)", "{\"a\": 1} x", "unknown"},
    {"has(body.a[1])", "{\"a\": [1]}", "false"}, /* CEL takes fields only */
    {"!has(body.a) || body.a > 5", "{}", "true"},
    {"has(body.a) && body.a > 5", "{}", "false"},
    {"has(caller.claims.sub)", NULL, "true"},
    {"has(1)", NULL, "! has() needs a name"},
    {"has(body.a + 1)", NULL, "! has() needs a name"},
    {"has(body.a, body.b)", NULL, "! one argument"},
    {"has()", NULL, "! one argument"},
};

#define ITEMS                                                                                      \
    "{\"items\": [{\"sku\": \"a\", \"price\": 5, \"tags\": [\"x\", \"y\"]},"                       \
    " {\"sku\": \"b\", \"price\": 7.5, \"tags\": []}, {\"price\": 2}], \"limit\": 6}"

/* map() and filter() make lists at run time; there are none. Maps are not gone through. */
static const struct row macros[] = {
    {"[1, 2].all(x, x > 0)", NULL, "true"},
    {"[1, 2].all(x, x > 1)", NULL, "false"},
    {"[].all(x, x > 1)", NULL, "true"},
    {"[1, 2].exists(x, x > 1)", NULL, "true"},
    {"[1, 2].exists(x, x > 2)", NULL, "false"},
    {"[].exists(x, true)", NULL, "false"},
    {"[1, 2].exists_one(x, x > 1)", NULL, "true"},
    {"[1, 2].exists_one(x, x > 0)", NULL, "false"},
    {"[].exists_one(x, true)", NULL, "false"},
    {"['a', 'b'].exists(x, x == 'b')", NULL, "true"},
    {"[true, false].all(x, x || !x)", NULL, "true"},
    {"[true, false].exists(b, b)", NULL, "true"},
    {"[1, 2, 3].all(x, [1, 2, 3].exists(y, x == y))", NULL, "true"},
    {"[1, 2].exists(x, [2, 3].exists(x, x == 3))", NULL, "true"}, /* the inner one */
    {"[1].exists(x, [2].exists(y, [3].exists(z, [6].exists(w, x + y + z == w))))", NULL, "true"},
    {"[1].all(a, [1].all(b, [1].all(c, [1].all(d, [1].all(e, true)))))", NULL, "! at most 4"},
    {"[1, 2].exists(x, x / 0 == 1)", NULL, "unknown"},
    {"[0, 1].exists(x, 1 / x == 1)", NULL, "true"}, /* absorbs, as || */
    {"[1, 0].exists(x, 1 / x == 1)", NULL, "true"},
    {"[0, 2].exists(x, 1 / x == 1)", NULL, "unknown"},
    {"[0, 2].all(x, 1 / x == 1)", NULL, "false"}, /* as && */
    {"[0, 1].all(x, 1 / x == 1)", NULL, "unknown"},
    {"[0, 1].exists_one(x, 1 / x == 1)", NULL, "unknown"}, /* absorbs nothing */
    {"[0, 1, 1].exists_one(x, 1 / x == 1)", NULL, "unknown"},
    {"caller.groups.exists(g, g == 'staff')", NULL, "true"},
    {"caller.groups.all(g, g.startsWith('f'))", NULL, "false"},
    {"caller.groups.exists_one(g, g.startsWith('f'))", NULL, "true"},
    {"caller.claims.roles.exists(r, r == 'dev')", NULL, "true"},
    {"body.items.exists(i, i.price > 5)", ITEMS, "true"},
    {"body.items.all(i, i.price > 1)", ITEMS, "true"},
    {"body.items.all(i, i.price > 2)", ITEMS, "false"},
    {"body.items.exists_one(i, i.price > 5)", ITEMS, "true"},
    {"body.items.exists(i, i.price > body.limit)", ITEMS, "true"},
    {"body.items.exists(i, i.price > 5 && has(i.sku))", ITEMS, "true"},
    {"body.items.all(i, has(i.sku))", ITEMS, "false"},
    {"body.items.exists(i, !has(i.sku))", ITEMS, "true"},
    {"body.items.exists(i, i.sku == 'b')", ITEMS, "true"},
    {"body.items.exists(i, i.sku == 'z')", ITEMS, "unknown"}, /* one has none */
    {"body.items.exists(i, i.tags.exists(t, t == 'y'))", ITEMS, "true"},
    {"body.items.exists(i, 'y' in i.tags)", ITEMS, "true"},
    {"body.items.exists(i, i['sku'] == 'a')", ITEMS, "true"},
    {"body.items.exists(i, i.tags[0] == 'x')", ITEMS, "true"},
    {"body.items.exists(i, size(i.tags) == 0)", ITEMS, "true"},
    {"body.items.exists(i, size(i) == 1)", ITEMS, "true"},
    {"body.items.exists(i, i == 5)", ITEMS, "unknown"},
    {"body.a.all(x, x > 0)", "{\"a\": []}", "true"},
    {"body.a.all(x, x > 0)", "{\"a\": [1, 2]}", "true"},
    {"body.a.all(x, x > 0)", "{\"a\": [1, \"2\"]}", "unknown"},
    {"body.a.all(x, x > 0)", "{\"a\": [-1, \"2\"]}", "false"},
    {"body.a.all(x, x > 0)", "{\"a\": 1}", "unknown"},
    {"body.a.all(x, x > 0)", "{\"a\": {\"b\": 1}}", "unknown"},
    {"body.a.all(x, x > 0)", "{\"a\": null}", "unknown"},
    {"body.a.all(x, x > 0)", "{}", "unknown"},
    {"body.a.exists(x, true)", "{}", "unknown"},
    {"body.all(x, x > 0)", "[1, 2]", "true"},
    {"body.a.exists(x, x == null)", "{\"a\": [1, null]}", "true"},
    {"body.a.exists(x, x.b == 1)", "{\"a\": [{\"b\": 1, \"b\": 2}]}", "unknown"},
    {"body.a.exists(x, x.b == 1)", "{\"a\": [{\"b\": 2, \"B\": 1}]}", "unknown"},
    {"body.a.exists(x, x.b == 1)", "{\"a\": [{\"b\": 2, \"b\": 1}, {\"b\": 1}]}", "true"},
    {"body.a.exists(x, x.b == 'q\\n')", "{\"a\": [{\"b\": \"q\\n\"}]}", "true"},
    {"body.a.exists(x, x == '\\n]')", "{\"a\": [\"[\", \"\\n]\"]}", "true"},
    {"body.a.exists(x, x.exists(y, y == 3))", "{\"a\": [[1], [2, 3]]}", "true"},
    {"body.a.exists(x, x[1] == 3)", "{\"a\": [[1], [2, 3]]}", "true"},
    {"body.a.all(x, x > 0 ? true : false)", "{\"a\": [1, 2]}", "true"},
    {"!body.a.exists(x, x > 1)", "{\"a\": [1, 2]}", "false"},
    {"body.a.exists(x, x > 1) && body.a.exists(x, x < 2)", "{\"a\": [1, 2]}", "true"},
    {"[1].all(x)", NULL, "! write .all(x, condition)"},
    {"[1].all(1, true)", NULL, "! names the element"},
    {"[1].all(x.y, true)", NULL, "! names the element"},
    {"[1].all(now, true)", NULL, "! this name is taken"},
    {"[1].all(x, x)", NULL, "! needs true or false"},
    {"[1].all(x, x == 'a')", NULL, "! a number is compared with a string"},
    {"[1].all(x, y > 1)", NULL, "! no name `y`"},
    {"[1].all(x, true) && x", NULL, "! no name `x`"},
    {"'abc'.all(x, true)", NULL, "! needs a list"},
    {"all([1], x, true)", NULL, "! write list.all"},
    {"[1].map(x, x)", NULL, "! use all() or exists()"},
    {"[1].filter(x, true)", NULL, "! use all(), exists()"},
    {"[1].exists(x, calls('1h') > 1)", NULL, "! counts calls, not elements"},
};

static const struct row times[] = {
    {"timestamp('2026-01-02T03:04:05Z')", NULL, "2026-01-02T03:04:05Z"},
    {"timestamp('2026-01-02T03:04:05.125Z')", NULL, "2026-01-02T03:04:05.125Z"},
    {"timestamp('2026-01-02T03:04:05.123456789Z')", NULL, "2026-01-02T03:04:05.123456789Z"},
    {"timestamp('2026-01-02T03:04:05+02:00')", NULL, "2026-01-02T01:04:05Z"},
    {"timestamp('0001-01-01T00:00:00Z')", NULL, "0001-01-01T00:00:00Z"},
    {"timestamp('9999-12-31T23:59:59.999999999Z')", NULL, "9999-12-31T23:59:59.999999999Z"},
    {"timestamp('1969-12-31T23:59:59.5Z')", NULL, "1969-12-31T23:59:59.5Z"},
    {"timestamp('0000-01-01T00:00:00Z')", NULL, "! RFC 3339"},
    {"timestamp('0001-01-01T00:00:00+01:00')", NULL, "! RFC 3339"},
    {"timestamp('2026-02-29T00:00:00Z')", NULL, "! RFC 3339"},
    {"timestamp('2024-02-29T00:00:00Z')", NULL, "2024-02-29T00:00:00Z"},
    {"timestamp('2026-01-01')", NULL, "! RFC 3339"},
    {"timestamp('2026-01-01T24:00:00Z')", NULL, "! RFC 3339"},
    {"timestamp('2026-01-01T00:00:60Z')", NULL, "! RFC 3339"},
    {"timestamp(5)", NULL, "! RFC 3339"},
    {"timestamp(body.t)", "{\"t\": \"2026-01-02T03:04:05Z\"}", "2026-01-02T03:04:05Z"},
    {"timestamp(body.t)", "{\"t\": \"yesterday\"}", "unknown"},
    {"timestamp(body.t)", "{\"t\": 5}", "unknown"},
    {"timestamp(body.t)", "{}", "unknown"},
    {"timestamp(body.t) < now", "{\"t\": \"2026-01-02T03:04:05Z\"}", "true"},
    {"now - timestamp(body.t) > duration('24h')", "{\"t\": \"2026-09-20T14:13:19Z\"}", "true"},
    {"now - timestamp(body.t) > duration('24h')", "{\"t\": \"2026-09-20T14:13:20Z\"}", "false"},
    {"duration('1h30m')", NULL, "5400s"},
    {"duration('1.5h') == duration('90m')", NULL, "true"},
    {"duration('-1.5s')", NULL, "-1.5s"},
    {"duration('-0.25s')", NULL, "-0.25s"},
    {"duration('250ms')", NULL, "0.25s"},
    {"duration('1us')", NULL, "0.000001s"},
    {"duration('1\xc2\xb5s') == duration('1us')", NULL, "true"},
    {"duration('1ns')", NULL, "0.000000001s"},
    {"duration('0')", NULL, "0s"},
    {"duration('+5s')", NULL, "5s"},
    {"duration('.5s')", NULL, "0.5s"},
    {"duration('5.s')", NULL, "5s"},
    {"duration('1h1h')", NULL, "7200s"},
    {"duration('5')", NULL, "! duration() needs"},
    {"duration('')", NULL, "! duration() needs"},
    {"duration('-')", NULL, "! duration() needs"},
    {"duration('s')", NULL, "! duration() needs"},
    {"duration('.s')", NULL, "! duration() needs"},
    {"duration('1d')", NULL, "! duration() needs"},
    {"duration('1 h')", NULL, "! duration() needs"},
    {"duration('315576000001s')", NULL, "! duration() needs"},
    {"duration('315576000000s')", NULL, "315576000000s"},
    {"duration(body.d)", "{\"d\": \"90s\"}", "90s"},
    {"duration(body.d)", "{\"d\": 90}", "unknown"},
    {"now + duration('1h')", NULL, "2026-09-21T15:13:20Z"},
    {"duration('1h') + now", NULL, "2026-09-21T15:13:20Z"},
    {"now - duration('1h')", NULL, "2026-09-21T13:13:20Z"},
    {"now - now", NULL, "0s"},
    {"timestamp('2026-01-02T00:00:00Z') - timestamp('2026-01-01T00:00:00.5Z')", NULL, "86399.5s"},
    {"timestamp('2026-01-01T00:00:00Z') - timestamp('2026-01-02T00:00:00Z')", NULL, "-86400s"},
    {"duration('1h') + duration('30m')", NULL, "5400s"},
    {"duration('1h') - duration('90m')", NULL, "-1800s"},
    {"duration('1h') - now", NULL, "! a duration - a time is not defined"},
    {"now + now", NULL, "! a time + a time is not defined"},
    {"now * 2", NULL, "! is not defined"},
    {"-duration('1h')", NULL, "! - needs a number"},
    {"duration('1h') * 2", NULL, "! is not defined"},
    {"timestamp('9999-12-31T23:59:59Z') + duration('1s')", NULL, "unknown"},
    {"timestamp('0001-01-01T00:00:00Z') - duration('1ns')", NULL, "unknown"},
    {"duration('315576000000s') + duration('1ns')", NULL, "315576000000.000000001s"},
    {"duration('315576000000s') + duration('1s')", NULL, "unknown"},
    {"body.t < now", NULL, "! timestamp() around it"},
    {"body.t == duration('1s')", NULL, "! duration() around it"},
    {"timestamp('a', 'b')", NULL, "! one argument"},
};

static const struct row getters[] = {
    {"now.getFullYear()", NULL, "2026"},
    {"now.getMonth()", NULL, "8"},
    {"now.getDate()", NULL, "21"},
    {"now.getDayOfMonth()", NULL, "20"},
    {"now.getDayOfWeek()", NULL, "1"},
    {"now.getDayOfYear()", NULL, "263"},
    {"now.getHours()", NULL, "14"},
    {"now.getMinutes()", NULL, "13"},
    {"now.getSeconds()", NULL, "20"},
    {"now.getMilliseconds()", NULL, "0"},
    {"timestamp('2026-01-01T00:00:00.129Z').getMilliseconds()", NULL, "129"},
    {"timestamp('2024-12-31T00:00:00Z').getDayOfYear()", NULL, "365"},
    {"timestamp('2025-12-31T00:00:00Z').getDayOfYear()", NULL, "364"},
    {"timestamp('2024-03-01T00:00:00Z').getDayOfYear()", NULL, "60"},
    {"timestamp('2023-01-01T00:00:00Z').getDayOfWeek()", NULL, "0"},
    {"timestamp('2023-01-07T00:00:00Z').getDayOfWeek()", NULL, "6"},
    {"timestamp('1969-12-31T23:59:59Z').getHours()", NULL, "23"},
    {"timestamp('1969-12-31T23:59:59Z').getDayOfWeek()", NULL, "3"},
    {"timestamp('1900-03-01T00:00:00Z').getDayOfYear()", NULL, "59"},
    {"timestamp('2000-03-01T00:00:00Z').getDayOfYear()", NULL, "60"},
    {"timestamp('0001-01-01T00:00:00Z').getFullYear()", NULL, "1"},
    {"timestamp('0001-01-01T00:00:00Z').getDayOfWeek()", NULL, "1"},
    {"timestamp('9999-12-31T23:59:59Z').getMonth()", NULL, "11"},
    {"now.getHours('Europe/Berlin')", NULL, "16"},
    {"now.getHours('America/New_York')", NULL, "10"},
    {"now.getHours('Asia/Kolkata')", NULL, "19"},
    {"now.getMinutes('Asia/Kolkata')", NULL, "43"},
    {"now.getHours('UTC')", NULL, "14"},
    {"now.getHours('Etc/GMT+5')", NULL, "9"},
    {"now.getHours('+02:00')", NULL, "16"},
    {"now.getHours('-08:30')", NULL, "5"},
    {"now.getDate('Pacific/Auckland')", NULL, "22"},
    {"timestamp('2026-01-15T12:00:00Z').getHours('Europe/Berlin')", NULL, "13"},
    {"timestamp('2026-03-29T00:59:59Z').getHours('Europe/Berlin')", NULL, "1"},
    {"timestamp('2026-03-29T01:00:00Z').getHours('Europe/Berlin')", NULL, "3"},
    {"timestamp('2026-10-25T00:59:59Z').getHours('Europe/Berlin')", NULL, "2"},
    {"timestamp('2026-10-25T01:00:00Z').getHours('Europe/Berlin')", NULL, "2"},
    {"timestamp('2060-07-01T12:00:00Z').getHours('Europe/Berlin')", NULL, "14"}, /* the footer */
    {"timestamp('2060-01-01T12:00:00Z').getHours('Europe/Berlin')", NULL, "13"},
    {"timestamp('2060-01-01T12:00:00Z').getHours('Australia/Sydney')", NULL, "23"},
    {"timestamp('2060-07-01T12:00:00Z').getHours('Australia/Sydney')", NULL, "22"},
    {"timestamp('2060-01-01T12:00:00Z').getHours('Europe/Dublin')", NULL, "12"},
    {"timestamp('2060-07-01T12:00:00Z').getHours('Europe/Dublin')", NULL, "13"},
    {"timestamp('1800-01-01T12:00:00Z').getMinutes('Europe/Berlin')", NULL, "53"},
    {"now.getHours('Mars/Olympus')", NULL, "! no such zone"},
    {"now.getHours('../etc/passwd')", NULL, "! a zone is written as"},
    {"now.getHours('/etc/passwd')", NULL, "! a zone is written as"},
    {"now.getHours('')", NULL, "! a zone is written as"},
    {"now.getHours('Europe')", NULL, "! no such zone"},
    {"now.getHours('tzdata.zi')", NULL, "! a zone is written as"},
    {"now.getHours('+24:00')", NULL, "! a zone is written as"},
    {"now.getHours(body.zone)", NULL, "! a zone is written as"},
    {"now.getHours('UTC', 'UTC')", NULL, "! one zone at most"},
    {"duration('3h30m').getHours()", NULL, "3"},
    {"duration('3h30m').getMinutes()", NULL, "210"},
    {"duration('1h0.5s').getSeconds()", NULL, "3600"},
    {"duration('1.234567s').getMilliseconds()", NULL, "234"},
    {"duration('-90m').getHours()", NULL, "-1"},
    {"duration('-1.5s').getSeconds()", NULL, "-1"},
    {"duration('-1.5s').getMilliseconds()", NULL, "-500"},
    {"duration('1h').getFullYear()", NULL, "! a duration has hours"},
    {"duration('1h').getHours('UTC')", NULL, "! no argument on a duration"},
    {"body.t.getHours()", NULL, "! write timestamp(...) around it"},
    {"timestamp(body.t).getHours()", "{\"t\": \"2026-01-01T05:00:00Z\"}", "5"},
    {"timestamp(body.t).getHours()", "{\"t\": \"x\"}", "unknown"},
    {"'a'.getHours()", NULL, "! needs a time or a duration, not a string"},
    {"5 .getMonth()", NULL, "! needs a time, not a number"},
};

static const struct row string_functions[] = {
    {"'hello'.startsWith('he')", NULL, "true"},
    {"'hello'.startsWith('lo')", NULL, "false"},
    {"'hello'.startsWith('')", NULL, "true"},
    {"''.startsWith('a')", NULL, "false"},
    {"'hello'.endsWith('lo')", NULL, "true"},
    {"'hello'.endsWith('')", NULL, "true"},
    {"'hello'.contains('ll')", NULL, "true"},
    {"'hello'.contains('lll')", NULL, "false"},
    {"'hello'.contains('')", NULL, "true"},
    {"''.contains('')", NULL, "true"},
    {"('a' + 'b').contains('ab')", NULL, "true"},
    {"body.a.contains('x')", "{\"a\": \"axb\"}", "true"},
    {"body.a.contains('x')", "{\"a\": 5}", "unknown"},
    {"body.a.contains('x')", "{\"a\": [\"x\"]}", "unknown"},
    {"'a'.contains(5)", NULL, "! needs a string, not a number"},
    {"5 .contains('a')", NULL, "! needs a string, not a number"},
    {"'a'.contains()", NULL, "! one argument"},
    {"contains('a', 'b')", NULL, "! no function contains()"},
    {"matches('abc', 'b')", NULL, "true"}, /* anywhere */
    {"'abc'.matches('b')", NULL, "true"},
    {"'abc'.matches('^b')", NULL, "false"},
    {"'abc'.matches('^abc$')", NULL, "true"},
    {"'abc'.matches('^a.c$')", NULL, "true"},
    {"'abc'.matches('B')", NULL, "false"},
    {"'abc'.matches('(?i)B')", NULL, "true"},
    {"'a\\nb'.matches('a.b')", NULL, "false"},
    {"'a\\nb'.matches('(?s)a.b')", NULL, "true"},
    {"'ab\\n'.matches('b$')", NULL, "false"}, /* as RE2: the end of the text */
    {"'ab\\ncd'.matches('(?m)b$')", NULL, "true"},
    {"'ab\\ncd'.matches('(?m:b$)')", NULL, "true"},
    {"'ab\\ncd'.matches('(?m:a)b$')", NULL, "false"},
    {"'a$'.matches('a\\\\$')", NULL, "true"},
    {"'a$'.matches('[$]$')", NULL, "true"},
    {"'a$'.matches('[]$]')", NULL, "true"},
    {"'a$'.matches('[^$]$')", NULL, "false"},
    {"'ab'.matches('(a$)|b')", NULL, "true"},
    {"''.matches('')", NULL, "true"},
    {"'abc'.matches('')", NULL, "true"},
    {"''.matches('a*')", NULL, "true"},
    {"''.matches('^$')", NULL, "true"},
    {"''.matches('a')", NULL, "false"},
    {"'\\u00e9'.matches('^.$')", NULL, "true"}, /* one character */
    {"'4111-1111'.matches(r'^\\d{4}-\\d{4}$')", NULL, "true"},
    {"'\\u0664'.matches(r'\\d')", NULL, "false"}, /* ASCII digits, as RE2 */
    {"body.a.matches('^x+$')", "{\"a\": \"xxx\"}", "true"},
    {"body.a.matches('^x+$')", "{\"a\": 5}", "unknown"},
    {"body.a.matches('^x+$')", "{}", "unknown"},
    {"body.a.exists(x, x.matches('^b'))", "{\"a\": [\"ab\", \"ba\"]}", "true"},
    {"'a'.matches('(')", NULL, "! this pattern is refused"},
    {"'a'.matches('a(?=b)')", NULL, "! this pattern is refused"},
    {"'a'.matches('(a)\\\\1')", NULL, "! this pattern is refused"},
    {"'a'.matches(body.re)", NULL, "! as written"},
    {"5 .matches('a')", NULL, "! needs a string"},
    {"matches('a')", NULL, "! write matches(text"},
    {"'a'.matches()", NULL, "! one argument"},
    {"'a'.upperAscii()", NULL, "! no function .upperAscii()"},
};

static const struct row sizes[] = {
    {"size('')", NULL, "0"},
    {"size('abc')", NULL, "3"},
    {"'abc'.size()", NULL, "3"},
    {"size('\\u00e9\\U0001f600')", NULL, "2"}, /* code points */
    {"size([1, 2])", NULL, "2"},
    {"[].size()", NULL, "0"},
    {"size(caller.groups)", NULL, "2"},
    {"size([1,2,3,4,5,6,7,8,9,10])", NULL, "10"},
    {"size(body.a)", "{\"a\": [1, [2, 3]]}", "2"},
    {"size(body.a)", "{\"a\": {\"b\": 1, \"c\": 2}}", "2"},
    {"size(body.a)", "{\"a\": \"x\\u00e9\"}", "2"},
    {"size(body.a)", "{\"a\": 5}", "unknown"},
    {"size(body.a)", "{}", "unknown"},
    {"size(5)", NULL, "! size() needs a string or a list"},
    {"size(now)", NULL, "! size() needs a string or a list"},
    {"size()", NULL, "! one argument"},
    {"'a'.size(1)", NULL, "! no function .size()"},
};

static const struct row others[] = {
    {"int(5)", NULL, "! numbers have one type"},
    {"double(5)", NULL, "! numbers have one type"},
    {"string(5)", NULL, "! no function string()"},
    {"bytes('a')", NULL, "! no bytes"},
    {"type(5)", NULL, "! no function type()"},
    {"dyn(5)", NULL, "! leave it out"},
    {"nope(5)", NULL, "! no function nope()"},
    {"5 .nope()", NULL, "! no function .nope()"},
    {"found('pci.card')", NULL, "unknown"}, /* nothing was scanned */
    {"found('pci.card') > 0 || true", NULL, "true"},
    {"!found('pci.*')", NULL, "unknown"},
    {"found('*') ? true : false", NULL, "unknown"},
    {"found('nope')", NULL, "! finds no known detector"},
    {"found('a b')", NULL, "! a detector's name as written"},
    {"found(5)", NULL, "! a detector's name as written"},
    {"found", NULL, "! is a function"},
    {"calls('1h') > 5", NULL, "unknown"},
    {"spent('body.a', '1h') + body.a > 5", "{\"a\": 10}", "unknown"},
    {"lists.x", NULL, "! there is no list `x`"},
    {"lists", NULL, "! name one of the lists"},
};

static const struct section sections[] = {
    SECTION("lexis", lexis),
    SECTION("numeric literals", numbers),
    SECTION("string literals", strings),
    SECTION("operators and precedence", precedence),
    SECTION("logical operators", logic),
    SECTION("equality", equality),
    SECTION("ordering", ordering),
    SECTION("arithmetic", arithmetic),
    SECTION("conditional", conditional),
    SECTION("field selection and indexing", fields),
    SECTION("in", in_list),
    SECTION("has", has_macro),
    SECTION("macros", macros),
    SECTION("time and duration", times),
    SECTION("getters", getters),
    SECTION("string functions", string_functions),
    SECTION("size", sizes),
    SECTION("functions", others),
};

/* ---------------------------------------------------------------- running */

static const char claims[] = "{\"sub\": \"u1\", \"roles\": [\"admin\", \"dev\"], \"level\": 3}";

static void run(const char *expr, const struct rules_call *c, char got[512])
{
    struct expr_bench *b = calloc(1, sizeof(*b));
    struct diags d;
    struct rules_source_text src = {span_cstr(expr), NULL, "expr", &d};
    struct outbuf o = outbuf_on(got, 511);
    struct rules_expr *e;
    struct rules_value v;

    diags_init(&d);
    e = rules_compile(&src, SCOPE_CALL, TYPE_DYN, &b->mem);
    if (e) {
        expr_bench_read(b, e, c);
        assert_true(rules_run_adopt(&b->run, &e->needs));
        v = rules_eval(e, &b->run);
        rules_value_show(&v, &o);
        rules_run_free(&b->run);
    } else {
        assert_true(d.errors > 0);
        outbuf_printf(&o, "! %s", d.items[0].message);
    }
    got[o.n] = 0;
    diags_free(&d);
    arena_free(&b->mem);
    free(b);
}

static bool as_wanted(const char *want, const char *got)
{
    if (want[0] != '!')
        return strcmp(want, got) == 0;
    return got[0] == '!' && strstr(got + 1, want + 2) != NULL;
}

static struct rules_function function = {.name = {"stripe.transfer.create", 22}};
static const struct rules_connection connection = {.name = {"stripe", 6}};

static unsigned check(const struct section *s, const struct row *r)
{
    struct test_call t;
    char got[512];

    test_call_init(&t);
    function.connection = &connection;
    t.call.function = &function;
    t.caller.claims = span_cstr(claims);
    test_body(&t, BODY_JSON, r->body ? r->body : "{}");
    run(r->expr, &t.call, got);
    if (as_wanted(r->want, got))
        return 0;
    printf("%s: `%s` on %s: expected %s, got %s\n", s->name, r->expr, r->body ? r->body : "{}",
           r->want, got);
    return 1;
}

static void each_section_as_defined(void **state)
{
    unsigned wrong = 0;
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        for (size_t k = 0; k < sections[i].n; k++)
            wrong += check(&sections[i], &sections[i].rows[k]);
        n += sections[i].n;
    }
    printf("%zu cases in %zu sections\n", n, sizeof(sections) / sizeof(sections[0]));
    assert_true(n >= 400);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_section_as_defined)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
