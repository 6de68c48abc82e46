/* From the certificates that a caller has shown to a caller (RFC 5280 6). TLS has proved that it
 * holds the key; here it is asked who vouches for that, and under which name. */
#include "identity_internal.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#define CHAIN_MOST 16 /* certificates shown */
#define NAMES_MOST 64 /* of one kind that are looked at */

struct shown {
    X509 *leaf;
    STACK_OF(X509) * above;
};

static void shown_free(struct shown *s)
{
    X509_free(s->leaf);
    sk_X509_pop_free(s->above, X509_free);
}

static bool shown_read(struct span der, struct shown *s)
{
    const unsigned char *p = (const unsigned char *)der.p, *end = p + der.n;

    *s = (struct shown){d2i_X509(NULL, &p, (long)der.n), sk_X509_new_null()};
    while (s->leaf && s->above && p < end) {
        X509 *x = sk_X509_num(s->above) < CHAIN_MOST ? d2i_X509(NULL, &p, end - p) : NULL;

        if (!x || !sk_X509_push(s->above, x)) {
            X509_free(x);
            return false;
        }
    }
    return s->leaf && s->above;
}

/* ---- is it good */

static enum identity_cause cause_of(int error)
{
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return IDENTITY_CERTIFICATE_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return IDENTITY_CERTIFICATE_NOT_YET;
    case X509_V_ERR_CERT_REVOKED:
        return IDENTITY_CERTIFICATE_REVOKED;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
    case X509_V_ERR_CRL_PATH_VALIDATION_ERROR:
    case X509_V_ERR_KEYUSAGE_NO_CRL_SIGN:
    case X509_V_ERR_DIFFERENT_CRL_SCOPE:
    case X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION:
        return IDENTITY_CERTIFICATE_CRL;
    case X509_V_ERR_INVALID_PURPOSE:
        return IDENTITY_CERTIFICATE_PURPOSE;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
        return IDENTITY_CERTIFICATE_UNTRUSTED;
    default:
        return IDENTITY_CERTIFICATE_INVALID;
    }
}

/* Until when nothing of what was found can have changed by itself. */
static uint64_t good_until(const struct identity_issuer *i, STACK_OF(X509) * chain, uint64_t now_ns)
{
    int64_t now = (int64_t)(now_ns / NS_IN_S), until = INT64_MAX;

    for (int k = 0; k < sk_X509_num(chain); k++) {
        int64_t one = identity_asn1_seconds(X509_get0_notAfter(sk_X509_value(chain, k)));

        if (one < until)
            until = one;
    }
    /* A list that is out of date already did not matter to this chain. */
    if (i->crl_until > now && i->crl_until < until)
        until = i->crl_until;
    return until <= now ? now_ns : ((uint64_t)until + 1) * NS_IN_S;
}

static enum identity_cause verify(const struct identity_issuer *i, struct shown *s, uint64_t now_ns,
                                  uint64_t *until_ns)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    enum identity_cause why = IDENTITY_CERTIFICATE_INVALID;

    if (ctx && X509_STORE_CTX_init(ctx, i->store, s->leaf, s->above)) {
        X509_STORE_CTX_set_time(ctx, 0, (time_t)(now_ns / NS_IN_S));
        if (X509_verify_cert(ctx) == 1) {
            *until_ns = good_until(i, X509_STORE_CTX_get0_chain(ctx), now_ns);
            why = IDENTITY_NONE;
        } else {
            why = cause_of(X509_STORE_CTX_get_error(ctx));
        }
    }
    X509_STORE_CTX_free(ctx);
    return why;
}

/* The first CA that vouches for it. If none does, the cause is that of one which issued it. */
static const struct identity_issuer *voucher(const struct identity_set *set, struct shown *s,
                                             uint64_t now_ns, uint64_t *until_ns,
                                             enum identity_cause *why)
{
    *why = IDENTITY_CERTIFICATE_UNTRUSTED;
    for (unsigned k = 0; k < set->nissuers; k++) {
        const struct identity_issuer *i = &set->issuers[k];
        enum identity_cause now;

        if (!i->rule->certificates)
            continue;
        now = verify(i, s, now_ns, until_ns);
        if (now == IDENTITY_NONE)
            return i;
        if (*why == IDENTITY_CERTIFICATE_UNTRUSTED)
            *why = now;
    }
    return NULL;
}

