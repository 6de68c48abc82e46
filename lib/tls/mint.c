#include "tls_internal.h"

#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <time.h>

#define LEAF_BACKDATE_S 3600 /* callers' clocks may be slow */
#define LEAF_LIFE_S     (7 * 86400)
#define SERIAL_BYTES    16
#define CN_MAX          64 /* ub-common-name, RFC 5280 appendix A.1 */

/* ---- set-up: what all leaves share */

static X509_EXTENSION *make_constraints(void)
{
    BASIC_CONSTRAINTS *b = BASIC_CONSTRAINTS_new(); /* CA:FALSE */
    X509_EXTENSION *e = b ? X509V3_EXT_i2d(NID_basic_constraints, 1, b) : NULL;

    BASIC_CONSTRAINTS_free(b);
    return e;
}

/* digitalSignature alone: key exchange is always ephemeral. */
static X509_EXTENSION *make_usage(void)
{
    ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
    X509_EXTENSION *e = NULL;

    if (bits && ASN1_BIT_STRING_set_bit(bits, 0, 1))
        e = X509V3_EXT_i2d(NID_key_usage, 1, bits);
    ASN1_BIT_STRING_free(bits);
    return e;
}

static X509_EXTENSION *make_purpose(void)
{
    EXTENDED_KEY_USAGE *list = EXTENDED_KEY_USAGE_new();
    X509_EXTENSION *e = NULL;

    if (list && sk_ASN1_OBJECT_push(list, OBJ_nid2obj(NID_server_auth)))
        e = X509V3_EXT_i2d(NID_ext_key_usage, 0, list);
    EXTENDED_KEY_USAGE_free(list);
    return e;
}

/* The CA's own key identifier; without one there is nothing that a caller could match. */
static bool make_aki(struct tls_mint *m)
{
    const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(m->ca);
    AUTHORITY_KEYID *a;

    if (!id)
        return true;
    a = AUTHORITY_KEYID_new();
    if (a && (a->keyid = ASN1_OCTET_STRING_dup(id)))
        m->aki = X509V3_EXT_i2d(NID_authority_key_identifier, 0, a);
    AUTHORITY_KEYID_free(a);
    return m->aki != NULL;
}

/* RFC 7093 2, method 1: the leftmost 160 bits of SHA-256 over the public key. */
static X509_EXTENSION *make_ski(const struct tls_mint *m, EVP_PKEY *key)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    X509 *x = X509_new_ex(m->lib, NULL);
    ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
    X509_EXTENSION *e = NULL;
    unsigned n = 0;

    if (x && id && X509_set_pubkey(x, key) && X509_pubkey_digest(x, m->sha256, hash, &n) &&
        n >= 20 && ASN1_OCTET_STRING_set(id, hash, 20))
        e = X509V3_EXT_i2d(NID_subject_key_identifier, 0, id);
    ASN1_OCTET_STRING_free(id);
    X509_free(x);
    return e;
}

/* RSA takes a tenth of a second or more: never on the road. */
static bool make_keys(struct tls_mint *m)
{
    m->key[TLS_LEAF_ECDSA] = EVP_PKEY_Q_keygen(m->lib, NULL, "EC", "P-256");
    m->key[TLS_LEAF_RSA] = EVP_PKEY_Q_keygen(m->lib, NULL, "RSA", (size_t)2048);
    for (int i = 0; i < TLS_LEAF_TYPES; i++)
        if (!m->key[i] || !(m->ski[i] = make_ski(m, m->key[i])))
            return false;
    return true;
}

bool tls_mint_init(struct tls_mint *m, const struct tls_shared *s, OSSL_LIB_CTX *lib,
                   const EVP_MD *sha256)
{
    *m = (struct tls_mint){.lib = lib, .sha256 = sha256};
    m->ca = tls_copy_x509(s->ca, lib);
    m->ca_key = tls_copy_key(s->ca_key, lib);
    m->chain = tls_copy_chain(s->chain, lib);
    if (!m->ca || !m->ca_key || !m->chain)
        return false;
    m->ca_from = tls_asn1_seconds(X509_get0_notBefore(m->ca));
    m->ca_until = tls_asn1_seconds(X509_get0_notAfter(m->ca));
    m->constraints = make_constraints();
    m->usage = make_usage();
    m->purpose = make_purpose();
    return m->constraints && m->usage && m->purpose && make_aki(m) && make_keys(m);
}

