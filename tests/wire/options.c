#include "badwire.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static const char help[] =
    "usage: badwire [options] A B\n"
    "\n"
    "Carries every Ethernet frame between the interfaces A and B, both ways, and does to them "
    "what\n"
    "the options say. Needs CAP_NET_RAW (and CAP_NET_ADMIN for its buffers). Turn checksum and\n"
    "segmentation offloads off at both ends of both wires (ethtool -K IF tx off tso off gso off "
    "gro\n"
    "off): otherwise frames come without checksums or longer than the wire carries.\n"
    "\n"
    "A VALUE is one number for both directions, or two, \"X,Y\": X for A to B and Y for B to A.\n"
    "  --seed N               what strikes which frame follows from it (0)\n"
    "  --loss VALUE           % of frames lost (0)\n"
    "  --duplicate VALUE      % of frames sent twice (0)\n"
    "  --reorder VALUE        % of frames held back (0)\n"
    "  --reorder-frames VALUE a held frame goes on once so many later ones have passed it; 0: by\n"
    "                         time only (3)\n"
    "  --reorder-ms VALUE     and is never held longer (5)\n"
    "  --damage VALUE         % of TCP, UDP and ICMP packets with one byte of the IP payload "
    "changed,\n"
    "                         always so that its checksum is wrong (0)\n"
    "  --delay VALUE          ms each frame takes (0)\n"
    "  --mtu VALUE            largest IP packet; larger ones are dropped, and those with DF and "
    "IPv6\n"
    "                         ones answered with ICMP. Nothing is fragmented here (0: any)\n"
    "  --icmp-source ADDRESS  where those answers come from, IPv4 or IPv6, may be given once each\n"
    "                         (the packet's destination)\n"
    "  --icmp-silent          no such answers: a black hole\n"
    "  --rate VALUE           Mbit/s of Ethernet frames without preamble and FCS (0: any)\n"
    "  --queue VALUE          KiB that wait for --rate before the tail is dropped (256)\n"
    "  --impair-all           ARP and IPv6 neighbour discovery too; otherwise they are only "
    "delayed\n"
    "  --tick US              frames due within so many microseconds leave together (100)\n"
    "  -h, --help             this text\n"
    "\n"
    "A frame too big or lost is not in the queue of --rate; damage, repetition and holding back "
    "come\n"
    "after it. VLAN tags are not carried. Frames over 2000 bytes are dropped and counted.\n"
    "\n"
    "Prints {\"ready\":true} once frames pass; on SIGUSR1, and before it ends, its counters: a "
    "line of\n"
    "JSON each. Counters of a direction: carried (and bytes; copies count), exempt, lost, "
    "duplicated,\n"
    "reordered, damaged, too_big, icmp (answers about too_big), queue_drops, oversize; and what "
    "makes\n"
    "a run worth nothing: missed (dropped by the kernel before badwire read it), unsent, late "
    "(over\n"
    "2 ms after it was due) with late_max_us.\n"
    "\n"
    "Exit codes: 0 ended by SIGTERM or SIGINT; 64 wrong arguments; 66 no such interface; 71 the\n"
    "system refused memory or a socket; 74 reading or sending failed for good.\n";

static int wrong(const char *what, const char *value)
{
    fprintf(stderr, "badwire: %s: %s\n", what, value);
    return EX_USAGE;
}

static bool number(const char *text, char **end, double most, double *value)
{
    *value = strtod(text, end);
    return *end != text && isfinite(*value) && *value >= 0 && *value <= most;
}

/* One number or two, each from 0 to `most`, times `scale`. */
static int pair(const char *name, const char *text, double most, double scale, double *a, double *b)
{
    char *end;
    if (!number(text, &end, most, a))
        return wrong(name, text);
    *b = *a;
    if (*end == ',' && !number(end + 1, &end, most, b))
        return wrong(name, text);
    if (*end)
        return wrong(name, text);
    *a *= scale;
    *b *= scale;
    return 0;
}

