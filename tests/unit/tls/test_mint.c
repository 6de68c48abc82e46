/* Minted leaves: what stands in them, how many are kept, how fast they may come. */
#include "world.h"

#include <openssl/x509v3.h>
#include <stdlib.h>

#include "tls/tls_internal.h"

#define DAY 86400

/* ---- contents */

static struct pki ca_of(bool rsa, long until_s)
{
    return pki_make(&(struct pki_spec){.cn = "Mint CA", PKI_CA, .rsa = rsa, .until_s = until_s});
}

static struct tls_shared *load_ca(const struct pki *const *file)
{
    struct tls_shared_config c = {
        .ca_certificate = pki_write_certs("mint.pem", file),
        .ca_key = pki_write_key("mint.key", file[0], 0600),
        .vendor_trust = pki_path("vendors.pem"),
    };
    return must_load(&c);
}

static void must_verify(X509 *leaf, X509 *root, const char *name)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();

    X509_STORE_add_cert(store, root);
    X509_STORE_CTX_init(ctx, store, leaf, NULL);
    X509_STORE_CTX_set_default(ctx, "ssl_server");
    X509_STORE_CTX_set_flags(ctx, X509_V_FLAG_X509_STRICT);
    X509_VERIFY_PARAM_set1_host(X509_STORE_CTX_get0_param(ctx), name, 0);
    X509_VERIFY_PARAM_set_hostflags(X509_STORE_CTX_get0_param(ctx),
                                    X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (X509_verify_cert(ctx) != 1)
        fail_msg("%s: %s", name, X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
}

static int64_t seconds(const ASN1_TIME *t)
{
    return tls_asn1_seconds(t);
}

static void check_leaf(const struct tls_mint *m, X509 *root, enum tls_leaf_type type,
                       const char *name)
{
    int64_t now = (int64_t)time(NULL), until = 0;
    X509 *x = tls_mint_leaf(m, type, span_cstr(name), now, &until);
    int critical = -2;

    assert_non_null(x);
    must_verify(x, root, name);
    assert_int_equal(X509_get_version(x), X509_VERSION_3);
    assert_int_equal(EVP_PKEY_get_base_id(X509_get0_pubkey(x)),
                     type == TLS_LEAF_RSA ? EVP_PKEY_RSA : EVP_PKEY_EC);
    assert_int_equal(seconds(X509_get0_notBefore(x)), now - 3600);
    assert_int_equal(seconds(X509_get0_notAfter(x)), now + 7 * DAY);
    assert_int_equal(until, now + 7 * DAY);
    assert_int_equal(X509_check_ca(x), 0);
    assert_int_equal(X509_get_key_usage(x), KU_DIGITAL_SIGNATURE);
    assert_int_equal(X509_get_extended_key_usage(x), XKU_SSL_SERVER);
    assert_non_null(X509_get0_subject_key_id(x));
    assert_int_equal(
        ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(x), X509_get0_subject_key_id(root)), 0);
    GENERAL_NAMES_free(X509_get_ext_d2i(x, NID_subject_alt_name, &critical, NULL));
    assert_int_equal(critical, strlen(name) > 64);
    assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(x)), strlen(name) <= 64);
    assert_int_equal(X509_check_private_key(x, m->key[type]), 1);
    X509_free(x);
}

static void contents(void **state)
{
    char longest[254];

    (void)state;
    snprintf(longest, sizeof(longest), "%063d.%063d.%063d.%060da", 1, 2, 3, 4);
    assert_int_equal(strlen(longest), 253);
    for (int rsa = 0; rsa < 2; rsa++) {
        struct pki ca = ca_of(rsa, 0);
        struct tls_shared *s = load_ca((const struct pki *[]){&ca, NULL});
        struct tls *t = tls_new(s, &(struct tls_limits){4, 4});

        assert_non_null(t);
        for (int type = 0; type < TLS_LEAF_TYPES; type++) {
            check_leaf(&t->mint, ca.x, type, "a.example");
            check_leaf(&t->mint, ca.x, type, "_x.a-b.example");
            check_leaf(&t->mint, ca.x, type, "localhost");
            check_leaf(&t->mint, ca.x, type, longest);
        }
        tls_delete(t);
        tls_shared_free(s);
        pki_free(&ca);
    }
}

static void serials_differ(void **state)
{
    int64_t until;
    X509 *a = tls_mint_leaf(&w.t->mint, TLS_LEAF_ECDSA, SPAN_LIT("a.b"), w.t->wall, &until);
    X509 *b = tls_mint_leaf(&w.t->mint, TLS_LEAF_ECDSA, SPAN_LIT("a.b"), w.t->wall, &until);

    (void)state;
    assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(a), X509_get0_serialNumber(b)), 0);
    assert_int_equal(X509_get0_serialNumber(a)->type, V_ASN1_INTEGER); /* not negative */
    assert_true(X509_get0_serialNumber(a)->length >= 12);
    X509_free(a);
    X509_free(b);
}