void tls_mint_free(struct tls_mint *m)
{
    X509_free(m->ca);
    EVP_PKEY_free(m->ca_key);
    sk_X509_pop_free(m->chain, X509_free);
    for (int i = 0; i < TLS_LEAF_TYPES; i++) {
        EVP_PKEY_free(m->key[i]);
        X509_EXTENSION_free(m->ski[i]);
    }
    X509_EXTENSION_free(m->constraints);
    X509_EXTENSION_free(m->usage);
    X509_EXTENSION_free(m->purpose);
    X509_EXTENSION_free(m->aki);
    *m = (struct tls_mint){.lib = NULL};
}

/* ---- one leaf */

static bool set_serial(const struct tls_mint *m, X509 *x)
{
    unsigned char bytes[SERIAL_BYTES];
    BIGNUM *n;
    bool ok;

    if (RAND_bytes_ex(m->lib, bytes, sizeof(bytes), 0) != 1)
        return false;
    n = BN_bin2bn(bytes, sizeof(bytes), NULL);
    ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
    BN_free(n);
    return ok;
}

/* Inside the CA's own validity, as path validation of some callers demands. */
static bool set_dates(const struct tls_mint *m, X509 *x, int64_t now, int64_t *until)
{
    int64_t from = now - LEAF_BACKDATE_S;

    *until = now + LEAF_LIFE_S;
    if (from < m->ca_from)
        from = m->ca_from;
    if (*until > m->ca_until)
        *until = m->ca_until;
    return from <= now && now < *until && ASN1_TIME_set(X509_getm_notBefore(x), (time_t)from) &&
           ASN1_TIME_set(X509_getm_notAfter(x), (time_t)*until);
}

/* A name that does not fit a CN leaves the subject empty, and then the SAN must be critical
 * (RFC 5280 4.2.1.6). */
static bool set_name(X509 *x, struct span name)
{
    bool fits = name.n <= CN_MAX;
    GENERAL_NAMES *list = GENERAL_NAMES_new();
    GENERAL_NAME *dns = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    bool ok = list && dns && text && ASN1_STRING_set(text, name.p, (int)name.n);

    if (ok) {
        GENERAL_NAME_set0_value(dns, GEN_DNS, text);
        text = NULL;
        ok = sk_GENERAL_NAME_push(list, dns) > 0;
        dns = ok ? NULL : dns;
    }
    ok = ok && X509_add1_ext_i2d(x, NID_subject_alt_name, list, !fits, X509V3_ADD_APPEND) == 1;
    if (ok && fits)
        ok = X509_NAME_add_entry_by_NID(X509_get_subject_name(x), NID_commonName, MBSTRING_ASC,
                                        (const unsigned char *)name.p, (int)name.n, -1, 0) == 1;
    ASN1_IA5STRING_free(text);
    GENERAL_NAME_free(dns);
    GENERAL_NAMES_free(list);
    return ok;
}

static bool set_extensions(const struct tls_mint *m, X509 *x, enum tls_leaf_type type)
{
    return X509_add_ext(x, m->constraints, -1) && X509_add_ext(x, m->usage, -1) &&
           X509_add_ext(x, m->purpose, -1) && X509_add_ext(x, m->ski[type], -1) &&
           (!m->aki || X509_add_ext(x, m->aki, -1));
}

X509 *tls_mint_leaf(const struct tls_mint *m, enum tls_leaf_type type, struct span name,
                    int64_t now, int64_t *until)
{
    X509 *x = X509_new_ex(m->lib, NULL);

    if (x && X509_set_version(x, X509_VERSION_3) && set_serial(m, x) &&
        X509_set_issuer_name(x, X509_get_subject_name(m->ca)) && set_dates(m, x, now, until) &&
        X509_set_pubkey(x, m->key[type]) && set_name(x, name) && set_extensions(m, x, type) &&
        X509_sign(x, m->ca_key, m->sha256) > 0)
        return x;
    X509_free(x);
    return NULL;
}
