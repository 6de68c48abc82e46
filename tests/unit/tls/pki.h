/* Certificates for tests: made afresh each run, in memory and as files in a directory of their own.
 */
#ifndef TEST_PKI_H
#define TEST_PKI_H

#include <openssl/ssl.h>
#include <stdbool.h>

struct pki {
    X509 *x;
    EVP_PKEY *key;
};

struct pki_spec {
    const char *cn;           /* NULL: empty subject */
    const char *san;          /* as openssl.cnf: "DNS:a,DNS:b"; NULL: none */
    const struct pki *issuer; /* NULL: self-signed */
    const char *constraints;  /* basicConstraints; NULL: none */
    const char *usage;        /* keyUsage; NULL: none */
    const char *purpose;      /* extendedKeyUsage; NULL: none */
    bool rsa;                 /* else EC P-256 */
    unsigned rsa_bits;        /* 0: 2048 */
    long from_s, until_s;     /* from now; until 0: a year */
};

#define PKI_CA .constraints = "critical,CA:TRUE", .usage = "critical,keyCertSign,cRLSign"

struct pki pki_make(const struct pki_spec *s);
void pki_free(struct pki *p);

/* Files in the process's own temporary directory, removed by pki_cleanup. The names are static
 * strings good until then. */
const char *pki_path(const char *name);
const char *pki_write_text(const char *name, const char *text, int mode);
const char *pki_write_certs(const char *name, const struct pki *const *list); /* NULL-terminated */
const char *pki_write_key(const char *name, const struct pki *p, int mode);
void pki_cleanup(void);

#endif
