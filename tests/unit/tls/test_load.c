/* tls_shared_load: what it takes, and what it says about what it does not take. */
#include "peer.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct pki root, middle, issuing, leaf, rsa_root;

static int make_all(void **state)
{
    (void)state;
    root = pki_make(&(struct pki_spec){.cn = "Root", PKI_CA});
    middle = pki_make(&(struct pki_spec){.cn = "Middle", .issuer = &root, PKI_CA});
    issuing = pki_make(&(struct pki_spec){.cn = "Issuing", .issuer = &middle, PKI_CA});
    rsa_root = pki_make(&(struct pki_spec){.cn = "RSA Root", .rsa = true, PKI_CA});
    leaf = pki_make(&(struct pki_spec){.cn = "leaf", .issuer = &root, .san = "DNS:leaf"});
    pki_write_certs("root.pem", (const struct pki *[]){&root, NULL});
    pki_write_key("root.key", &root, 0600);
    return 0;
}

static int free_all(void **state)
{
    (void)state;
    pki_free(&root);
    pki_free(&middle);
    pki_free(&issuing);
    pki_free(&leaf);
    pki_free(&rsa_root);
    pki_cleanup();
    return 0;
}

static struct tls_shared_config good(void)
{
    return (struct tls_shared_config){.ca_certificate = pki_path("root.pem"),
                                      .ca_key = pki_path("root.key"),
                                      .vendor_trust = pki_path("root.pem")};
}

/* Loading must fail with a complaint about `file` that has `words` in it. */
static void must_refuse(struct tls_shared_config c, const char *file, const char *words)
{
    struct diags d;
    bool said = false;

    diags_init(&d);
    assert_null(tls_shared_load(&c, &d));
    must_queue_empty();
    for (size_t i = 0; i < d.count; i++)
        said = said || (strcmp(d.items[i].where.file, file) == 0 &&
                        d.items[i].level == DIAG_ERROR && strstr(d.items[i].message, words));
    if (!said) {
        diags_print(&d, stderr, false);
        fail_msg("expected a complaint about %s: \"%s\"", file, words);
    }
    assert_true(d.errors > 0);
    diags_free(&d);
}

static void takes_good_files(void **state)
{
    struct tls_shared_config c = good();

    (void)state;
    tls_shared_free(must_load(&c));
    pki_write_certs("rsa.pem", (const struct pki *[]){&rsa_root, NULL});
    c.ca_certificate = pki_path("rsa.pem");
    c.ca_key = pki_write_key("rsa.key", &rsa_root, 0400);
    tls_shared_free(must_load(&c));
    c.ca_certificate =
        pki_write_certs("chain.pem", (const struct pki *[]){&issuing, &middle, &root, NULL});
    c.ca_key = pki_write_key("issuing.key", &issuing, 0600);
    tls_shared_free(must_load(&c));
    tls_shared_free(NULL);
}

static void takes_the_system_store(void **state)
{
    struct tls_shared_config c = good();

    (void)state;
    c.vendor_trust = "system";
    setenv("SSL_CERT_FILE", pki_path("root.pem"), 1);
    setenv("SSL_CERT_DIR", "/nonexistent", 1);
    tls_shared_free(must_load(&c));
    setenv("SSL_CERT_FILE", "/nonexistent", 1);
    must_refuse(c, "/nonexistent", "trust store");
    char hashed[64];
    snprintf(hashed, sizeof(hashed), "0123abcd.0");
    pki_write_certs(hashed, (const struct pki *[]){&root, NULL});
    char dirs[256];
    snprintf(dirs, sizeof(dirs), "/nonexistent:%.*s",
             (int)(strrchr(pki_path(hashed), '/') - pki_path(hashed)), pki_path(hashed));
    setenv("SSL_CERT_DIR", dirs, 1);
    tls_shared_free(must_load(&c));
    pki_write_text(hashed, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0644);
    must_refuse(c, pki_path(hashed), "certificate 1 cannot be read");
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
}

static void refuses_what_is_no_ca(void **state)
{
    struct tls_shared_config c = good();
    struct pki no_sign, client_ca;

    (void)state;
    c.ca_certificate = pki_write_certs("leaf.pem", (const struct pki *[]){&leaf, NULL});
    c.ca_key = pki_write_key("leaf.key", &leaf, 0600);
    must_refuse(c, c.ca_certificate, "not a CA");
    no_sign = pki_make(&(struct pki_spec){
        .cn = "No", .constraints = "critical,CA:TRUE", .usage = "critical,cRLSign"});
    c.ca_certificate = pki_write_certs("nosign.pem", (const struct pki *[]){&no_sign, NULL});
    c.ca_key = pki_write_key("nosign.key", &no_sign, 0600);
    must_refuse(c, c.ca_certificate, "keyCertSign");
    client_ca = pki_make(&(struct pki_spec){.cn = "Clients", PKI_CA, .purpose = "clientAuth"});
    c.ca_certificate = pki_write_certs("clients.pem", (const struct pki *[]){&client_ca, NULL});
    c.ca_key = pki_write_key("clients.key", &client_ca, 0600);
    must_refuse(c, c.ca_certificate, "serverAuth");
    pki_free(&no_sign);
    pki_free(&client_ca);
}

