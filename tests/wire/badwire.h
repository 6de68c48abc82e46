/* A wire with faults: carries Ethernet frames between two interfaces and loses, repeats, reorders,
 * damages, delays, clamps and serialises them by a seed. What happens to a frame follows from the
 * seed, the direction and the frame's index in it alone: the same traffic meets the same faults.
 *
 * One thread. Times are nanoseconds of CLOCK_MONOTONIC. */
#ifndef BADWIRE_H
#define BADWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WIRE_FRAME_MAX = 2000, /* longest frame carried; longer ones are counted as oversize */
    WIRE_POOL = 65536,     /* frames in flight, both directions together */
    WIRE_HELD = 256,       /* frames of one direction held back until others have passed */
    WIRE_BATCH = 64,       /* frames a system call */
    WIRE_QUOTE6 = 1232     /* RFC 4443 3.2: an ICMPv6 error fits the least MTU, 1280 */
};

#define NS_PER_MS 1000000ll

/* What one direction does to frames; rates are probabilities from 0 to 1. */
struct wire_faults {
    double loss, duplicate, reorder, damage;
    double delay_ms;
    double rate_mbit;      /* 0: no serialisation */
    double queue_kib;      /* most bytes waiting for serialisation */
    double reorder_frames; /* held until so many later frames have passed; 0: by time only */
    double reorder_ms;     /* and never longer than this */
    double mtu;            /* largest IP packet; 0: any */
};

struct wire_options {
    const char *name[2]; /* interfaces A and B */
    struct wire_faults faults[2];
    uint64_t seed;
    double tick_us; /* frames due within one tick leave together */
    bool impair_all;
    bool icmp_silent;
    bool has_source4, has_source6;
    uint8_t source4[4], source6[16];
};

struct wire_counters {
    uint64_t carried, bytes; /* sent on, copies included */
    uint64_t exempt;         /* of them: ARP and ND, never impaired */
    uint64_t lost, duplicated, reordered, damaged;
    uint64_t too_big, icmp; /* over the MTU; answers sent about it (counted where it came from) */
    uint64_t queue_drops, oversize;
    uint64_t missed; /* the kernel dropped before this program read: a run with any is void */
    uint64_t unsent; /* the interface did not take it */
    uint64_t late;   /* sent over 2 ms after it was due: the machine was busy elsewhere */
    uint64_t late_max_us;
};

struct frame {
    int64_t due;
    uint64_t order;     /* breaks ties of due: first in, first out */
    struct frame *next; /* in the pool's free list */
    uint32_t len;
    uint32_t overtake; /* frames still to pass a held one */
    uint8_t data[WIRE_FRAME_MAX];
};

struct pool {
    struct frame *frames, *free;
};

/* A binary heap by (due, order); its room is the pool's size, so that it is never full. */
struct queue {
    struct frame **at;
    uint32_t count;
};

struct direction {
    struct wire_faults faults;
    struct wire_counters counters;
    struct pool *pool;
    struct direction *back; /* the other direction: ICMP answers return by it */
    const struct wire_options *options;
    struct queue queue;
    struct frame *held[WIRE_HELD];
    uint32_t held_count;
    uint32_t side;  /* 0: A to B, 1: B to A; part of every draw */
    uint64_t index; /* of the next frame that may be impaired */
    uint64_t order;
    int64_t busy_until; /* when the serialised line is free again */
};

/* options.c; returns 0, or the exit code (0 too after --help, with *done set). */
int options_parse(int argc, char **argv, struct wire_options *o, bool *done);

/* queue.c */
int pool_open(struct pool *p); /* -ENOMEM */
void pool_close(struct pool *p);
struct frame *pool_take(struct pool *p); /* NULL when spent */
void pool_give(struct pool *p, struct frame *f);
int queue_open(struct queue *q); /* -ENOMEM */
void queue_close(struct queue *q);
void queue_push(struct queue *q, struct frame *f);
struct frame *queue_first(const struct queue *q); /* NULL when empty */
void queue_pop(struct queue *q);

/* frame.c; all take frames of any content and length. */
bool frame_is_neighbour(const struct frame *f);                    /* ARP, IPv6 ND */
bool frame_ip(const struct frame *f, uint32_t *at, uint32_t *len); /* the IP packet's bounds */
bool frame_damage(struct frame *f, uint64_t random); /* false: nothing a checksum covers */
/* Writes into `answer` the ICMP error of RFC 1191 section 4 or RFC 4443 section 3.2 about `f`.
 * False: no answer is due (no DF, an error itself, not a first fragment, group addresses). */
bool frame_too_big(const struct frame *f, uint32_t mtu, const struct wire_options *o,
                   struct frame *answer);

/* direction.c */
/* Takes the frame over; `arrived` is when the interface had it. */
void direction_take(struct direction *d, struct frame *f, int64_t arrived);
/* Up to `room` frames that are due; the caller gives them back to the pool. */
uint32_t direction_due(struct direction *d, int64_t now, struct frame **out, uint32_t room);
int64_t direction_next(const struct direction *d); /* INT64_MAX: nothing waits */

#endif
