/* Every kind of segment in every state (RFC 9293 3.10.7, with RFC 5961 and RFC 1337), for both
 * families: what state follows, what is answered, what is counted. One line of the table a kind of
 * segment, one cell a state: "state answer counter".
 *
 *     state    "=" as before; "-" no connection any more
 *     answer   "." none; A ACK, of all that has been taken; SA our SYN,ACK;
 *              R  <SEQ=SEG.ACK><CTL=RST>; RA <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>
 *     counter  the one counter of drops that moves; "." none does */
#include "tcp_test.h"

#include "tcp/tcp_internal.h"

enum {
    CLOSED,
    LISTEN,
    SYN_SENT,
    SYN_RCVD,
    ESTAB,
    FIN_W1,
    FIN_W2,
    CLOSE_W,
    CLOSING,
    LAST_A,
    TIME_W
};
#define STATES 11

static const char *const state_names[STATES] = {"CLOSED",  "LISTEN", "SYN_SENT", "SYN_RCVD",
                                                "ESTAB",   "FIN_W1", "FIN_W2",   "CLOSE_W",
                                                "CLOSING", "LAST_A", "TIME_W"};

/* Where things stand once a state is reached; relative numbers. In ESTAB and CLOSE_W 100 bytes of
 * ours are not acknowledged, in FIN_W1, CLOSING and LAST_A our FIN is not. The window's right edge
 * is the 65535 of the SYN,ACK. */
static const struct standing {
    uint32_t next, una, max; /* the peer's next; ours */
} places[STATES] = {
    [CLOSED] = {0, 0, 0},  [LISTEN] = {0, 0, 0}, [SYN_SENT] = {0, 0, 1}, [SYN_RCVD] = {1, 0, 1},
    [ESTAB] = {1, 1, 101}, [FIN_W1] = {1, 1, 2}, [FIN_W2] = {1, 2, 2},   [CLOSE_W] = {2, 1, 101},
    [CLOSING] = {2, 1, 2}, [LAST_A] = {2, 1, 2}, [TIME_W] = {2, 2, 2},
};
#define EDGE 65536u

enum seq_at { AT_NEXT, AT_EDGE };
enum ack_at { AT_MAX, AT_UNA };

struct row {
    const char *name;
    unsigned flags;
    enum seq_at seq_at;
    int32_t seq;
    enum ack_at ack_at;
    int32_t ack;
    uint32_t len;
    const char *cell[STATES];
};

/* The cells of the six states from ESTAB to LAST_A, where all are alike. */
#define SYNCHRONISED(c) c, c, c, c, c, c

