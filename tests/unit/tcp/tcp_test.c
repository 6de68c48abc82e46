#include "tcp_test.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>
#include <rte_tcp.h>

/* ----------------------------------------------------- a pool that can fail */

struct stack {
    unsigned n, size;
    void *obj[];
};

static unsigned fail_every;
static uint32_t fail_random;

static int stack_alloc(struct rte_mempool *mp)
{
    struct stack *s = calloc(1, sizeof(*s) + mp->size * sizeof(void *));

    if (!s)
        return -ENOMEM;
    s->size = mp->size;
    mp->pool_data = s;
    return 0;
}

static void stack_free(struct rte_mempool *mp)
{
    free(mp->pool_data);
}

static int stack_enqueue(struct rte_mempool *mp, void *const *obj, unsigned n)
{
    struct stack *s = mp->pool_data;

    for (unsigned i = 0; i < n; i++) {
        if (s->n >= s->size)
            abort(); /* freed twice */
        s->obj[s->n++] = obj[i];
    }
    return 0;
}

static int stack_dequeue(struct rte_mempool *mp, void **obj, unsigned n)
{
    struct stack *s = mp->pool_data;

    if (s->n < n)
        return -ENOBUFS;
    fail_random = fail_random * 1664525u + 1013904223u;
    if (fail_every && (fail_random >> 8) % fail_every == 0)
        return -ENOBUFS;
    for (unsigned i = 0; i < n; i++)
        obj[i] = s->obj[--s->n];
    return 0;
}

static unsigned stack_count(const struct rte_mempool *mp)
{
    return ((const struct stack *)mp->pool_data)->n;
}

static const struct rte_mempool_ops stack_ops = {
    .name = "test_stack",
    .alloc = stack_alloc,
    .free = stack_free,
    .enqueue = stack_enqueue,
    .dequeue = stack_dequeue,
    .get_count = stack_count,
};

int test_eal(void **state)
{
    char *argv[] = {"test", "--no-huge", "--no-pci",       "-m",          "256",   "--no-shconf",
                    "-l",   "0",         "--no-telemetry", "--log-level", "error", NULL};
    int argc = (int)RTE_DIM(argv) - 1;
    static bool done;

    (void)state;
    if (done)
        return 0;
    if (rte_eal_init(argc, argv) < 0 || rte_mempool_register_ops(&stack_ops) < 0) {
        fprintf(stderr, "EAL: %s\n", rte_strerror(rte_errno));
        return -1;
    }
    done = true;
    return 0;
}

struct rte_mempool *test_pool(unsigned n)
{
    static unsigned serial;
    char name[32];
    struct rte_mempool *p;

    snprintf(name, sizeof(name), "pool%u", serial++);
    p = rte_pktmbuf_pool_create_by_ops(name, n, 0, 0, 2048 + 128, SOCKET_ID_ANY, "test_stack");
    assert_non_null(p);
    return p;
}

void test_pool_fail(unsigned every)
{
    fail_every = every;
    fail_random = every;
}

unsigned test_pool_free(const struct rte_mempool *pool)
{
    return rte_mempool_avail_count(pool);
}

/* ------------------------------------------------------------- the wire */

uint8_t pattern(uint32_t seq, unsigned fill)
{
    return (uint8_t)((seq * 2654435761u >> 11) ^ seq ^ fill);
}

static uint32_t get32(const uint8_t *o)
{
    return (uint32_t)o[0] << 24 | (uint32_t)(o[1] << 16 | o[2] << 8 | o[3]);
}

static void options_decode(const uint8_t *o, unsigned n, struct seg *s)
{
    for (unsigned i = 0; i < n && o[i];) {
        if (o[i] == 1) {
            i++;
            continue;
        }
        if (o[i] == 2)
            s->mss = (unsigned)(o[i + 2] << 8 | o[i + 3]);
        if (o[i] == 3)
            s->ws = o[i + 2] + 1u;
        if (o[i] == 4)
            s->sack_ok = true;
        for (unsigned b = 0; o[i] == 5 && b < (o[i + 1] - 2u) / 4; b++)
            s->sack[b] = get32(o + i + 2 + 4 * b);
        if (o[i] == 8) {
            s->ts = get32(o + i + 2);
            s->ecr = get32(o + i + 6);
        }
        i += o[i + 1];
    }
}

