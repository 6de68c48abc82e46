#include <errno.h>
#include <rte_ring.h>
#include <stdlib.h>
#include <urcu-qsbr.h>

#include "control/control_internal.h"

enum { TICK_MS = 2, FROM_ONE_MAX = 1024 /* messages of one worker a loop */ };

static bool send_to_worker(void *ctx, uint32_t worker, const struct hold_message *m)
{
    struct control *c = ctx;

    return worker < c->c.workers &&
           rte_ring_sp_enqueue_elem(c->c.to_worker[worker], (void *)(uintptr_t)m, sizeof(*m)) == 0;
}

struct control *control_new(const struct control_config *config, struct diags *d)
{
    struct control *c = calloc(1, sizeof(*c));
    struct hold_out out = {.ctx = c, .send = send_to_worker, .audit = config->ring};

    if (!c) {
        diag_error(d, place_of_file(config->socket), "out of memory");
        return NULL;
    }
    c->c = *config;
    c->listener = -1;
    c->set = config->set;
    c->rolled_back = config->rolled_back;
    c->started_ns = clock_wall_ns();
    STAILQ_INIT(&c->retired);
    for (int i = 0; i < CLIENTS_MAX; i++)
        c->clients[i].fd = -1;
    c->holds = hold_table_new(&out);
    if (!c->holds || !socket_open(c, d)) {
        if (!c->holds)
            diag_error(d, place_of_file(config->socket), "out of memory");
        control_free(c);
        return NULL;
    }
    return c;
}

/* What workers have said since the last look; one that says much keeps no other waiting. */
static unsigned drain_rings(struct control *c, uint64_t now_ns)
{
    struct hold_message m;
    unsigned n = 0;

    for (unsigned i = 0; i < c->c.workers; i++)
        for (unsigned k = 0; k < FROM_ONE_MAX; k++, n++) {
            if (rte_ring_sc_dequeue_elem(c->c.from_worker[i], &m, sizeof(m)) != 0)
                break;
            hold_receive(c->holds, &m, now_ns);
        }
    return n;
}

void control_run(struct control *c, const _Atomic bool *stop)
{
    urcu_qsbr_register_thread();
    urcu_qsbr_thread_offline(); /* this thread holds no RCU pointer between loops */
    atomic_store(c->c.alive, true);
    while (!atomic_load_explicit(stop, memory_order_relaxed)) {
        uint64_t now_ns = clock_wall_ns();

        drain_rings(c, now_ns);
        hold_tick(c->holds, now_ns);
        reload_tick(c, now_ns);
        sweep_tick(c, now_ns);
        socket_serve(c, TICK_MS);
    }
    atomic_store(c->c.alive, false);
    urcu_qsbr_thread_online();
    urcu_qsbr_unregister_thread();
}

void control_free(struct control *c)
{
    if (!c)
        return;
    reload_free(c);
    socket_close(c);
    hold_table_free(c->holds);
    free(c->kept);
    free(c);
}