static int source(struct wire_options *o, const char *text)
{
    if (inet_pton(AF_INET, text, o->source4) == 1)
        o->has_source4 = true;
    else if (inet_pton(AF_INET6, text, o->source6) == 1)
        o->has_source6 = true;
    else
        return wrong("--icmp-source", text);
    return 0;
}

static int seed(struct wire_options *o, const char *text)
{
    char *end;
    o->seed = strtoull(text, &end, 0);
    return *text && !*end ? 0 : wrong("--seed", text);
}

/* Options with a VALUE: their letter, bound, scale and place in the faults. */
static const struct value {
    const char *name;
    double most, scale;
    size_t offset;
} values[] = {
    {"loss", 100, 0.01, offsetof(struct wire_faults, loss)},
    {"duplicate", 100, 0.01, offsetof(struct wire_faults, duplicate)},
    {"reorder", 100, 0.01, offsetof(struct wire_faults, reorder)},
    {"reorder-frames", 1000, 1, offsetof(struct wire_faults, reorder_frames)},
    {"reorder-ms", 10000, 1, offsetof(struct wire_faults, reorder_ms)},
    {"damage", 100, 0.01, offsetof(struct wire_faults, damage)},
    {"delay", 10000, 1, offsetof(struct wire_faults, delay_ms)},
    {"mtu", 65535, 1, offsetof(struct wire_faults, mtu)},
    {"rate", 100000, 1, offsetof(struct wire_faults, rate_mbit)},
    {"queue", 1 << 20, 1, offsetof(struct wire_faults, queue_kib)},
};

enum { VALUES = sizeof(values) / sizeof(values[0]), FLAGS = 6 };

static double *place(struct wire_faults *f, size_t offset)
{
    return (double *)((char *)f + offset);
}

static int take_value(struct wire_options *o, const struct value *v, const char *text)
{
    return pair(v->name, text, v->most, v->scale, place(&o->faults[0], v->offset),
                place(&o->faults[1], v->offset));
}

static int take(struct wire_options *o, int letter, const char *text)
{
    char *end;
    switch (letter) {
    case 's':
        return seed(o, text);
    case 'i':
        return source(o, text);
    case 'q':
        o->icmp_silent = true;
        return 0;
    case 'a':
        o->impair_all = true;
        return 0;
    case 't':
        return number(text, &end, 1e6, &o->tick_us) && !*end ? 0 : wrong("--tick", text);
    default:
        fprintf(stderr, "badwire: see badwire --help\n");
        return EX_USAGE;
    }
}

static void defaults(struct wire_options *o)
{
    memset(o, 0, sizeof(*o));
    o->tick_us = 100;
    for (int i = 0; i < 2; i++)
        o->faults[i] = (struct wire_faults){
            .queue_kib = 256,
            .reorder_frames = 3,
            .reorder_ms = 5,
        };
}

static int names(struct wire_options *o, int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "badwire: two interfaces are needed, see badwire --help\n");
        return EX_USAGE;
    }
    o->name[0] = argv[0];
    o->name[1] = argv[1];
    return 0;
}

int options_parse(int argc, char **argv, struct wire_options *o, bool *done)
{
    struct option list[VALUES + FLAGS + 1] = {
        {"help", no_argument, NULL, 'h'},
        {"seed", required_argument, NULL, 's'},
        {"icmp-source", required_argument, NULL, 'i'},
        {"icmp-silent", no_argument, NULL, 'q'},
        {"impair-all", no_argument, NULL, 'a'},
        {"tick", required_argument, NULL, 't'},
    };
    for (int i = 0; i < VALUES; i++)
        list[FLAGS + i] = (struct option){values[i].name, required_argument, NULL, 256 + i};
    defaults(o);
    *done = false;
    for (int c; (c = getopt_long(argc, argv, "h", list, NULL)) != -1;) {
        if (c == 'h') {
            fputs(help, stdout);
            *done = true;
            return 0;
        }
        int code = c >= 256 ? take_value(o, &values[c - 256], optarg) : take(o, c, optarg);
        if (code)
            return code;
    }
    return names(o, argc - optind, argv + optind);
}