static const struct row rows[] = {
    {"SYN",
     S,
     AT_NEXT,
     0,
     0,
     0,
     0,
     {"= RA drop_no_listener", "SYN_RCVD SA .", "SYN_RCVD SA .", "- . drop_blind_syn",
      SYNCHRONISED("= A drop_blind_syn"), "= A drop_time_wait"}},
    {"the same SYN again",
     S,
     AT_NEXT,
     -1,
     0,
     0,
     0,
     {"= RA drop_no_listener", "SYN_RCVD SA .", "SYN_RCVD SA .", "= SA drop_duplicate",
      SYNCHRONISED("= A drop_blind_syn"), "= A drop_time_wait"}},
    {"SYN beyond the window",
     S,
     AT_EDGE,
     10000,
     0,
     0,
     0,
     {"= RA drop_no_listener", "SYN_RCVD SA .", "SYN_RCVD SA .", "= A drop_blind_syn",
      SYNCHRONISED("= A drop_blind_syn"), "SYN_RCVD SA ."}},
    {"SYN,ACK",
     S | A,
     AT_NEXT,
     0,
     AT_MAX,
     0,
     0,
     {"= R drop_no_listener", "= R drop_no_listener", "ESTAB A .", "- . drop_blind_syn",
      SYNCHRONISED("= A drop_blind_syn"), "= A drop_time_wait"}},
    {"SYN,ACK of what was not sent",
     S | A,
     AT_NEXT,
     0,
     AT_MAX,
     1,
     0,
     {"= R drop_no_listener", "= R drop_no_listener", "= R drop_bad_ack", "- . drop_blind_syn",
      SYNCHRONISED("= A drop_blind_syn"), "= A drop_time_wait"}},
    {"ACK of all",
     A,
     AT_NEXT,
     0,
     AT_MAX,
     0,
     0,
     {"= R drop_no_listener", "= R drop_no_listener", "= . drop_out_of_window", "ESTAB . .",
      "= . .", "FIN_W2 . .", "= . .", "= . .", "TIME_W . .", "- . .", "= . drop_time_wait"}},
    {"ACK of nothing new",
     A,
     AT_NEXT,
     0,
     AT_UNA,
     0,
     0,
     {"= R drop_no_listener", "= R drop_no_listener", "= R drop_bad_ack", "= R drop_bad_ack",
      SYNCHRONISED("= . ."), "= . drop_time_wait"}},
    {"ACK of what was not sent",
     A,
     AT_NEXT,
     0,
     AT_MAX,
     1,
     0,
     {"= R drop_no_listener", "= R drop_no_listener", "= R drop_bad_ack", "= R drop_bad_ack",
      SYNCHRONISED("= A drop_bad_ack"), "= . drop_time_wait"}},
    {"ACK older than any window",
     A,
     AT_NEXT,
     0,
     AT_UNA,
     -70000,
     0,
     {"= R drop_no_listener", "= R drop_no_listener", "= R drop_bad_ack", "= R drop_bad_ack",
      SYNCHRONISED("= A drop_bad_ack"), "= . drop_time_wait"}},
    {"ACK beyond the window",
     A,
     AT_EDGE,
     1,
     AT_MAX,
     0,
     0,
     {"= R drop_no_listener", "= R drop_no_listener", "= . drop_out_of_window",
      "= A drop_out_of_window", SYNCHRONISED("= A drop_out_of_window"), "= . drop_time_wait"}},
    {"ACK before the window (keepalive)",
     A,
     AT_NEXT,
     -1,
     AT_MAX,
     0,
     0,
     {"= R drop_no_listener", "= R drop_no_listener", "= . drop_out_of_window",
      "= A drop_duplicate", SYNCHRONISED("= A drop_duplicate"), "= . drop_time_wait"}},
    {"FIN,ACK of all",
     F | A,
     AT_NEXT,
     0,
     AT_MAX,
     0,
     0,
     {"= R drop_no_listener", "= R drop_no_listener", "= . drop_out_of_window", "CLOSE_W A .",
      "CLOSE_W A .", "TIME_W A .", "TIME_W A .", "= . drop_duplicate", "TIME_W . .", "- . .",
      "= A drop_time_wait"}},
    {"FIN,ACK of nothing new",
     F | A,
     AT_NEXT,
     0,
     AT_UNA,
     0,
     0,
     {"= R drop_no_listener", "= R drop_no_listener", "= R drop_bad_ack", "= R drop_bad_ack",
      "CLOSE_W A .", "CLOSING A .", "TIME_W A .", "= . drop_duplicate", "= . drop_duplicate",
      "= . drop_duplicate", "= A drop_time_wait"}},
    {"FIN,ACK again",
     F | A,
     AT_NEXT,
     -1,
     AT_MAX,
     0,
     0,
     {"= R drop_no_listener", "= R drop_no_listener", "= . drop_out_of_window",
      "= A drop_duplicate", "= A drop_duplicate", "FIN_W2 A drop_duplicate", "= A drop_duplicate",
      "= A drop_duplicate", "TIME_W A drop_duplicate", "- . drop_duplicate", "= A drop_time_wait"}},
    {"FIN,ACK beyond the window",
     F | A,
     AT_EDGE,
     1,
     AT_MAX,
     0,
     0,
     {"= R drop_no_listener", "= R drop_no_listener", "= . drop_out_of_window",
      "= A drop_out_of_window", SYNCHRONISED("= A drop_out_of_window"), "= A drop_time_wait"}},
    {"RST",
     R,
     AT_NEXT,
     0,
     0,
     0,
     0,
     {"= . drop_no_listener", "= . drop_no_listener", "= . drop_blind_reset", "- . .",
      SYNCHRONISED("- . ."), "= . drop_time_wait"}},
    {"RST,ACK of all",
     R | A,
     AT_NEXT,
     0,
     AT_MAX,
     0,
     0,
     {"= . drop_no_listener", "= . drop_no_listener", "- . .", "- . .", SYNCHRONISED("- . ."),
      "= . drop_time_wait"}},
    {"RST,ACK of what was not sent",
     R | A,
     AT_NEXT,
     0,
     AT_MAX,
     1,
     0,
     {"= . drop_no_listener", "= . drop_no_listener", "= . drop_bad_ack", "- . .",
      SYNCHRONISED("- . ."), "= . drop_time_wait"}},
    {"RST in the window",
     R,
     AT_NEXT,
     1,
     0,
     0,
     0,
     {"= . drop_no_listener", "= . drop_no_listener", "= . drop_blind_reset",
      "= A drop_blind_reset", SYNCHRONISED("= A drop_blind_reset"), "= . drop_time_wait"}},
    {"RST before the window",
     R,
     AT_NEXT,
     -1,
     0,
     0,
     0,
     {"= . drop_no_listener", "= . drop_no_listener", "= . drop_blind_reset",
      "= . drop_blind_reset", SYNCHRONISED("= . drop_blind_reset"), "= . drop_time_wait"}},
    {"RST beyond the window",
     R,
     AT_EDGE,
     1,
     0,
     0,
     0,
     {"= . drop_no_listener", "= . drop_no_listener", "= . drop_blind_reset",
      "= . drop_blind_reset", SYNCHRONISED("= . drop_blind_reset"), "= . drop_time_wait"}},
    {"data, ACK of all",
     A,
     AT_NEXT,
     0,
     AT_MAX,
     0,
     10,
     {"= R drop_no_listener", "= R drop_no_listener", "= . drop_out_of_window", "ESTAB . .",
      "= . .", "FIN_W2 . .", "= . .", "= . drop_duplicate", "TIME_W . .", "- . .",
      "= A drop_time_wait"}},
    {"data before the window",
     A,
     AT_NEXT,
     -10,
     AT_MAX,
     0,
     10,
     {"= R drop_no_listener", "= R drop_no_listener", "= . drop_out_of_window",
      "= A drop_duplicate", "= A drop_duplicate", "FIN_W2 A drop_duplicate", "= A drop_duplicate",
      "= A drop_duplicate", "TIME_W A drop_duplicate", "- . drop_duplicate", "= A drop_time_wait"}},
    {"data beyond the window",
     A,
     AT_EDGE,
     1,
     AT_MAX,
     0,
     10,
     {"= R drop_no_listener", "= R drop_no_listener", "= . drop_out_of_window",
      "= A drop_out_of_window", SYNCHRONISED("= A drop_out_of_window"), "= A drop_time_wait"}},
    {"data behind a hole",
     A,
     AT_NEXT,
     100,
     AT_MAX,
     0,
     10,
     {"= R drop_no_listener", "= R drop_no_listener", "= . drop_out_of_window", "ESTAB A .",
      "= A .", "FIN_W2 A .", "= A .", "= . drop_duplicate", "TIME_W . .", "- . .",
      "= A drop_time_wait"}},
    {"data, ACK of what was not sent",
     A,
     AT_NEXT,
     0,
     AT_MAX,
     1,
     10,
     {"= R drop_no_listener", "= R drop_no_listener", "= R drop_bad_ack", "= R drop_bad_ack",
      SYNCHRONISED("= A drop_bad_ack"), "= A drop_time_wait"}},
    {"data, ACK older than any window",
     A,
     AT_NEXT,
     0,
     AT_UNA,
     -70000,
     10,
     {"= R drop_no_listener", "= R drop_no_listener", "= R drop_bad_ack", "= R drop_bad_ack",
      SYNCHRONISED("= A drop_bad_ack"), "= A drop_time_wait"}},
    {"data without ACK",
     0,
     AT_NEXT,
     0,
     0,
     0,
     10,
     {"= RA drop_no_listener", "= RA drop_no_listener", "= . drop_out_of_window",
      "= . drop_bad_ack", SYNCHRONISED("= . drop_bad_ack"), "= A drop_time_wait"}},
    {"no flag, no data",
     0,
     AT_NEXT,
     0,
     0,
     0,
     0,
     {"= RA drop_no_listener", "= RA drop_no_listener", "= . drop_out_of_window",
      "= . drop_bad_ack", SYNCHRONISED("= . drop_bad_ack"), "= . drop_time_wait"}},
    {"SYN,FIN",
     S | F,
     AT_NEXT,
     0,
     0,
     0,
     0,
     {"= . drop_header", "= . drop_header", "= . drop_header", "= . drop_header",
      SYNCHRONISED("= . drop_header"), "= . drop_header"}},
};