static void refuses_bad_dates(void **state)
{
    struct tls_shared_config c = good();
    struct pki old, young;

    (void)state;
    old = pki_make(&(struct pki_spec){.cn = "Old", PKI_CA, .from_s = -86400, .until_s = -60});
    c.ca_certificate = pki_write_certs("old.pem", (const struct pki *[]){&old, NULL});
    c.ca_key = pki_write_key("old.key", &old, 0600);
    must_refuse(c, c.ca_certificate, "expired");
    young = pki_make(&(struct pki_spec){.cn = "Young", PKI_CA, .from_s = 3600, .until_s = 86400});
    c.ca_certificate = pki_write_certs("young.pem", (const struct pki *[]){&young, NULL});
    c.ca_key = pki_write_key("young.key", &young, 0600);
    must_refuse(c, c.ca_certificate, "not valid yet");
    pki_free(&old);
    pki_free(&young);
}

static void refuses_bad_keys(void **state)
{
    struct tls_shared_config c = good();
    struct pki ca =
        pki_make(&(struct pki_spec){.cn = "Weak", PKI_CA, .rsa = true, .rsa_bits = 1024});

    (void)state;
    c.ca_key = pki_write_key("other.key", &leaf, 0600);
    must_refuse(c, c.ca_key, "not the key of the first certificate");
    c.ca_key = pki_write_key("open.key", &root, 0640);
    must_refuse(c, c.ca_key, "chmod 600");
    c.ca_key = pki_write_key("open.key", &root, 0604);
    must_refuse(c, c.ca_key, "chmod 600");
    c.ca_key = pki_write_text("not.key", "hello\n", 0600);
    must_refuse(c, c.ca_key, "no private key");
    c.ca_key = "/nonexistent/key";
    must_refuse(c, c.ca_key, "cannot be opened");
    c.ca_certificate = pki_write_certs("weak.pem", (const struct pki *[]){&ca, NULL});
    c.ca_key = pki_write_key("weak.key", &ca, 0600);
    must_refuse(c, c.ca_key, "too weak");
    pki_free(&ca);
}

/* It must neither ask for a passphrase on the terminal nor wait for one. */
static void refuses_encrypted_keys(void **state)
{
    struct tls_shared_config c = good();
    char command[512];

    (void)state;
    c.ca_key = pki_path("locked.key");
    snprintf(command, sizeof(command),
             "openssl pkcs8 -topk8 -in %s -out %s -passout pass:secret && chmod 600 %s",
             pki_path("root.key"), c.ca_key, c.ca_key);
    assert_int_equal(system(command), 0);
    must_refuse(c, c.ca_key, "passphrase");
}

static void refuses_bad_files(void **state)
{
    struct tls_shared_config c = good();

    (void)state;
    c.ca_certificate = pki_write_text("empty.pem", "", 0644);
    must_refuse(c, c.ca_certificate, "empty");
    c.ca_certificate = "/tmp";
    must_refuse(c, c.ca_certificate, "regular file");
    c = good();
    c.vendor_trust = pki_write_text("none.pem", "no certificate\n", 0644);
    must_refuse(c, c.vendor_trust, "no PEM certificate");
    c.vendor_trust = pki_write_text(
        "half.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", 0644);
    must_refuse(c, c.vendor_trust, "certificate 1 cannot be read");
    c.vendor_trust = "/nonexistent/bundle";
    must_refuse(c, c.vendor_trust, "cannot be opened");
}

static void refuses_a_chain_out_of_order(void **state)
{
    struct tls_shared_config c = good();

    (void)state;
    c.ca_certificate = pki_write_certs("order.pem", (const struct pki *[]){&issuing, &root, NULL});
    c.ca_key = pki_write_key("issuing.key", &issuing, 0600);
    must_refuse(c, c.ca_certificate, "certificate 1 is not issued by certificate 2");
}

/* All that is wrong is said at once. */
static void says_everything(void **state)
{
    struct tls_shared_config c = {"/nonexistent/a", "/nonexistent/b", "/nonexistent/c"};
    struct diags d;

    (void)state;
    diags_init(&d);
    assert_null(tls_shared_load(&c, &d));
    assert_int_equal(d.errors, 3);
    diags_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_good_files),      cmocka_unit_test(takes_the_system_store),
        cmocka_unit_test(refuses_what_is_no_ca), cmocka_unit_test(refuses_bad_dates),
        cmocka_unit_test(refuses_bad_keys),      cmocka_unit_test(refuses_encrypted_keys),
        cmocka_unit_test(refuses_bad_files),     cmocka_unit_test(refuses_a_chain_out_of_order),
        cmocka_unit_test(says_everything),
    };
    return cmocka_run_group_tests(tests, make_all, free_all);
}