/* A leaf does not outlive its CA, and a dead CA mints nothing. */
static void near_the_end_of_the_ca(void **state)
{
    struct pki ca = ca_of(false, DAY / 2);
    struct tls_shared *s = load_ca((const struct pki *[]){&ca, NULL});
    struct tls *t = tls_new(s, &(struct tls_limits){4, 100});
    enum tls_error why;
    int64_t until;
    X509 *x;

    (void)state;
    assert_non_null(t);
    x = tls_mint_leaf(&t->mint, TLS_LEAF_ECDSA, SPAN_LIT("a.b"), t->wall, &until);
    assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(x), X509_get0_notAfter(ca.x)), 0);
    X509_free(x);
    /* Less than a day left, but a new one would be no better. */
    assert_non_null(tls_leaf_for(t, TLS_LEAF_ECDSA, SPAN_LIT("a.b"), &why));
    assert_non_null(tls_leaf_for(t, TLS_LEAF_ECDSA, SPAN_LIT("a.b"), &why));
    assert_int_equal(counter_get(&t->n.leaves_minted), 1);
    t->wall += DAY;
    assert_null(tls_leaf_for(t, TLS_LEAF_ECDSA, SPAN_LIT("a.b"), &why));
    assert_int_equal(why, TLS_ERR_MINT_FAILED);
    t->wall -= 2 * DAY;
    assert_null(tls_leaf_for(t, TLS_LEAF_RSA, SPAN_LIT("a.b"), &why));
    assert_int_equal(why, TLS_ERR_MINT_FAILED);
    tls_delete(t);
    tls_shared_free(s);
    pki_free(&ca);
}

/* The callers' root signs a middle CA that signs our CA: all but the root goes over the wire. */
static void chain(void **state)
{
    struct pki root = ca_of(false, 0);
    struct pki middle = pki_make(&(struct pki_spec){.cn = "Middle", .issuer = &root, PKI_CA});
    struct pki ca = pki_make(&(struct pki_spec){.cn = "Issuing", .issuer = &middle, PKI_CA});
    struct tls_shared *s = load_ca((const struct pki *[]){&ca, &middle, &root, NULL});
    struct tls *t = tls_new(s, &(struct tls_limits){4, 4});
    SSL_CTX *ctx = peer_client_ctx(&root);
    STACK_OF(X509) * sent;
    struct link l;

    (void)state;
    link_server(&l, t, ctx, "a.example");
    link_must_handshake(&l);
    sent = SSL_get_peer_cert_chain(l.peer.ssl);
    assert_int_equal(sk_X509_num(sent), 3);
    assert_int_equal(X509_cmp(sk_X509_value(sent, 1), ca.x), 0);
    assert_int_equal(X509_cmp(sk_X509_value(sent, 2), middle.x), 0);
    link_free(&l);
    SSL_CTX_free(ctx);
    tls_delete(t);
    tls_shared_free(s);
    pki_free(&root);
    pki_free(&middle);
    pki_free(&ca);
}

/* ---- cache and bucket */

static struct tls *worker(unsigned cache, unsigned rate)
{
    struct tls *t = tls_new(w.shared, &(struct tls_limits){cache, rate});

    assert_non_null(t);
    return t;
}

static bool leaf(struct tls *t, const char *name)
{
    enum tls_error why = TLS_ERR_NONE;

    return tls_leaf_for(t, TLS_LEAF_ECDSA, span_cstr(name), &why) != NULL;
}

static void cache(void **state)
{
    struct tls *t = worker(2, 1000);
    const struct tls_counters *n = tls_counters(t);
    enum tls_error why;

    (void)state;
    assert_true(leaf(t, "a") && leaf(t, "b") && leaf(t, "a") && leaf(t, "b"));
    assert_int_equal(counter_get(&n->leaves_minted), 2);
    assert_true(leaf(t, "a") && leaf(t, "c")); /* b goes */
    assert_int_equal(counter_get(&n->leaves_evicted), 1);
    assert_true(leaf(t, "a"));
    assert_int_equal(counter_get(&n->leaves_minted), 3);
    assert_true(leaf(t, "b"));
    assert_int_equal(counter_get(&n->leaves_minted), 4);
    /* The two types are two leaves. */
    X509 *rsa = tls_leaf_for(t, TLS_LEAF_RSA, SPAN_LIT("b"), &why);
    assert_int_equal(EVP_PKEY_get_base_id(X509_get0_pubkey(rsa)), EVP_PKEY_RSA);
    tls_delete(t);
}