static void wire_send(void *ctx, enum net_side side, const struct net_addr *src,
                      const struct net_addr *dst, struct rte_mbuf *m)
{
    struct world *w = ctx;
    struct sent *o = &w->sent[w->tail++ % SENT_MAX];
    uint8_t buf[2048], *p;
    const struct rte_tcp_hdr *h = (const void *)buf;
    unsigned hlen;

    assert_true(w->tail - w->head <= SENT_MAX);
    assert_int_equal(side, w->side);
    assert_true(net_addr_eq(src, &w->us) && net_addr_eq(dst, &w->peer));
    assert_true(m->data_off >= NET_HEADROOM);
    assert_true(m->pkt_len <= sizeof(buf) && m->pkt_len <= w->lower.mtu[side] - 20);
    o->chained = m->nb_segs > 1;
    p = buf;
    for (const struct rte_mbuf *s = m; s; s = s->next) {
        memcpy(p, rte_pktmbuf_mtod(s, void *), s->data_len);
        p += s->data_len;
    }
    assert_int_equal(p - buf, m->pkt_len);
    /* What the port does: headers in front, which must not reach anybody else's bytes. */
    assert_non_null(rte_pktmbuf_prepend(m, NET_HEADROOM));
    memset(rte_pktmbuf_mtod(m, void *), 0xee, NET_HEADROOM);
    hlen = (h->data_off >> 4) * 4u;
    assert_int_equal(h->cksum, 0);
    assert_int_equal(h->tcp_urp, 0);
    w->us_port = rte_be_to_cpu_16(h->src_port);
    w->peer_port = rte_be_to_cpu_16(h->dst_port);
    o->s = (struct seg){.flags = h->tcp_flags,
                        .seq = rte_be_to_cpu_32(h->sent_seq),
                        .ack = rte_be_to_cpu_32(h->recv_ack),
                        .len = m->pkt_len - NET_HEADROOM - hlen,
                        .wnd = rte_be_to_cpu_16(h->rx_win)};
    options_decode(buf + 20, hlen - 20, &o->s);
    if (o->s.flags & S)
        w->us_iss = o->s.seq;
    memcpy(o->data, buf + hlen, o->s.len);
    if (w->keep)
        w->kept[w->nkept++] = m;
    else
        rte_pktmbuf_free(m);
}

static uint8_t *put32(uint8_t *o, uint32_t v)
{
    o[0] = (uint8_t)(v >> 24), o[1] = (uint8_t)(v >> 16), o[2] = (uint8_t)(v >> 8),
    o[3] = (uint8_t)v;
    return o + 4;
}

static unsigned options_encode(const struct seg *s, uint32_t us_iss, uint8_t *o)
{
    uint8_t *start = o;
    unsigned n = 0;

    if (s->mss)
        o = put32(o, 2u << 24 | 4u << 16 | s->mss);
    if (s->ws)
        o = put32(o, 1u << 24 | 3u << 16 | 3u << 8 | (s->ws - 1));
    if (s->sack_ok)
        o = put32(o, 1u << 24 | 1u << 16 | 4u << 8 | 2u);
    if (s->ts)
        o = put32(put32(put32(o, 0x0101080a), s->ts), s->ecr);
    while (n < 8 && s->sack[n])
        n++;
    if (n)
        o = put32(o, 1u << 24 | 1u << 16 | 5u << 8 | (2 + 4 * n));
    for (unsigned i = 0; i < n; i++)
        o = put32(o, us_iss + s->sack[i]);
    return (unsigned)(o - start);
}