/* ------------------------------------------------------ into a state */

static void syn_sent(struct world *w)
{
    w->side = NET_OUTSIDE;
    w->c = tcp_connect(w->t, NET_OUTSIDE, &w->us, &w->peer, 443, w, w->now);
    run(w);
    OUT(w, S, 0, 0);
}

static void established(struct world *w)
{
    IN(w, S, .mss = 1400);
    OUT(w, S | A, 0, 1);
    IN(w, A, 1, 1);
}

static void our_fin(struct world *w)
{
    tcp_shutdown(w->c);
    run(w);
    OUT(w, F | A, 1, tcp_eof(w->c) ? 2 : 1);
}

static void our_data(struct world *w, uint32_t ack)
{
    writes(w, 0, 100);
    run(w);
    OUT(w, P | A, 1, ack, 100);
}

static void peers_fin(struct world *w, uint32_t ack, uint32_t seq)
{
    IN(w, F | A, 1, ack);
    OUT(w, A, seq, 2);
}

static void bring_to(struct world *w, unsigned state)
{
    w->us_port = state == CLOSED ? 80 : 443;
    w->side = NET_INSIDE;
    w->us_iss = 0;
    w->c = NULL;
    w->events = 0;
    if (state == SYN_SENT)
        syn_sent(w);
    if (state == SYN_RCVD) {
        IN(w, S, .mss = 1400);
        OUT(w, S | A, 0, 1);
    }
    if (state >= ESTAB)
        established(w);
    if (state == CLOSE_W || state == LAST_A)
        peers_fin(w, 1, 1);
    if (state == ESTAB || state == CLOSE_W)
        our_data(w, state == CLOSE_W ? 2 : 1);
    if (state == FIN_W1 || state == FIN_W2 || state >= CLOSING)
        our_fin(w);
    if (state == FIN_W2)
        IN(w, A, 1, 2);
    if (state == CLOSING)
        peers_fin(w, 1, 2);
    if (state == TIME_W)
        peers_fin(w, 2, 2);
    NONE(w);
}

