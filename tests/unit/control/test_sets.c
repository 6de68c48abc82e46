/* Sets of rules that have run: what is kept of them, going back to one, and what their rules did.
 */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char extra_rule[] = "rules:\n  - {id: 9000, rev: %u, name: Extra, on: payments.read, "
                                 "when: 'request.path == \"/v1/x\"', then: block}\n";

static void write_extra(const struct world *w, unsigned rev)
{
    char path[160], text[256];

    snprintf(path, sizeof(path), "%s/extra.yaml", w->rules);
    snprintf(text, sizeof(text), extra_rule, rev);
    world_write(path, text);
}

static int64_t number(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static int64_t reload(const struct world *w)
{
    json_t *o = world_ask(w, "{\"do\":\"rules.reload\"}");
    int64_t set = number(o, "set");

    if (!json_is_true(json_object_get(o, "ok")))
        fail_msg("the reload failed: %s", json_dumps(o, 0));
    json_decref(o);
    return set;
}

static json_t *rollback(const struct world *w, int64_t set)
{
    char text[80];

    snprintf(text, sizeof(text), "{\"do\":\"rules.rollback\",\"set\":%ld}", set);
    return world_ask(w, text);
}

static int64_t count_rules(const struct world *w)
{
    json_t *o = world_ask(w, "{\"do\":\"status\"}");
    int64_t n = number(o, "rules");

    json_decref(o);
    return n;
}

static json_t *hits_of(const struct world *w, int64_t id)
{
    json_t *o = world_ask(w, "{\"do\":\"rules.hits\"}"), *rule, *found = NULL;
    size_t i;

    json_array_foreach(json_object_get(o, "rules"), i, rule)
    {
        if (number(rule, "id") == id)
            found = json_incref(rule);
    }
    json_decref(o);
    return found;
}

static void check_matched(const struct world *w, int64_t id, int64_t expected)
{
    json_t *h = hits_of(w, id);

    if (!h || number(h, "matched") != expected)
        fail_msg("rule %ld: expected %ld matches, got %s", id, expected,
                 h ? json_dumps(h, 0) : "no such rule");
    json_decref(h);
}

/* What worker `worker` would do as it decides a call. */
static void hit(struct world *w, uint64_t id, unsigned worker)
{
    struct call_generation *g = w->generation;

    for (unsigned i = 0; i < rules_count(g->rules); i++)
        if (rules_at(g->rules, i)->id == id) {
            counter_inc(&call_generation_hits(g, worker)[i].matched);
            atomic_store(&call_generation_hits(g, worker)[i].last_ns, clock_wall_ns());
        }
}

/* ------------------------------------------------------------------------- tests */

static void test_sets_are_kept_once(void **state)
{
    struct world *w = *state;
    int64_t first = reload(w), again = reload(w), other;

    assert_int_equal(first, again); /* the same files */
    write_extra(w, 1);
    other = reload(w);
    assert_int_equal(other, first + 1);
    assert_int_equal(reload(w), other);
}

static void test_what_is_kept(void **state)
{
    struct world *w = *state;
    char path[PATH_MAX], command[2 * PATH_MAX];
    struct stat st;
    int64_t set = reload(w);

    assert_true(control_history_path(w->history, (uint64_t)set, path));
    snprintf(command, sizeof(command), "for f in %s/*.yaml; do cmp $f %s/${f##*/} || exit 1; done",
             w->rules, path);
    assert_int_equal(system(command), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void test_rollback(void **state)
{
    struct world *w = *state;
    json_t *o = world_ask(w, "{\"do\":\"rules.history\"}"), *sets = json_object_get(o, "sets");
    int64_t earlier = number(json_array_get(sets, 0), "set");

    assert_int_equal(json_array_size(sets), 2);
    assert_true(json_is_true(json_object_get(json_array_get(sets, 1), "running")));
    json_decref(o);
    assert_int_equal(count_rules(w), 9);
    o = rollback(w, earlier);
    assert_true(json_is_true(json_object_get(o, "ok")));
    assert_int_equal(number(o, "set"), earlier);
    json_decref(o);
    assert_int_equal(count_rules(w), 8);
    assert_int_equal(control_history_pinned(w->history), earlier); /* holds over a restart */
    reload(w);                                                     /* takes the directory again */
    assert_int_equal(count_rules(w), 9);
    assert_int_equal(control_history_pinned(w->history), 0);
    o = world_ask(w, "{\"do\":\"rules.rollback\"}"); /* to the one before */
    assert_int_equal(number(o, "set"), earlier);
    json_decref(o);
    o = world_ask(w, "{\"do\":\"rules.rollback\"}");
    assert_int_equal(number(o, "exit"), 4);
    json_decref(o);
    reload(w);
}

static void test_rollback_to_nothing(void **state)
{
    json_t *o = rollback(*state, 4711);

    assert_int_equal(number(o, "exit"), 4);
    json_decref(o);
    o = rollback(*state, -1);
    assert_int_equal(number(o, "exit"), 64);
    json_decref(o);
}

/* An earlier set that cannot run any more changes nothing. */
static void test_rollback_that_fails(void **state)
{
    struct world *w = *state;
    char path[PATH_MAX + 16], set[PATH_MAX];
    json_t *o;

    assert_true(control_history_path(w->history, 1, set));
    snprintf(path, sizeof(path), "%s/broken.yaml", set);
    world_write(path, "rules:\n  - id: 1\n");
    o = rollback(w, 1);
    assert_int_equal(number(o, "exit"), 2);
    json_decref(o);
    unlink(path);
    assert_int_equal(count_rules(w), 9);
    assert_int_equal(control_history_pinned(w->history), 0);
}

static void test_only_so_many_are_kept(void **state)
{
    struct world *w = *state;
    json_t *o;

    for (unsigned rev = 2; rev < CONTROL_HISTORY_KEPT + 10; rev++) {
        write_extra(w, rev);
        reload(w);
    }
    o = world_ask(w, "{\"do\":\"rules.history\"}");
    assert_int_equal(json_array_size(json_object_get(o, "sets")), CONTROL_HISTORY_KEPT);
    json_decref(o);
}

static void test_hits(void **state)
{
    struct world *w = *state;

    reload(w);
    check_matched(w, 100, 0);
    hit(w, 100, 0);
    hit(w, 100, 1);
    hit(w, 100, 1);
    check_matched(w, 100, 3);
    hit(w, 9000, 0);
    reload(w); /* the counts of the set before are kept */
    check_matched(w, 100, 3);
    hit(w, 100, 0);
    check_matched(w, 100, 4);
    check_matched(w, 9000, 1);
    write_extra(w, 9999); /* another rev is another rule */
    reload(w);
    check_matched(w, 9000, 0);
    check_matched(w, 100, 4);
}

static void test_history_that_cannot_be_written(void **state)
{
    struct world *w = *state;
    char why[256] = "";

    assert_int_equal(control_history_keep("/proc/nothing/here", w->generation->rules, "me", 1, why),
                     0);
    assert_non_null(strstr(why, "/proc/nothing/here"));
    assert_int_equal(control_history_pinned("/proc/nothing/here"), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets_are_kept_once),
        cmocka_unit_test(test_what_is_kept),
        cmocka_unit_test(test_rollback),
        cmocka_unit_test(test_rollback_to_nothing),
        cmocka_unit_test(test_rollback_that_fails),
        cmocka_unit_test(test_hits),
        cmocka_unit_test(test_only_so_many_are_kept),
        cmocka_unit_test(test_history_that_cannot_be_written),
    };

    if (argc != 2) {
        fprintf(stderr, "usage: test_sets RULES_DIRECTORY\n");
        return 64;
    }
    world_rules = argv[1];
    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
