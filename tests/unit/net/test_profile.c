/* Profiles: every shipped one loads, every mistake is found at its place; the EAL's arguments. */
#include "bed.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct diags d;

static int fresh(void **state)
{
    (void)state;
    diags_init(&d);
    return 0;
}

static int finish(void **state)
{
    (void)state;
    diags_free(&d);
    return 0;
}

static bool load_text(const char *text, struct net_profile *p)
{
    char path[] = "/tmp/net_profile_XXXXXX";
    int fd = mkstemp(path);
    bool ok;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    ok = net_profile_load(path, p, &d);
    unlink(path);
    return ok;
}

static void shipped(void **state)
{
    static const char *const names[] = {"af_packet", "af_xdp", "tap",   "memif", "ring",  "mlx5",
                                        "ice",       "i40e",   "ixgbe", "ena",   "virtio"};
    const char *dir = getenv("TURNPIKE_PROFILES");
    struct net_profile p;
    char path[300];

    (void)state;
    assert_non_null(dir);
    for (size_t i = 0; i < RTE_DIM(names); i++) {
        snprintf(path, sizeof(path), "%s/%s.yaml", dir, names[i]);
        if (!net_profile_load(path, &p, &d)) {
            diags_print(&d, stderr, false);
            fail_msg("%s does not load", path);
        }
        assert_int_equal(p.workers, 1);
        assert_int_equal(p.idle, i < 5 ? NET_IDLE_ADAPTIVE : NET_IDLE_POLL);
        assert_string_equal(p.driver, i < 5 ? names[i] : "pci");
    }
}

static void defaults(void **state)
{
    struct net_profile p;

    (void)state;
    assert_true(load_text("driver: af_packet\n", &p));
    assert_string_equal(p.driver, "af_packet");
    assert_string_equal(p.name, "af_packet");
    assert_string_equal(p.devargs, "");
    assert_int_equal(p.workers, 1);
    assert_int_equal(p.queues, 1);
    assert_int_equal(p.first_core, 0);
    assert_int_equal(p.rx_ring, 1024);
    assert_int_equal(p.tx_ring, 1024);
    assert_int_equal(p.mtu, 1500);
    assert_int_equal(p.mbufs, 32768);
    assert_int_equal(p.memory_mib, 256);
    assert_true(p.hugepages);
    assert_int_equal(p.idle, NET_IDLE_ADAPTIVE);
    assert_true(load_text("driver: pci\n", &p));
    assert_int_equal(p.idle, NET_IDLE_POLL);
}

static void every_key(void **state)
{
    struct net_profile p;

    (void)state;
    assert_true(load_text(
        "name: big\ndriver: pci\ndevargs: a=1,b=2\nworkers: 16\nqueues: 4\nfirst_core: 2\n"
        "rx_ring: 512\ntx_ring: 256\nmtu: 9000\nmbufs: 32768\nmemory_mib: 8192\n"
        "hugepages: false\nidle: adaptive\n",
        &p));
    assert_string_equal(p.name, "big");
    assert_string_equal(p.devargs, "a=1,b=2");
    assert_int_equal(p.workers, 16);
    assert_int_equal(p.queues, 4);
    assert_int_equal(p.first_core, 2);
    assert_int_equal(p.rx_ring, 512);
    assert_int_equal(p.tx_ring, 256);
    assert_int_equal(p.mtu, 9000);
    assert_int_equal(p.mbufs, 32768);
    assert_int_equal(p.memory_mib, 8192);
    assert_false(p.hugepages);
    assert_int_equal(p.idle, NET_IDLE_ADAPTIVE);
}