/* ------------------------------------------------------------- what is */

static unsigned state_of(struct world *w)
{
    static const unsigned of[] = {
        [TCP_CLOSED] = CLOSED,         [TCP_LISTEN] = LISTEN,      [TCP_SYN_SENT] = SYN_SENT,
        [TCP_SYN_RECEIVED] = SYN_RCVD, [TCP_ESTABLISHED] = ESTAB,  [TCP_FIN_WAIT_1] = FIN_W1,
        [TCP_FIN_WAIT_2] = FIN_W2,     [TCP_CLOSE_WAIT] = CLOSE_W, [TCP_CLOSING] = CLOSING,
        [TCP_LAST_ACK] = LAST_A,       [TCP_TIME_WAIT] = TIME_W};
    struct tcp_key key = {.local = w->us,
                          .remote = w->peer,
                          .lport = w->us_port,
                          .rport = w->peer_port,
                          .side = (uint8_t)w->side};
    uint32_t ref = table_find(w->t, &key, key_hash(w->t, &key));

    if (!ref)
        return CLOSED;
    return conn_of_ref(w->t, ref) ? of[conn_of_ref(w->t, ref)->state] : TIME_W;
}

static const char *const counter_names[] = {
#define X(name) #name,
    TCP_COUNTERS(X)
#undef X
};
#define COUNTERS (sizeof(counter_names) / sizeof(counter_names[0]))

static void drops(struct world *w, uint64_t out[COUNTERS])
{
    const counter *all = &tcp_counters(w->t)->rx_segments;

    for (unsigned i = 0; i < COUNTERS; i++)
        out[i] = strncmp(counter_names[i], "drop_", 5) ? 0 : counter_get(&all[i]);
}

/* ------------------------------------------------------------ one cell */