/* ---- under which name */

struct names {
    struct span all[NAMES_MOST];
    unsigned n;
};

/* The DER says IA5String, and OpenSSL does not look: only ASCII is taken, and a name that two
 * readers could read differently is none. */
static bool is_plain(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= 0x20 || (unsigned char)s.p[i] >= 0x7f)
            return false;
    return identity_is_name(s);
}

static bool alt_names(X509 *x, int type, struct arena *mem, struct names *out)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    bool ok = true;

    out->n = 0;
    for (int i = 0; ok && i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(all, i);
        struct span s;

        if (g->type != type)
            continue;
        s = span_of(ASN1_STRING_get0_data(g->d.ia5), (size_t)ASN1_STRING_length(g->d.ia5));
        ok = is_plain(s) && out->n < NAMES_MOST;
        if (ok)
            out->all[out->n++] = arena_span(mem, s);
    }
    GENERAL_NAMES_free(all);
    return ok;
}

/* RFC 2253 escapes whatever is not printable ASCII. */
static struct span name_text(const X509_NAME *name, struct arena *mem)
{
    BIO *b = BIO_new(BIO_s_mem());
    struct span s = SPAN_NONE;
    char *p;

    if (b && X509_NAME_entry_count(name) && X509_NAME_print_ex(b, name, 0, XN_FLAG_RFC2253) >= 0) {
        long n = BIO_get_mem_data(b, &p);
        s = arena_span(mem, span_of(p, (size_t)n));
    }
    BIO_free(b);
    return s;
}

static void subject_parts(X509 *x, int nid, struct arena *mem, struct names *out)
{
    const X509_NAME *name = X509_get_subject_name(x);
    int at = -1;

    out->n = 0;
    while (out->n < NAMES_MOST && (at = X509_NAME_get_index_by_NID(name, nid, at)) >= 0) {
        unsigned char *utf8;
        int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));

        if (n < 0)
            continue;
        if (identity_is_name(span_of(utf8, (size_t)n)))
            out->all[out->n++] = arena_span(mem, span_of(utf8, (size_t)n));
        OPENSSL_free(utf8);
    }
}

static struct span hex(struct arena *mem, const unsigned char *p, size_t n)
{
    char *to = arena_alloc(mem, 2 * n + 1);
    struct outbuf o = outbuf_on(to, 2 * n);

    outbuf_hex(&o, p, n);
    return outbuf_span(&o);
}

static struct span fingerprint(X509 *x, struct arena *mem)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    return X509_digest(x, EVP_sha256(), sum, &n) == 1 ? hex(mem, sum, n) : SPAN_NONE;
}

static struct span serial(X509 *x, struct arena *mem)
{
    const ASN1_INTEGER *i = X509_get0_serialNumber(x);

    return hex(mem, ASN1_STRING_get0_data(i), (size_t)ASN1_STRING_length(i));
}

/* What a certificate says, for names and for claims. */
struct said {
    struct names uri, dns, email, cn, o, ou;
    struct span subject, issuer, serial, sha256;
};

static bool said_read(X509 *x, struct arena *mem, struct said *s)
{
    subject_parts(x, NID_commonName, mem, &s->cn);
    subject_parts(x, NID_organizationName, mem, &s->o);
    subject_parts(x, NID_organizationalUnitName, mem, &s->ou);
    s->subject = name_text(X509_get_subject_name(x), mem);
    s->issuer = name_text(X509_get_issuer_name(x), mem);
    s->serial = serial(x, mem);
    s->sha256 = fingerprint(x, mem);
    return alt_names(x, GEN_URI, mem, &s->uri) && alt_names(x, GEN_DNS, mem, &s->dns) &&
           alt_names(x, GEN_EMAIL, mem, &s->email);
}