static void mistakes(void **state)
{
    static const struct {
        const char *text;
        unsigned line, column;
    } cases[] = {
        {"mtu: 1500\n", 1, 1},
        {"driver: af_pocket\n", 1, 9},
        {"driver: tap\ndrivr: tap\n", 2, 1},
        {"driver: tap\nworkers: 0\n", 2, 10},
        {"driver: tap\nworkers: many\n", 2, 10},
        {"driver: tap\nworkers: 17\n", 2, 10},
        {"driver: tap\nworkers: 2\nqueues: 3\n", 3, 9},
        {"driver: tap\nqueues: 0\n", 2, 9},
        {"driver: tap\nworkers: 3\nmemory_mib: 256\n", 3, 13},
        {"driver: tap\nworkers: 2\nmbufs: 6000\n", 3, 8},
        {"driver: tap\nmtu: 100\n", 2, 6},
        {"driver: tap\nmtu: 9201\n", 2, 6},
        {"driver: tap\nrx_ring: 1\n", 2, 10},
        {"driver: tap\nidle: never\n", 2, 7},
        {"driver: tap\nhugepages: 5\n", 2, 12},
        {"driver: tap\ndevargs: \"a b\"\n", 2, 12},
        {"driver: tap\nname: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", 2, 7},
        {"driver: tap\nmbufs: 2048\n", 2, 8},
        {"driver: tap\nmbufs: 200000\nmemory_mib: 300\n", 3, 13},
        {"- driver\n", 1, 1},
        {"driver: tap\ndriver: tap\n", 2, 1},
    };

    (void)state;
    for (size_t i = 0; i < RTE_DIM(cases); i++) {
        struct net_profile p;

        diags_free(&d);
        diags_init(&d);
        if (load_text(cases[i].text, &p))
            fail_msg("loaded:\n%s", cases[i].text);
        assert_true(d.count >= 1);
        if (d.items[0].where.line != cases[i].line || d.items[0].where.column != cases[i].column) {
            diags_print(&d, stderr, false);
            fail_msg("at %u:%u, should be %u:%u:\n%s", d.items[0].where.line,
                     d.items[0].where.column, cases[i].line, cases[i].column, cases[i].text);
        }
    }
}

static void missing_file(void **state)
{
    struct net_profile p;

    (void)state;
    assert_false(net_profile_load("/nonexistent/profile.yaml", &p, &d));
    assert_int_equal(d.errors, 1);
}

static bool has(char *const *argv, const char *arg)
{
    for (; *argv; argv++)
        if (strcmp(*argv, arg) == 0)
            return true;
    return false;
}

static struct net_config two_ports(const char *in, const char *out)
{
    struct net_config c = {0};

    snprintf(c.side[0].port, sizeof(c.side[0].port), "%s", in);
    snprintf(c.side[1].port, sizeof(c.side[1].port), "%s", out);
    return c;
}

static void arguments(void **state)
{
    struct net_config c = two_ports("in0", "out0");
    struct arena mem = ARENA_INIT;
    char *argv[NET_EAL_ARGS_MAX];
    struct net_profile p;
    bool without;
    int argc;

    (void)state;
    assert_true(load_text("driver: af_xdp\nhugepages: false\ndevargs: busy_budget=0\n", &p));
    argc = net_eal_args(&p, &c, &mem, argv, &without);
    assert_true(argc > 0);
    assert_null(argv[argc]);
    assert_false(without);
    assert_true(has(argv, "--no-huge"));
    assert_true(has(argv, "--no-pci"));
    assert_true(has(argv, "256"));
    assert_true(has(argv, "--vdev=net_af_xdp0,iface=in0,queue_count=1,busy_budget=0"));
    assert_true(has(argv, "--vdev=net_af_xdp1,iface=out0,queue_count=1,busy_budget=0"));
    c = two_ports("/run/in.sock", "/run/out.sock");
    assert_true(load_text("driver: memif\nhugepages: false\ndevargs: role=client\n", &p));
    assert_true(net_eal_args(&p, &c, &mem, argv, &without) > 0);
    assert_true(has(argv, "--vdev=net_memif1,id=1,socket=/run/out.sock,socket-abstract=no,"
                          "role=client"));
    c = two_ports("0000:01:00.0", "0000:01:00.1");
    assert_true(load_text("driver: pci\nmemory_mib: 1048576\ndevargs: x=1\n", &p));
    assert_true(net_eal_args(&p, &c, &mem, argv, &without) > 0);
    assert_true(without); /* a TiB of free hugepages is not to be had */
    assert_true(has(argv, "0000:01:00.1,x=1"));
    assert_false(has(argv, "--no-pci"));
    arena_free(&mem);
}

/* A port's name becomes part of an argument: nothing in it may start another. */
static void port_names(void **state)
{
    static const char *const bad[] = {"", "in0,mac=1", "in 0", "in0=x", "in\"0", "in0\n"};
    struct arena mem = ARENA_INIT;
    char *argv[NET_EAL_ARGS_MAX];
    struct net_profile p;
    bool without;

    (void)state;
    assert_true(load_text("driver: tap\n", &p));
    for (size_t i = 0; i < RTE_DIM(bad); i++) {
        struct net_config c = two_ports("in0", bad[i]);

        assert_int_equal(net_eal_args(&p, &c, &mem, argv, &without), 0);
    }
    arena_free(&mem);
}

#define t(f) cmocka_unit_test_setup_teardown(f, fresh, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        t(shipped),      t(defaults),  t(every_key),  t(mistakes),
        t(missing_file), t(arguments), t(port_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
