#include "world.h"

struct world w;

int world_open(void **state)
{
    struct tls_shared_config c;

    (void)state;
    w.ca = pki_make(&(struct pki_spec){.cn = "Corp CA", PKI_CA});
    w.vendor_ca = pki_make(&(struct pki_spec){.cn = "Vendor CA", PKI_CA});
    c.ca_certificate = pki_write_certs("ca.pem", (const struct pki *[]){&w.ca, NULL});
    c.ca_key = pki_write_key("ca.key", &w.ca, 0600);
    c.vendor_trust = pki_write_certs("vendors.pem", (const struct pki *[]){&w.vendor_ca, NULL});
    w.shared = must_load(&c);
    w.t = tls_new(w.shared, &(struct tls_limits){.leaf_cache = 64, .mints_a_second = 100000});
    assert_non_null(w.t);
    must_queue_empty();
    w.caller = peer_client_ctx(&w.ca);
    return 0;
}

int world_close(void **state)
{
    (void)state;
    SSL_CTX_free(w.caller);
    tls_delete(w.t);
    tls_shared_free(w.shared);
    pki_free(&w.ca);
    pki_free(&w.vendor_ca);
    pki_cleanup();
    return 0;
}

uint64_t count_errors(enum tls_error e)
{
    return counter_get(&tls_counters(w.t)->errors[e]);
}
