/* The EAL's arguments, from a profile. */
#include "net_internal.h"

#include <ctype.h>
#include <dirent.h>
#include <sched.h>
#include <stdlib.h>

struct args {
    struct arena *mem;
    char **argv;
    int argc;
};

/* Far fewer arguments exist than there is room for: 12 of our own and one a port. */
static void add(struct args *a, const char *s)
{
    a->argv[a->argc++] = arena_strdup(a->mem, span_cstr(s));
    a->argv[a->argc] = NULL;
}

/* ---------------------------------------------------------------- memory */

static uint64_t free_pages(const char *dir)
{
    char path[300];
    uint64_t n = 0;
    FILE *f;

    snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/%s/free_hugepages", dir);
    f = fopen(path, "re");
    if (!f)
        return 0;
    if (fscanf(f, "%lu", &n) != 1)
        n = 0;
    fclose(f);
    return n;
}

/* KiB in free hugepages of any size. */
static uint64_t free_huge_kib(void)
{
    DIR *d = opendir("/sys/kernel/mm/hugepages");
    struct dirent *e;
    uint64_t sum = 0;
    unsigned kib;

    if (!d)
        return 0;
    while ((e = readdir(d)))
        if (sscanf(e->d_name, "hugepages-%ukB", &kib) == 1)
            sum += kib * free_pages(e->d_name);
    closedir(d);
    return sum;
}

/* --in-memory: no files that outlive the process; the EAL does not take it together with --no-huge,
 * for which --no-shconf does the same. */
static void add_memory(struct args *a, const struct net_profile *p, bool *without_huge)
{
    bool huge = p->hugepages && free_huge_kib() >= (uint64_t)p->memory_mib * 1024;

    *without_huge = p->hugepages && !huge;
    if (huge) {
        add(a, "--in-memory");
    } else {
        add(a, "--no-huge");
        add(a, "--no-shconf");
    }
    add(a, "-m");
    add(a, arena_printf(a->mem, "%u", p->memory_mib));
}

/* ----------------------------------------------------------------- lcores */

/* The k-th processor that this process may use, counted from `first`, wrapping. */
static unsigned cpu_at(unsigned first, unsigned k)
{
    unsigned list[CPU_SETSIZE], count = 0;
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 0;
    for (unsigned i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &set))
            list[count++] = i;
    return count ? list[(first + k) % count] : 0;
}

/* "0@2,1@3": lcore 0 is the control thread's, lcore i + 1 is worker i's. */
static void add_lcores(struct args *a, const struct net_profile *p)
{
    char text[1024];
    struct outbuf o = outbuf_on(text, sizeof(text) - 1);

    outbuf_lit(&o, "--lcores=");
    for (unsigned k = 0; k <= p->workers && k <= NET_WORKERS_MAX; k++)
        outbuf_printf(&o, "%s%u@%u", k ? "," : "", k, cpu_at(p->first_core, k));
    text[o.n] = '\0';
    add(a, text);
}

/* ------------------------------------------------------------------ ports */

static bool port_name_ok(const char *s)
{
    size_t n = strlen(s);

    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && !strchr("._-:/@", s[i]))
            return false;
    return n > 0;
}

static unsigned pow2_at_least(unsigned v)
{
    unsigned p = 2048;

    while (p < v)
        p *= 2;
    return p;
}

/* Frames of the kernel's ring hold a packet and about 80 bytes of the kernel's (TPACKET_V2). */
static char *af_packet_args(struct arena *mem, const struct net_profile *p, const char *iface)
{
    unsigned frame = pow2_at_least(p->mtu + 128);
    unsigned block = frame < 4096 ? 4096 : frame, count = RTE_MAX(p->rx_ring, p->tx_ring);

    return arena_printf(mem, "iface=%s,qpairs=%u,qdisc_bypass=1,framesz=%u,blocksz=%u,framecnt=%u",
                        iface, p->queues, frame, block, count);
}

/* The device arguments that follow from the profile; the profile's own come after them. */
static char *own_args(struct arena *mem, const struct net_profile *p, unsigned side,
                      const char *port)
{
    if (strcmp(p->driver, "af_packet") == 0)
        return af_packet_args(mem, p, port);
    if (strcmp(p->driver, "af_xdp") == 0)
        return arena_printf(mem, "iface=%s,queue_count=%u", port, p->queues);
    if (strcmp(p->driver, "tap") == 0)
        return arena_printf(mem, "iface=%s", port);
    return arena_printf(mem, "id=%u,socket=%s,socket-abstract=no%s", side, port,
                        strstr(p->devargs, "role=") ? "" : ",role=server");
}

static void add_port(struct args *a, const struct net_profile *p, unsigned side, const char *port)
{
    const char *vdev = net_vdev_prefix(p->driver), *comma = p->devargs[0] ? "," : "";

    if (vdev) {
        add(a, arena_printf(a->mem, "--vdev=%s%u,%s%s%s", vdev, side,
                            own_args(a->mem, p, side, port), comma, p->devargs));
    } else if (strcmp(p->driver, "pci") == 0) {
        add(a, "-a");
        add(a, arena_printf(a->mem, "%s%s%s", port, comma, p->devargs));
    }
}

int net_eal_args(const struct net_profile *p, const struct net_config *c, struct arena *mem,
                 char *argv[NET_EAL_ARGS_MAX], bool *without_huge)
{
    struct args a = {mem, argv, 0};
    bool pci = strcmp(p->driver, "pci") == 0;

    *without_huge = false;
    for (unsigned s = 0; s < NET_SIDES; s++)
        if (!port_name_ok(c->side[s].port)) {
            log_error("net", "\"%s\" cannot be the name of a port", c->side[s].port);
            return 0;
        }
    add(&a, "turnpike");
    add(&a, "--file-prefix=turnpike");
    add(&a, "--log-level=*:warning");
    add_memory(&a, p, without_huge);
    add_lcores(&a, p);
    if (!pci) {
        add(&a, "--no-pci");
        add(&a, "--iova-mode=va");
    }
    for (unsigned s = 0; s < NET_SIDES; s++)
        add_port(&a, p, s, c->side[s].port);
    return a.argc;
}
