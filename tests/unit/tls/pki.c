#include "pki.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MUST(x)                                                                                    \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "pki: %s failed\n", #x);                                               \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#define PATHS_MAX 64

static char directory[64];
static char *paths[PATHS_MAX];
static unsigned npaths;

static void add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *e;

    if (!value)
        return;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    MUST(e && X509_add_ext(x, e, -1));
    X509_EXTENSION_free(e);
}

struct pki pki_make(const struct pki_spec *s)
{
    static long serial = 1000;
    struct pki p = {X509_new(), NULL};
    X509 *issuer = s->issuer ? s->issuer->x : p.x;
    X509_NAME *name = X509_get_subject_name(p.x);

    p.key = s->rsa ? EVP_RSA_gen(s->rsa_bits ? s->rsa_bits : 2048) : EVP_EC_gen("P-256");
    MUST(p.x && p.key);
    X509_set_version(p.x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(p.x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(p.x), s->from_s ? s->from_s : -7200);
    X509_gmtime_adj(X509_getm_notAfter(p.x), s->until_s ? s->until_s : 365L * 86400);
    if (s->cn)
        MUST(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)s->cn, -1,
                                        -1, 0));
    X509_set_issuer_name(p.x, X509_get_subject_name(issuer));
    X509_set_pubkey(p.x, p.key);
    add_ext(p.x, issuer, NID_basic_constraints, s->constraints);
    add_ext(p.x, issuer, NID_key_usage, s->usage);
    add_ext(p.x, issuer, NID_ext_key_usage, s->purpose);
    add_ext(p.x, issuer, NID_subject_alt_name, s->san);
    add_ext(p.x, issuer, NID_subject_key_identifier, "hash");
    if (s->issuer)
        add_ext(p.x, issuer, NID_authority_key_identifier, "keyid:always");
    MUST(X509_sign(p.x, s->issuer ? s->issuer->key : p.key, EVP_sha256()));
    return p;
}

void pki_free(struct pki *p)
{
    X509_free(p->x);
    EVP_PKEY_free(p->key);
    *p = (struct pki){NULL, NULL};
}

const char *pki_path(const char *name)
{
    char *path;

    if (!directory[0]) {
        strcpy(directory, "/tmp/turnpike-tls-XXXXXX");
        MUST(mkdtemp(directory));
    }
    MUST(npaths < PATHS_MAX && asprintf(&path, "%s/%s", directory, name) > 0);
    for (unsigned i = 0; i < npaths; i++) {
        if (strcmp(paths[i], path) == 0) {
            free(path);
            return paths[i];
        }
    }
    return paths[npaths++] = path;
}

static FILE *open_new(const char *path)
{
    FILE *f;

    unlink(path);
    f = fopen(path, "w");
    MUST(f);
    return f;
}

const char *pki_write_text(const char *name, const char *text, int mode)
{
    const char *path = pki_path(name);
    FILE *f = open_new(path);

    MUST(fputs(text, f) >= 0 && fclose(f) == 0 && chmod(path, (mode_t)mode) == 0);
    return path;
}

const char *pki_write_certs(const char *name, const struct pki *const *list)
{
    const char *path = pki_path(name);
    FILE *f = open_new(path);

    for (; *list; list++)
        MUST(PEM_write_X509(f, (*list)->x));
    MUST(fclose(f) == 0);
    return path;
}

const char *pki_write_key(const char *name, const struct pki *p, int mode)
{
    const char *path = pki_path(name);
    FILE *f = open_new(path);

    MUST(PEM_write_PrivateKey(f, p->key, NULL, NULL, 0, NULL, NULL));
    MUST(fclose(f) == 0 && chmod(path, (mode_t)mode) == 0);
    return path;
}

void pki_cleanup(void)
{
    for (unsigned i = 0; i < npaths; i++) {
        unlink(paths[i]);
        free(paths[i]);
    }
    npaths = 0;
    if (directory[0])
        rmdir(directory);
    directory[0] = '\0';
}
