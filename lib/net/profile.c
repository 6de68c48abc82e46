/* A profile of drivers-config/: YAML to struct net_profile, every key checked. */
#include "net_internal.h"

#include <ctype.h>

/* An mbuf of the usual room with its header, its pool's header and padding, rounded up. */
#define MBUF_BYTES   2560u
#define MEMORY_SPARE 32u /* MiB: rings, tables, what drivers take */

static const char *const known[] = {"name",       "driver",    "devargs", "workers", "queues",
                                    "first_core", "rx_ring",   "tx_ring", "mtu",     "mbufs",
                                    "memory_mib", "hugepages", "idle",    NULL};
static const char *const driver_names[] = {"af_packet", "af_xdp", "tap", "memif",
                                           "ring",      "pci",    NULL};
static const char *const idle_names[] = {"adaptive", "poll", NULL};

static void defaults(struct net_profile *p)
{
    *p = (struct net_profile){.workers = 1,
                              .queues = 1,
                              .rx_ring = 1024,
                              .tx_ring = 1024,
                              .mtu = 1500,
                              .mbufs = 32768,
                              .memory_mib = 256,
                              .hugepages = true};
}

/* Copies a text that must fit and must hold no space nor control character: it becomes part of an
 * argument. */
static void read_name(const struct yaml_node *n, const char *key, char *out, size_t room,
                      struct diags *d)
{
    struct span s;

    if (!yaml_read_text(n, key, false, &s, d))
        return;
    if (s.n >= room) {
        diag_error(d, yaml_place(yaml_get(n, key)), "%s is longer than %zu characters", key,
                   room - 1);
        return;
    }
    for (size_t i = 0; i < s.n; i++)
        if (!isgraph((unsigned char)s.p[i])) {
            diag_error(d, yaml_place_in(yaml_get(n, key), i),
                       "%s may hold no space and no control character", key);
            return;
        }
    memcpy(out, s.p, s.n);
    out[s.n] = '\0';
}

static void read_number(const struct yaml_node *n, const char *key, unsigned least, unsigned most,
                        unsigned *out, struct diags *d)
{
    uint64_t v;

    if (yaml_read_u64(n, key, false, least, most, &v, d))
        *out = (unsigned)v;
}

static void read_driver(const struct yaml_node *n, struct net_profile *p, struct diags *d)
{
    unsigned driver, idle;

    if (yaml_read_enum(n, "driver", true, driver_names, &driver, d))
        snprintf(p->driver, sizeof(p->driver), "%s", driver_names[driver]);
    snprintf(p->name, sizeof(p->name), "%s", p->driver);
    /* A port that costs a system call a poll is worth a nap; a card of our own is not. */
    p->idle = strcmp(p->driver, "pci") == 0 ? NET_IDLE_POLL : NET_IDLE_ADAPTIVE;
    if (yaml_read_enum(n, "idle", false, idle_names, &idle, d))
        p->idle = idle == 0 ? NET_IDLE_ADAPTIVE : NET_IDLE_POLL;
}

static struct place place_of(const struct yaml_node *root, const char *key)
{
    const struct yaml_node *n = yaml_get(root, key);

    return yaml_place(n ? n : root);
}

/* Numbers that are good alone may not fit together. */
static void check_sums(const struct yaml_node *n, const struct net_profile *p, struct diags *d)
{
    unsigned others = p->workers - 1; /* each holds some of ours: on the way, and in its cache */
    unsigned least = 2 * (p->rx_ring + p->tx_ring) + 1024 + others * (MESH_SLOTS + 512);
    uint64_t room = (p->mtu > NET_DATA_ROOM - 26 ? p->mtu : 0) + MBUF_BYTES;
    uint64_t rings = (uint64_t)p->workers * others * MESH_SLOTS * MESH_SLOT_BYTES;
    uint64_t need = (((uint64_t)p->mbufs * p->workers * room + rings) >> 20) + MEMORY_SPARE;

    if (p->mbufs < least)
        diag_error(d, place_of(n, "mbufs"),
                   "%u mbufs are too few: rings hold up to %u, and some are on the way; write %u "
                   "or more",
                   p->mbufs, least - 1024, least);
    if (p->memory_mib < need)
        diag_error(d, place_of(n, "memory_mib"),
                   "memory_mib %u is too little for %u mbufs a worker and %u worker(s); write %llu "
                   "or more",
                   p->memory_mib, p->mbufs, p->workers, (unsigned long long)need);
}

static void read_profile(const struct yaml_node *n, struct net_profile *p, struct diags *d)
{
    size_t before = d->errors;

    yaml_only(n, known, d);
    read_driver(n, p, d);
    read_name(n, "name", p->name, sizeof(p->name), d);
    read_name(n, "devargs", p->devargs, sizeof(p->devargs), d);
    read_number(n, "workers", 1, NET_WORKERS_MAX, &p->workers, d);
    p->queues = p->workers;
    read_number(n, "queues", 1, p->workers, &p->queues, d);
    read_number(n, "first_core", 0, 1023, &p->first_core, d);
    read_number(n, "rx_ring", 64, 16384, &p->rx_ring, d);
    read_number(n, "tx_ring", 64, 16384, &p->tx_ring, d);
    read_number(n, "mtu", 576, 9200, &p->mtu, d);
    read_number(n, "mbufs", 1024, 4u << 20, &p->mbufs, d);
    read_number(n, "memory_mib", 64, 1u << 20, &p->memory_mib, d);
    yaml_read_bool(n, "hugepages", false, &p->hugepages, d);
    if (d->errors == before)
        check_sums(n, p, d);
}

bool net_profile_load(const char *path, struct net_profile *out, struct diags *d)
{
    size_t before = d->errors;
    struct yaml_doc *doc = yaml_load(path, d);
    struct net_profile p;

    if (!doc)
        return false;
    defaults(&p);
    if (yaml_kind_of(yaml_root(doc)) != YAML_MAPPING)
        diag_error(d, yaml_place(yaml_root(doc)), "a profile is a mapping of keys to values");
    else
        read_profile(yaml_root(doc), &p, d);
    yaml_free(doc);
    if (d->errors != before)
        return false;
    *out = p;
    return true;
}