struct cell {
    char state[16], answer[4], counter[32];
};

static const char *why; /* the cell is wrong */

static bool answer_is(struct world *w, const struct cell *e, const struct seg *in, uint32_t next,
                      uint32_t max)
{
    uint32_t span = in->len + ((in->flags & S) != 0) + ((in->flags & F) != 0);
    bool fin_taken = (in->flags & F) && !strcmp(e->counter, "."),
         taken = !strcmp(e->state, "ESTAB");
    struct seg s;

    if (!strcmp(e->answer, "."))
        return out_count(w) == 0;
    if (out_count(w) != 1)
        return false;
    s = out_any(w);
    if (s.len)
        return false;
    if (!strcmp(e->answer, "R"))
        return s.flags == R && s.seq == in->ack && s.ack == 0;
    if (!strcmp(e->answer, "RA"))
        return s.flags == (R | A) && s.seq + w->us_iss == 0 && s.ack == in->seq + span;
    if (!strcmp(e->answer, "SA"))
        return s.flags == (S | A) && s.seq == 0 && s.ack == in->seq + ((in->flags & S) != 0);
    if (in->flags == (S | A) && taken) /* our SYN is acknowledged */
        next++;
    return s.flags == A && s.seq == max && s.ack == next + fin_taken;
}

static bool counter_is(const uint64_t before[COUNTERS], const uint64_t after[COUNTERS],
                       const char *name)
{
    bool seen = !strcmp(name, ".");

    for (unsigned i = 0; i < COUNTERS; i++) {
        bool it = !strcmp(counter_names[i], name);

        if (after[i] - before[i] != it)
            return false;
        seen |= it;
    }
    return seen;
}

static bool state_is(struct world *w, const char *name, unsigned before)
{
    unsigned is = state_of(w);

    if (before == LISTEN)
        before = CLOSED; /* of listeners nothing is kept */
    if (!strcmp(name, "="))
        return is == before;
    return !strcmp(name, "-") ? is == CLOSED : !strcmp(name, state_names[is]);
}

static bool cell_holds(struct world *w, const struct row *r, unsigned state)
{
    const struct standing *p = &places[state];
    struct seg s = {.flags = r->flags,
                    .seq = (r->seq_at == AT_EDGE ? EDGE : p->next) + (uint32_t)r->seq,
                    .ack = (r->ack_at == AT_UNA ? p->una : p->max) + (uint32_t)r->ack,
                    .len = r->len};
    uint64_t before[COUNTERS], after[COUNTERS];
    struct cell e;

    assert_int_equal(sscanf(r->cell[state], "%15s %3s %31s", e.state, e.answer, e.counter), 3);
    bring_to(w, state);
    if (state > LISTEN)
        assert_int_equal(state_of(w), state);
    drops(w, before);
    in(w, s);
    drops(w, after);
    why = "state";
    if (!state_is(w, e.state, state))
        return false;
    why = "counter";
    if (!counter_is(before, after, e.counter))
        return false;
    why = "answer";
    return answer_is(w, &e, &s, p->next, p->max);
}

static void roomy(struct tcp_config *c)
{
    c->max_conns = 128;
    c->max_half_open = 128;
}

static void table(bool v6)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world *w = world_with(roomy);

        if (v6)
            world_v6(w);
        for (unsigned state = 0; state < STATES; state++) {
            w->peer_port = (uint16_t)(2000 + state);
            w->head = w->tail;
            if (cell_holds(w, &rows[i], state))
                continue;
            fprintf(stderr, "  \"%s\" in %s: expected \"%s\", the %s is another (now in %s)\n",
                    rows[i].name, state_names[state], rows[i].cell[state], why,
                    state_names[state_of(w)]);
            wrong++;
        }
        world_delete(w);
    }
    assert_int_equal(wrong, 0);
}

static void every_segment_in_every_state_ipv4(void **state)
{
    (void)state;
    table(false);
}

static void every_segment_in_every_state_ipv6(void **state)
{
    (void)state;
    table(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_segment_in_every_state_ipv4),
        cmocka_unit_test(every_segment_in_every_state_ipv6),
    };

    return cmocka_run_group_tests_name("tcp/states", tests, test_eal, NULL);
}