/* The payload behind the header, in pieces of `split` bytes if that is not zero. */
static void payload_put(struct world *w, struct rte_mbuf *m, const struct seg *s)
{
    struct rte_mbuf *to = m;

    for (uint32_t i = 0; i < s->len; i++) {
        if (s->split && i && i % s->split == 0) {
            to->next = rte_pktmbuf_alloc(w->pool);
            assert_non_null(to->next);
            to = to->next;
            m->nb_segs++;
        }
        rte_pktmbuf_mtod(to, uint8_t *)[to->data_len++] =
            pattern(s->seq - ((s->flags & S) ? 0 : 1) + i, s->fill ^ PEER);
        m->pkt_len++;
    }
}

void put(struct world *w, struct seg s)
{
    struct net_segment seg = {.src = w->peer, .dst = w->us, .side = w->side};
    uint8_t opts[40];
    struct rte_tcp_hdr *h;
    unsigned n;

    if (!s.ts && w->ts)
        s.ts = w->ts;
    n = options_encode(&s, w->us_iss, opts);
    seg.m = rte_pktmbuf_alloc(w->pool);
    if (!seg.m)
        return; /* lost */
    h = (struct rte_tcp_hdr *)rte_pktmbuf_append(seg.m, (uint16_t)(20 + n));
    *h = (struct rte_tcp_hdr){.src_port = rte_cpu_to_be_16(w->peer_port),
                              .dst_port = rte_cpu_to_be_16(w->us_port),
                              .sent_seq = rte_cpu_to_be_32(w->peer_iss + s.seq),
                              .recv_ack = rte_cpu_to_be_32((s.flags & A) ? w->us_iss + s.ack : 0),
                              .data_off = (uint8_t)((20 + n) / 4 << 4),
                              .tcp_flags = (uint8_t)s.flags,
                              .rx_win = rte_cpu_to_be_16((uint16_t)(s.wnd ? s.wnd : 60000))};
    memcpy(h + 1, opts, n);
    payload_put(w, seg.m, &s);
    tcp_input(w->t, &seg, w->now);
    assert_true(tcp_validate(w->t));
}

void in(struct world *w, struct seg s)
{
    put(w, s);
    run(w);
}

/* ----------------------------------------------------------------- output */

static struct seg relative(const struct world *w, struct seg s)
{
    s.seq -= w->us_iss;
    if (s.flags & A)
        s.ack -= w->peer_iss;
    for (unsigned i = 0; i < 8 && s.sack[i]; i++)
        s.sack[i] -= w->peer_iss;
    return s;
}

static void print_seg(const char *what, struct seg s)
{
    fprintf(stderr, "  %s: %s%s%s%s%s seq %u ack %u len %u wnd %u mss %u ws %u ts %u ecr %u", what,
            s.flags & S ? "S" : "", s.flags & F ? "F" : "", s.flags & R ? "R" : "",
            s.flags & P ? "P" : "", s.flags & A ? "A" : "", s.seq, s.ack, s.len, s.wnd, s.mss, s.ws,
            s.ts, s.ecr);
    for (unsigned i = 0; i < 8 && s.sack[i]; i += 2)
        fprintf(stderr, " sack %u-%u", s.sack[i], s.sack[i + 1]);
    fprintf(stderr, "\n");
}

void out_at(struct world *w, struct seg e, const char *file, int line)
{
    struct sent *o;
    struct seg s;
    unsigned mask = (e.flags & P) ? 0xff : 0xff & ~(unsigned)P;

    if (w->head == w->tail) {
        print_seg("expected", e);
        fprintf(stderr, "  came: nothing\n");
        _fail(file, line);
    }
    o = &w->sent[w->head++ % SENT_MAX];
    s = relative(w, o->s);
    if ((s.flags & mask) != (e.flags & mask) || s.seq != e.seq || s.ack != e.ack ||
        s.len != e.len || (e.wnd && s.wnd != (e.wnd == NO_WINDOW ? 0 : e.wnd)) ||
        (e.mss && s.mss != e.mss) || (e.ws && s.ws != e.ws) || (e.ts && s.ts != e.ts) ||
        (e.ecr && s.ecr != e.ecr) || (e.sack_ok && !s.sack_ok) ||
        (e.sack[0] && memcmp(e.sack, s.sack, sizeof(s.sack)) != 0)) {
        print_seg("expected", e);
        print_seg("came", s);
        _fail(file, line);
    }
    for (uint32_t i = 0; i < s.len; i++) {
        if (o->data[i] != pattern(s.seq - 1 + i, US)) {
            fprintf(stderr, "  payload differs at byte %u of seq %u\n", i, s.seq);
            _fail(file, line);
        }
    }
}

