/* What happens to a frame on its way, in this order: too big, lost, queued for the line, damaged,
 * repeated, held back, delayed. */
#include "badwire.h"

#include <string.h>

enum draw { DRAW_LOSS = 1, DRAW_DUPLICATE, DRAW_REORDER, DRAW_DAMAGE, DRAW_BITS };

static uint64_t mix(uint64_t x) /* the finaliser of splitmix64 */
{
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

/* Each kind of fault draws by itself: turning one on leaves the others where they were. */
static uint64_t draw(const struct direction *d, uint64_t index, enum draw what)
{
    uint64_t x = mix(d->options->seed ^ mix(((uint64_t)d->side << 8) | (uint64_t)what));
    return mix(x ^ mix(index));
}

static bool strikes(const struct direction *d, uint64_t index, enum draw what, double probability)
{
    double x = (double)(draw(d, index, what) >> 11) * 0x1p-53;
    return x < probability;
}

static void enqueue(struct direction *d, struct frame *f, int64_t due)
{
    f->due = due;
    f->order = d->order++;
    queue_push(&d->queue, f);
}

static int64_t delay_of(const struct direction *d)
{
    return (int64_t)(d->faults.delay_ms * (double)NS_PER_MS);
}

/* When the last bit is on the line; false: the queue before it is full. The queue is not kept: how
 * much waits in it follows from when the line will be free. */
static bool serialise(struct direction *d, uint32_t len, int64_t arrived, int64_t *leaves)
{
    *leaves = arrived;
    if (d->faults.rate_mbit <= 0)
        return true;
    double ns_per_byte = 8000.0 / d->faults.rate_mbit;
    int64_t start = d->busy_until > arrived ? d->busy_until : arrived;
    double waiting = (double)(start - arrived) / ns_per_byte;
    if (waiting + len > d->faults.queue_kib * 1024)
        return false;
    *leaves = d->busy_until = start + (int64_t)(len * ns_per_byte);
    return true;
}

/* A frame has gone by at `due`: those it was the last to overtake follow right behind. */
static void pass_held(struct direction *d, int64_t due)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < d->held_count; i++) {
        struct frame *f = d->held[i];
        if (--f->overtake == 0)
            enqueue(d, f, due < f->due ? due : f->due);
        else
            d->held[kept++] = f;
    }
    d->held_count = kept;
}

static bool hold(struct direction *d, struct frame *f, int64_t due)
{
    int64_t latest = due + (int64_t)(d->faults.reorder_ms * (double)NS_PER_MS);
    uint32_t overtake = (uint32_t)d->faults.reorder_frames;
    if (overtake && d->held_count == WIRE_HELD)
        return false;
    d->counters.reordered++;
    if (!overtake) {
        enqueue(d, f, latest);
        return true;
    }
    f->due = latest;
    f->order = d->order++;
    f->overtake = overtake;
    d->held[d->held_count++] = f;
    return true;
}

static void repeat(struct direction *d, const struct frame *f, int64_t due)
{
    struct frame *copy = pool_take(d->pool);
    if (!copy)
        return;
    memcpy(copy->data, f->data, f->len);
    copy->len = f->len;
    d->counters.duplicated++;
    enqueue(d, copy, due);
}

static void answer_too_big(struct direction *d, struct frame *f, int64_t arrived)
{
    struct frame *answer = d->options->icmp_silent ? NULL : pool_take(d->pool);
    d->counters.too_big++;
    if (answer && frame_too_big(f, (uint32_t)d->faults.mtu, d->options, answer)) {
        d->counters.icmp++;
        enqueue(d->back, answer, arrived + delay_of(d->back));
    } else if (answer) {
        pool_give(d->pool, answer);
    }
}

static bool too_big(const struct direction *d, const struct frame *f)
{
    uint32_t at, len;
    return d->faults.mtu > 0 && frame_ip(f, &at, &len) && len > (uint32_t)d->faults.mtu;
}

static void impair(struct direction *d, struct frame *f, uint64_t index, int64_t due)
{
    if (strikes(d, index, DRAW_DAMAGE, d->faults.damage) &&
        frame_damage(f, draw(d, index, DRAW_BITS)))
        d->counters.damaged++;
    if (strikes(d, index, DRAW_DUPLICATE, d->faults.duplicate))
        repeat(d, f, due);
    if (strikes(d, index, DRAW_REORDER, d->faults.reorder) && hold(d, f, due))
        return;
    enqueue(d, f, due);
    pass_held(d, due);
}

void direction_take(struct direction *d, struct frame *f, int64_t arrived)
{
    int64_t leaves;
    if (!d->options->impair_all && frame_is_neighbour(f)) {
        d->counters.exempt++;
        enqueue(d, f, arrived + delay_of(d));
        return;
    }
    uint64_t index = d->index++;
    if (too_big(d, f)) {
        answer_too_big(d, f, arrived);
    } else if (strikes(d, index, DRAW_LOSS, d->faults.loss)) {
        d->counters.lost++;
    } else if (!serialise(d, f->len, arrived, &leaves)) {
        d->counters.queue_drops++;
    } else {
        impair(d, f, index, leaves + delay_of(d));
        return;
    }
    pool_give(d->pool, f);
}

/* Held frames whose time is over join the queue. */
static void release_held(struct direction *d, int64_t now)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < d->held_count; i++) {
        struct frame *f = d->held[i];
        if (f->due <= now)
            queue_push(&d->queue, f);
        else
            d->held[kept++] = f;
    }
    d->held_count = kept;
}

uint32_t direction_due(struct direction *d, int64_t now, struct frame **out, uint32_t room)
{
    uint32_t count = 0;
    struct frame *f;
    release_held(d, now);
    while (count < room && (f = queue_first(&d->queue)) && f->due <= now) {
        queue_pop(&d->queue);
        out[count++] = f;
    }
    return count;
}

int64_t direction_next(const struct direction *d)
{
    const struct frame *f = queue_first(&d->queue);
    int64_t next = f ? f->due : INT64_MAX;
    for (uint32_t i = 0; i < d->held_count; i++)
        next = d->held[i]->due < next ? d->held[i]->due : next;
    return next;
}
