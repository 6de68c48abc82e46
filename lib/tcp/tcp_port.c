/* Numbers that must look random to strangers and yet follow from the 4-tuple. */
#include "tcp_hash.h"
#include "tcp_internal.h"

void keys_derive(struct tcp *t)
{
    uint64_t secret[4], *keys[] = {t->key_table, t->key_isn, t->key_ts, t->key_port};

    memcpy(secret, t->cfg.secret, sizeof(secret));
    for (uint64_t i = 0; i < RTE_DIM(keys); i++) {
        keys[i][0] = siphash(secret, &(uint64_t){2 * i}, 1, 2, 4);
        keys[i][1] = siphash(secret + 2, &(uint64_t){2 * i + 1}, 1, 2, 4);
    }
}

static uint64_t key_siphash(const uint64_t secret[2], const struct tcp_key *key)
{
    struct tcp_words k = key_words(key);

    return siphash(secret, k.w, TCP_KEY_WORDS, 2, 4);
}

/* RFC 6528 3: a clock of 4 us plus a keyed hash of the 4-tuple. */
uint32_t isn_of(const struct tcp *t, const struct tcp_key *key)
{
    return (uint32_t)key_siphash(t->key_isn, key) + (uint32_t)(t->now / 4);
}

/* RFC 7323 5.4: the timestamp clock must not tell how long we have been up. */
uint32_t ts_offset_of(const struct tcp *t, const struct tcp_key *key)
{
    return (uint32_t)key_siphash(t->key_ts, key);
}

static bool reaches_us(const struct tcp *t, const struct tcp_key *k)
{
    return !t->lower.reaches ||
           t->lower.reaches(t->lower.ctx, k->side, &k->local, &k->remote, k->lport, k->rport);
}

/* RFC 6056 3.3.3: an offset by destination and a counter; used 4-tuples are passed over. The
 * number of tries is bounded, so that ports all but spent cost no more than a refusal. */
bool port_choose(struct tcp *t, struct tcp_key *key, uint32_t *hash)
{
    const uint32_t range = 65536 - TCP_PORT_LOW;
    uint32_t offset;

    key->lport = 0;
    offset = (uint32_t)key_siphash(t->key_port, key) % range;
    for (unsigned i = 0; i < TCP_PORT_TRIES; i++) {
        key->lport = (uint16_t)(TCP_PORT_LOW + (offset + t->next_port++) % range);
        if (!reaches_us(t, key))
            continue;
        *hash = key_hash(t, key);
        if (!table_find(t, key, *hash))
            return true;
    }
    return false;
}