void out_after_at(struct world *w, uint64_t least, struct seg s, const char *file, int line)
{
    uint64_t start = w->now;

    none_at(w, file, line);
    while (w->head == w->tail && w->now < start + least + 3 * MS)
        wait_us(w, MS);
    if (w->head != w->tail && w->now < start + least) {
        fprintf(stderr, "  expected after %llu us, came after %llu\n", (unsigned long long)least,
                (unsigned long long)(w->now - start));
        _fail(file, line);
    }
    out_at(w, s, file, line);
}

void none_at(struct world *w, const char *file, int line)
{
    if (w->head == w->tail)
        return;
    print_seg("expected nothing, came", relative(w, w->sent[w->head % SENT_MAX].s));
    _fail(file, line);
}

unsigned out_count(struct world *w)
{
    return w->tail - w->head;
}

struct seg out_any(struct world *w)
{
    assert_true(w->head != w->tail);
    return relative(w, w->sent[w->head++ % SENT_MAX].s);
}

/* ------------------------------------------------------------- the owner */

static bool on_accept(void *ctx, struct tcp_conn *c)
{
    struct world *w = ctx;

    w->accepts++;
    if (w->refuse)
        return false;
    w->c = c;
    tcp_set_user(c, w);
    return true;
}

static void on_event(void *ctx, struct tcp_conn *c, void *user, unsigned events)
{
    struct world *w = ctx;

    assert_ptr_equal(user, w);
    assert_false(w->events & TCP_EV_CLOSED && c == w->c);
    w->events |= events;
    w->calls++;
    if (w->on_event)
        w->on_event(w, c, events);
    if ((events & TCP_EV_CLOSED) && w->c == c) {
        w->end = tcp_end_cause(c);
        w->c = NULL;
    }
}

static struct net_addr v4(unsigned a, unsigned b, unsigned c, unsigned d)
{
    return (struct net_addr){{[10] = 0xff, 0xff, (uint8_t)a, (uint8_t)b, (uint8_t)c, (uint8_t)d}};
}

struct world *world_with(void (*change)(struct tcp_config *c))
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    w->sent = calloc(SENT_MAX, sizeof(*w->sent));
    assert_non_null(w->sent);
    w->pool = test_pool(4096);
    w->mbufs = test_pool_free(w->pool);
    w->now = 1000 * (uint64_t)SEC;
    w->us = v4(10, 0, 0, 1);
    w->peer = v4(192, 0, 2, 7);
    w->us_port = 443;
    w->peer_port = 33333;
    w->peer_iss = 0xfffffc00u; /* numbers wrap early */
    tcp_config_defaults(&w->cfg);
    w->cfg.max_conns = 64;
    w->cfg.max_time_wait = 16;
    w->cfg.max_half_open = 8;
    if (change)
        change(&w->cfg);
    w->lower = (struct tcp_lower){
        .ctx = w, .send = wire_send, .pool = w->pool, .mtu = {1500, 1500}, .linear = false};
    w->owner = (struct tcp_owner){.ctx = w, .accept = on_accept, .event = on_event};
    w->t = tcp_new(&w->cfg, &w->lower, &w->owner, w->now);
    assert_non_null(w->t);
    assert_true(tcp_listen(w->t, NET_INSIDE, 443));
    return w;
}