/* Exactly one: which of several were the caller nobody could say. An X.509-SVID has one URI. */
static bool name_caller(enum rules_cert_id which, const struct said *s, struct span *id)
{
    const struct names *from = which == RULES_CERT_SPIFFE ? &s->uri
                               : which == RULES_CERT_DNS  ? &s->dns
                                                          : &s->email;

    *id = which == RULES_CERT_SUBJECT ? s->subject : from->n == 1 ? from->all[0] : SPAN_NONE;
    if (which == RULES_CERT_SPIFFE &&
        (!span_starts(*id, SPAN_LIT("spiffe://")) || id->n == sizeof("spiffe://") - 1))
        return false;
    return identity_is_name(*id);
}

/* ---- claims: the certificate as JSON, for the conditions of groups and rules */

static void put_list(struct outbuf *o, const char *key, const struct names *names)
{
    outbuf_printf(o, ",\"%s\":[", key);
    for (unsigned i = 0; i < names->n; i++) {
        if (i)
            outbuf_char(o, ',');
        outbuf_json(o, names->all[i]);
    }
    outbuf_char(o, ']');
}

static void put_text(struct outbuf *o, const char *key, struct span text)
{
    outbuf_printf(o, ",\"%s\":", key);
    outbuf_json(o, text);
}

#define CLAIMS_MOST (64u << 10)

static struct span claims_of(const struct said *s, struct arena *mem)
{
    struct outbuf o = outbuf_on(arena_alloc(mem, CLAIMS_MOST), CLAIMS_MOST);

    outbuf_lit(&o, "{\"sha256\":");
    outbuf_json(&o, s->sha256);
    put_text(&o, "serial", s->serial);
    put_text(&o, "subject", s->subject);
    put_text(&o, "issuer", s->issuer);
    if (s->uri.n == 1)
        put_text(&o, "spiffe", s->uri.all[0]);
    put_list(&o, "uri", &s->uri);
    put_list(&o, "dns", &s->dns);
    put_list(&o, "email", &s->email);
    put_list(&o, "cn", &s->cn);
    put_list(&o, "o", &s->o);
    put_list(&o, "ou", &s->ou);
    outbuf_char(&o, '}');
    return o.full ? SPAN_NONE : outbuf_span(&o);
}

static enum identity_cause describe(const struct rules_issuer *r, X509 *leaf, struct arena *mem,
                                    struct identity *out)
{
    struct said *s = arena_new(mem, struct said);
    struct span claims;

    if (!said_read(leaf, mem, s))
        return IDENTITY_CERTIFICATE_INVALID;
    claims = claims_of(s, mem);
    if (claims.n == 0)
        return IDENTITY_CERTIFICATE_INVALID;
    *out = (struct identity){
        .subject = s->subject,
        .token_id = s->sha256,
        .caller = {.issuer = r->name, .method = SPAN_LIT("mtls"), .claims = claims},
    };
    if (!name_caller(r->cert_id, s, &out->caller.id))
        return IDENTITY_CERTIFICATE_UNNAMED;
    return identity_add_groups(&out->caller, r, claims, mem) ? IDENTITY_NONE
                                                             : IDENTITY_TOO_MANY_GROUPS;
}

enum identity_cause identity_verify_certificates(const struct identity_set *s, struct span der,
                                                 uint64_t now_ns, struct arena *mem,
                                                 struct identity *out)
{
    enum identity_cause why = IDENTITY_CERTIFICATE_INVALID;
    const struct identity_issuer *i;
    struct shown shown;
    uint64_t until = 0;

    if (shown_read(der, &shown)) {
        i = voucher(s, &shown, now_ns, &until, &why);
        if (i)
            why = describe(i->rule, shown.leaf, mem, out);
        if (why == IDENTITY_NONE)
            out->expires_ns = until;
    }
    shown_free(&shown);
    ERR_clear_error();
    return why;
}