static void renewal(void **state)
{
    struct tls *t = worker(8, 2);
    const struct tls_counters *n = tls_counters(t);

    (void)state;
    assert_true(leaf(t, "a"));
    t->wall += 6 * DAY; /* a day left, to the second */
    assert_true(leaf(t, "a"));
    assert_int_equal(counter_get(&n->leaves_minted), 1);
    t->wall += 1;
    assert_true(leaf(t, "a"));
    assert_int_equal(counter_get(&n->leaves_minted), 2);
    assert_int_equal(lru_count(t->leaves), 1);
    /* No token: a stale leaf serves on, a dead one does not. */
    t->wall += 6 * DAY + 1;
    assert_true(leaf(t, "a"));
    t->wall += DAY;
    assert_false(leaf(t, "a"));
    assert_int_equal(counter_get(&n->leaves_minted), 2);
    assert_int_equal(counter_get(&n->mints_limited), 2);
    tls_leaf_tick(t, 1);
    assert_int_equal(lru_count(t->leaves), 0);
    tls_delete(t);
}

static void bucket(void **state)
{
    struct tls *t = worker(64, 4);
    uint64_t now = 5 * US_PER_S;
    struct link l;

    (void)state;
    tls_tick(t, now);
    assert_true(leaf(t, "a") && leaf(t, "b") && leaf(t, "c") && leaf(t, "d"));
    assert_false(leaf(t, "e"));
    assert_true(leaf(t, "a")); /* what is kept costs nothing */
    link_server(&l, t, w.caller, "e.example");
    link_must_fail(&l, TLS_ERR_MINT_LIMIT);
    assert_int_equal(link_alert(&l), SSL_AD_INTERNAL_ERROR);
    link_free(&l);
    tls_tick(t, now += US_PER_S / 4 - 1);
    assert_false(leaf(t, "e"));
    tls_tick(t, now += 1);
    assert_true(leaf(t, "e"));
    assert_false(leaf(t, "f"));
    tls_tick(t, now -= US_PER_S); /* time never goes back */
    assert_false(leaf(t, "f"));
    tls_tick(t, now += 100 * US_PER_S); /* a second's worth at the most */
    assert_true(leaf(t, "f") && leaf(t, "g") && leaf(t, "h") && leaf(t, "i"));
    assert_false(leaf(t, "j"));
    assert_int_equal(counter_get(&tls_counters(t)->mints_limited), 6);
    tls_delete(t);
}

/* ---- ticket keys */

static void ticket_keys_turn(void **state)
{
    struct tls *a = worker(4, 4), *b = worker(4, 4);
    struct tls_ticket_key first = a->tickets.current, zero = {{0}, {0}, {0}};

    (void)state;
    assert_memory_equal(&a->tickets.current, &b->tickets.current, sizeof(first));
    assert_memory_not_equal(&first, &zero, sizeof(first));
    assert_memory_not_equal(&first, &a->tickets.previous, sizeof(first));
    assert_memory_not_equal(first.cipher, first.mac, sizeof(first.mac));
    assert_true(tls_tickets_turn(a, a->wall + TLS_TICKET_EPOCH_S));
    assert_memory_equal(&a->tickets.previous, &first, sizeof(first));
    assert_memory_not_equal(&a->tickets.current, &first, sizeof(first));
    assert_true(tls_tickets_turn(a, 0)); /* a clock that was never set */
    assert_memory_not_equal(&a->tickets.current, &zero, sizeof(first));
    tls_delete(a);
    tls_delete(b);
}

/* A ticket opens with the next epoch's worker and is renewed, and not with the one after. */
static void old_tickets(void **state)
{
    struct tls *t = worker(4, 4);
    SSL_SESSION *session;
    struct link l;
    char c[8];

    (void)state;
    link_server(&l, t, w.caller, "a.example");
    link_must_handshake(&l);
    link_must_say(&l, "x", "y");
    session = SSL_get1_session(l.peer.ssl);
    link_free(&l);
    for (int turn = 0; turn < 3; turn++) {
        SSL_SESSION *copy = SSL_SESSION_dup(session);
        assert_true(tls_tickets_turn(t, t->wall + turn * TLS_TICKET_EPOCH_S));
        link_server(&l, t, w.caller, "a.example");
        SSL_set_session(l.peer.ssl, copy);
        link_must_handshake(&l);
        assert_int_equal(tls_resumed(l.s), turn < 2);
        assert_true(SSL_read(l.peer.ssl, c, sizeof(c)) <= 0);
        link_free(&l);
        SSL_SESSION_free(copy);
    }
    SSL_SESSION_free(session);
    tls_delete(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contents),
        cmocka_unit_test(serials_differ),
        cmocka_unit_test(near_the_end_of_the_ca),
        cmocka_unit_test(chain),
        cmocka_unit_test(cache),
        cmocka_unit_test(renewal),
        cmocka_unit_test(bucket),
        cmocka_unit_test(ticket_keys_turn),
        cmocka_unit_test(old_tickets),
    };
    return cmocka_run_group_tests(tests, world_open, world_close);
}