void world_v6(struct world *w)
{
    w->us = (struct net_addr){{0x20, 0x01, 0x0d, 0xb8, [15] = 1}};
    w->peer = (struct net_addr){{0x20, 0x01, 0x0d, 0xb8, [7] = 1, [15] = 7}};
}

struct world *world_new(void)
{
    return world_with(NULL);
}

void world_delete(struct world *w)
{
    test_pool_fail(0);
    assert_true(tcp_validate(w->t));
    tcp_delete(w->t);
    while (w->nkept)
        rte_pktmbuf_free(w->kept[--w->nkept]);
    assert_int_equal(test_pool_free(w->pool), w->mbufs);
    rte_mempool_free(w->pool);
    free(w->sent);
    free(w);
}

void run(struct world *w)
{
    tcp_advance(w->t, w->now);
    assert_true(tcp_validate(w->t));
    tcp_dispatch(w->t, w->now);
    assert_true(tcp_validate(w->t));
    tcp_output(w->t, w->now);
    assert_true(tcp_validate(w->t));
}

void wait_us(struct world *w, uint64_t us)
{
    uint64_t end = w->now + us;

    while (w->now < end) {
        w->now = end - w->now > MS ? w->now + MS : end;
        run(w);
    }
}

void reads_at(struct world *w, uint32_t from, size_t n, const char *file, int line)
{
    static uint8_t buf[4 << 20];
    size_t got = tcp_read(w->c, buf, sizeof(buf));

    if (got != n) {
        fprintf(stderr, "  expected %zu bytes, came %zu\n", n, got);
        _fail(file, line);
    }
    for (size_t i = 0; i < n; i++) {
        if (buf[i] != pattern(from + (uint32_t)i, PEER)) {
            fprintf(stderr, "  byte %zu differs\n", from + i);
            _fail(file, line);
        }
    }
}

size_t writes(struct world *w, uint32_t from, size_t n)
{
    uint8_t *buf = malloc(n);
    size_t got;

    assert_non_null(buf);
    for (size_t i = 0; i < n; i++)
        buf[i] = pattern(from + (uint32_t)i, US);
    got = tcp_write(w->c, buf, n);
    free(buf);
    return got;
}

void expect_state(struct world *w, const char *name)
{
    assert_non_null(w->c);
    assert_string_equal(tcp_state_name(w->c), name);
}

void passive(struct world *w)
{
    IN(w, S, .mss = 1460);
    OUT(w, S | A, 0, 1, .mss = 1460);
    IN(w, A, 1, 1);
    NONE(w);
    assert_non_null(w->c);
    expect_state(w, "ESTABLISHED");
}

void passive_ts(struct world *w)
{
    w->ts = 1000;
    IN(w, S, .mss = 1460, .ws = 8);
    OUT(w, S | A, 0, 1, .mss = 1460, .ecr = 1000);
    IN(w, A, 1, 1);
    NONE(w);
    assert_non_null(w->c);
}

void active(struct world *w)
{
    w->side = NET_OUTSIDE;
    w->c = tcp_connect(w->t, NET_OUTSIDE, &w->us, &w->peer, 443, w, w->now);
    assert_non_null(w->c);
    run(w);
    OUT(w, S, 0, 0, .mss = 1460);
    IN(w, S | A, 0, 1, .mss = 1460);
    OUT(w, A, 1, 1);
    assert_int_equal(w->events, TCP_EV_CONNECTED);
    expect_state(w, "ESTABLISHED");
}

static void passive_with(struct world *w, uint32_t ts)
{
    w->ts = ts;
    IN(w, S, .mss = 1460, .ws = 9, .sack_ok = 1);
    OUT(w, S | A, 0, 1, .mss = 1460, .sack_ok = 1);
    w->now += 20 * MS;
    IN(w, A, 1, 1, .ecr = ts ? w->sent[(w->head - 1) % SENT_MAX].s.ts : 0);
    NONE(w);
    assert_non_null(w->c);
}

void passive_sack(struct world *w)
{
    passive_with(w, 0);
}

void passive_sack_ts(struct world *w)
{
    passive_with(w, 1000);
}
