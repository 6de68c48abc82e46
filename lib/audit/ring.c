#include "audit_internal.h"

#include <assert.h>
#include <sys/mman.h>

#define SLOT_ALIGN ((size_t)8)

_Static_assert(sizeof(struct slot) == 24, "slots stay multiples of eight bytes");

static size_t slot_bytes(size_t fields)
{
    return (sizeof(struct slot) + fields + SLOT_ALIGN - 1) & ~(SLOT_ALIGN - 1);
}

/* Huge pages where the machine has set some aside, ordinary ones otherwise; faulted in now, so that
 * a producer never waits for a page. */
bool ring_init(struct audit_ring *r, size_t bytes)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
    const size_t huge = (size_t)2 << 20;
    size_t mapped = (bytes + huge - 1) & ~(huge - 1);
    void *p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB, -1, 0);

    if (p == MAP_FAILED) {
        p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (p == MAP_FAILED)
            return false;
        madvise(p, mapped, MADV_HUGEPAGE);
    }
    r->mem = p;
    r->size = bytes;
    r->mapped = mapped;
    return true;
}

void ring_free(struct audit_ring *r)
{
    if (r->mem)
        munmap(r->mem, r->mapped);
    r->mem = NULL;
}

bool audit_ready(const struct audit_ring *r)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    uint64_t used = atomic_load_explicit(&r->head, memory_order_relaxed) - tail;

    return !atomic_load_explicit(&r->refusing, memory_order_relaxed) &&
           used <= r->size - r->size / 4;
}

/* Bytes of the ring that an event of this kind must leave free. */
static size_t share_kept(const struct audit_ring *r, enum audit_kind kind)
{
    return kind == AUDIT_CALL_DECIDED || kind == AUDIT_CONNECTION_REFUSED ? r->size / 8 : 0;
}

/* The writer reads `lost` first (acquire) and then the times, so they are never older than the
 * count; what a gap says of its span may only be too wide. */
static void count_lost(struct audit_ring *r, uint64_t wall_ns)
{
    uint64_t lost = atomic_load_explicit(&r->lost, memory_order_relaxed);

    if (atomic_load_explicit(&r->lost_told, memory_order_acquire) == lost)
        atomic_store_explicit(&r->lost_from, wall_ns, memory_order_relaxed);
    atomic_store_explicit(&r->lost_to, wall_ns, memory_order_relaxed);
    atomic_store_explicit(&r->lost, lost + 1, memory_order_release);
}

static bool has_room(struct audit_ring *r, uint64_t head, size_t need)
{
    if (head + need - r->tail_seen <= r->size)
        return true;
    /* Acquire: the writer has read what it freed before we write over it. */
    r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
    return head + need - r->tail_seen <= r->size;
}

bool audit_begin(struct audit_event *e, struct audit_ring *r, enum audit_kind kind, size_t most,
                 uint64_t wall_ns)
{
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    size_t at = head & (r->size - 1), need, skip;
    struct slot *slot;

    most = most < AUDIT_EVENT_MAX ? most : AUDIT_EVENT_MAX;
    need = slot_bytes(most);
    skip = at + need > r->size ? r->size - at : 0;
    *e = (struct audit_event){.full = true};
    if (!has_room(r, head, skip + need + share_kept(r, kind))) {
        count_lost(r, wall_ns);
        return false;
    }
    slot = (struct slot *)(r->mem + at);
    if (skip) {
        slot->bytes = (uint32_t)skip;
        slot->kind = 0;
        slot = (struct slot *)r->mem;
    }
    *slot = (struct slot){.kind = (uint16_t)kind, .wall_ns = wall_ns};
    e->ring = r;
    e->start = (uint8_t *)slot;
    e->p = e->start + sizeof(*slot);
    e->end = e->p + most;
    e->full = false;
    return true;
}

/* Room for a field of `n` bytes that may stand here? */
static inline bool may_add(struct audit_event *e, unsigned f, enum audit_type type, size_t n)
{
    uint64_t bit = (uint64_t)1 << (f % 64);

    assert(f < FIELDS_KNOWN && field_info(f)->name && field_info(f)->type == type);
    if (e->full || (type != AUDIT_LIST && (e->seen[f / 64] & bit)))
        return false;
    if (FIELD_HEAD + n > (size_t)(e->end - e->p)) {
        e->full = true;
        return false;
    }
    e->seen[f / 64] |= bit;
    return true;
}

/* The longest prefix that fits a length field and does not end within a UTF-8 character. */
static size_t text_cut(struct span s)
{
    size_t n = UINT16_MAX;

    if (s.n <= n)
        return s.n;
    for (unsigned back = 0; back < 3 && ((unsigned char)s.p[n] & 0xc0) == 0x80; back++)
        n--;
    return n;
}

void audit_text(struct audit_event *e, enum audit_field f, struct span s)
{
    enum audit_type type = field_info(f)->type == AUDIT_LIST ? AUDIT_LIST : AUDIT_TEXT;
    size_t n = text_cut(s);

    if (may_add(e, f, type, n))
        e->p = field_put(e->p, f, type, s.p, n);
}

void audit_number(struct audit_event *e, enum audit_field f, uint64_t v)
{
    uint8_t bytes[8];

    if (!may_add(e, f, AUDIT_NUMBER, sizeof(bytes)))
        return;
    put_be(bytes, v, 8);
    e->p = field_put(e->p, f, AUDIT_NUMBER, bytes, sizeof(bytes));
}

void audit_bytes(struct audit_event *e, enum audit_field f, const void *p, size_t n)
{
    n = n < UINT16_MAX ? n : UINT16_MAX;
    if (may_add(e, f, AUDIT_BYTES, n))
        e->p = field_put(e->p, f, AUDIT_BYTES, p, n);
}

uint64_t audit_end(struct audit_event *e)
{
    struct audit_ring *r = e->ring;
    struct slot *slot = (struct slot *)e->start;
    uint64_t head;
    size_t at;

    if (!r)
        return 0;
    e->ring = NULL; /* an event ends once */
    if (e->full) {
        count_lost(r, slot->wall_ns);
        return 0;
    }
    slot->fields = (uint32_t)(e->p - e->start - sizeof(*slot));
    slot->bytes = (uint32_t)slot_bytes(slot->fields);
    head = atomic_load_explicit(&r->head, memory_order_relaxed);
    at = head & (r->size - 1);
    if (e->start != r->mem + at)
        head += r->size - at; /* the slot that says "go on at the start" */
    head += slot->bytes;
    e->full = true;
    atomic_store_explicit(&r->head, head, memory_order_release);
    return head;
}

uint64_t audit_durable(const struct audit_ring *r)
{
    return atomic_load_explicit(&r->tail, memory_order_acquire);
}

const struct slot *ring_next(const struct audit_ring *r, uint64_t *at, uint64_t head)
{
    while (*at != head) {
        size_t place = *at & (r->size - 1);
        const struct slot *slot = (const struct slot *)(r->mem + place);

        assert(slot->bytes >= SLOT_ALIGN && slot->bytes <= r->size - place &&
               slot->bytes <= head - *at);
        *at += slot->bytes;
        if (slot->kind)
            return slot;
    }
    return NULL;
}
