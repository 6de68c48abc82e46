/* Sliding windows: sums of amounts over the last so many seconds, by key, which all workers add to
 * and read at once without a lock.
 *
 * A window slides in steps of a sixtieth of its length and covers the length and up to one step
 * more, so that in no span of the length more is counted than a limit lets through. A decision
 * first reserves its amount, then reads, then either commits or withdraws:
 *
 *     window_reserve -> least: what has been counted; most: that, and what others have reserved
 *                       before us and not decided yet
 *     window_commit (it goes through) or window_withdraw (it does not)
 *
 * Of two decisions that reserve in the same window one comes first; the other finds that one's
 * amount in `most`, reserved or counted already. So if every decision goes by `most`, what is let
 * through never exceeds a limit. `least` tells whether a refusal is due to what is counted or to
 * somebody who may yet withdraw: if least and most decide alike the decision is what it would be
 * had one gone after the other, else withdraw, wait a moment and reserve again.
 *
 * What was committed may be given back while it is still in the window. Amounts are unsigned, in
 * whatever unit the user likes. Times are the wall clock; workers' clocks may differ by three
 * steps. A clock that is set back makes windows longer, never shorter; one that is set forward
 * empties them early.
 *
 * A table is bounded: when it has no place for another key the answer is WINDOW_FULL, which must
 * count against the call. Keys whose windows are empty give up their places when one thread, not a
 * worker, sweeps. */
#ifndef WINDOW_WINDOW_H
#define WINDOW_WINDOW_H

#include "base/base.h"

#define WINDOW_SECRET     16         /* bytes of the secret that keys are hashed with */
#define WINDOW_KEYS_MAX   (1u << 24) /* of a table */
#define WINDOW_LENGTH_MAX (100 * 86400 * NS_IN_S)

struct window_table;

/* Memory for `keys` keys of 1,088 bytes each, which the system gives as they come into use, and 8
 * to 16 bytes a key at once. NULL: out of memory. */
struct window_table *window_table_new(unsigned keys, const uint8_t secret[WINDOW_SECRET]);
void window_table_delete(struct window_table *t);

/* ------------------------------------------------------------------- keys */

/* What tells windows apart: a keyed hash of 128 bits (SipHash-2-4) over everything that is put in.
 * Who does not know the secret can neither make two keys collide nor guess what a key stands for.
 */
struct window_key {
    uint64_t half[2];
};

struct window_hash {
    uint64_t v[4], tail; /* `tail`: bytes that do not fill a word yet, the first one lowest */
    uint64_t n;          /* bytes put in */
};
void window_hash_begin(struct window_hash *h, const struct window_table *t);
void window_hash_put(struct window_hash *h, const void *p, size_t n);
/* Puts in its length too, so that "ab" and "c" is not "a" and "bc". */
void window_hash_text(struct window_hash *h, struct span s);
struct window_key window_hash_end(struct window_hash *h);

/* --------------------------------------------------------------- counting */

/* One amount in one window: from window_reserve on. */
struct window_count {
    uint32_t entry, serial; /* place in the table, and which of its users */
    uint64_t amount;
    uint64_t step; /* once committed: where it is counted */
};

enum window_result {
    WINDOW_RESERVED,
    WINDOW_FULL,  /* no place for this key */
    WINDOW_BEYOND /* the sum does not fit 64 bits */
};

/* Any thread that is an RCU reader, with no quiescent state between reserving and committing or
 * withdrawing. Nothing is reserved unless it is WINDOW_RESERVED; then exactly one of commit and
 * withdraw must follow. */
enum window_result window_reserve(struct window_table *t, struct window_key key, uint64_t length_ns,
                                  uint64_t amount, uint64_t now_ns, struct window_count *c,
                                  uint64_t *least, uint64_t *most);
void window_withdraw(struct window_table *t, struct window_count *c);
void window_commit(struct window_table *t, struct window_count *c, uint64_t now_ns);
/* What was committed is taken out again, if the window has not left it behind. Once at most; any
 * reader thread, at any later time. */
void window_give_back(struct window_table *t, const struct window_count *c);

/* What a count says, for who writes it down. False: it has left the window, and nothing is known of
 * it any more. */
struct window_told {
    struct window_key key;
    uint64_t length_ns, step, amount;
};
bool window_tell(const struct window_table *t, const struct window_count *c,
                 struct window_told *out);
/* "<key in hex> <length in seconds> <step> <amount>", for lengths of whole seconds. */
void window_told_put(const struct window_told *told, struct outbuf *o);
bool window_told_read(struct span text, struct window_told *told);
/* Tells secrets apart, and tells nothing of them. */
uint32_t window_fingerprint(const struct window_table *t);

/* ------------------------------------------------- before there are workers */

/* Puts back what was told, or takes it out. What is no longer in the window is left out. False: no
 * place for this key. */
bool window_restore(struct window_table *t, const struct window_told *told, uint64_t now_ns);
void window_restore_back(struct window_table *t, const struct window_told *told);
/* What was counted before `now_ns` is not known: until a window's length has passed since then it
 * must be taken for unknown. */
void window_forget(struct window_table *t, uint64_t now_ns);
bool window_forgot(const struct window_table *t, uint64_t length_ns, uint64_t now_ns);

/* ------------------------------------------------------------------ sweeping */

/* One thread, which is not a worker. Looks at up to `most` places, the next ones each time, and
 * takes out keys whose windows are empty. Returns how many. They are used again once every worker
 * has been through a quiescent state and window_reclaim has been called. */
unsigned window_sweep(struct window_table *t, unsigned most, uint64_t now_ns);
void window_reclaim(struct window_table *t);

unsigned window_keys(const struct window_table *t);        /* how many it has place for */
unsigned window_keys_in_use(const struct window_table *t); /* any thread */

#endif
