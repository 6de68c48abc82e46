#include "tls_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (8u << 20) /* far over any CA bundle */

const char *tls_openssl_reason(void)
{
    unsigned long e = ERR_get_error();
    const char *text = e ? ERR_reason_error_string(e) : NULL;

    ERR_clear_error();
    return text ? text : "unknown error";
}

void tls_blob_wipe(struct tls_blob *b)
{
    if (b->p)
        OPENSSL_cleanse(b->p, b->n);
    free(b->p);
    *b = (struct tls_blob){NULL, 0};
}

static bool stat_ok(int fd, const char *path, bool secret, size_t *size, struct diags *d)
{
    struct place at = place_of_file(path);
    struct stat st;

    if (fstat(fd, &st) < 0)
        diag_error(d, at, "cannot be read: %s", strerror(errno));
    else if (!S_ISREG(st.st_mode))
        diag_error(d, at, "is not a regular file");
    else if (secret && (st.st_mode & 077))
        diag_error(d, at,
                   "holds a private key and is open to group or others (mode %03o): chmod 600",
                   (unsigned)(st.st_mode & 0777));
    else if (st.st_size == 0)
        diag_error(d, at, "is empty");
    else if (st.st_size > (off_t)FILE_MAX)
        diag_error(d, at, "is larger than %u MiB", FILE_MAX >> 20);
    else {
        *size = (size_t)st.st_size;
        return true;
    }
    return false;
}

/* Straight into one buffer that can be wiped: stdio would leave copies behind. */
static bool read_all(int fd, struct tls_blob *b)
{
    size_t have = 0;

    while (have < b->n) {
        ssize_t got = read(fd, b->p + have, b->n - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        have += (size_t)got;
    }
    return true;
}

bool tls_file_read(const char *path, bool secret, struct tls_blob *out, struct diags *d)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    bool ok = false;

    *out = (struct tls_blob){NULL, 0};
    if (fd < 0) {
        diag_error(d, place_of_file(path), "cannot be opened: %s", strerror(errno));
        return false;
    }
    if (!stat_ok(fd, path, secret, &out->n, d))
        goto out;
    out->p = malloc(out->n);
    ok = out->p && read_all(fd, out);
    if (!ok)
        diag_error(d, place_of_file(path), "cannot be read whole");
out:
    close(fd);
    if (!ok)
        tls_blob_wipe(out);
    return ok;
}

/* PEM readers stop with this reason at the end of a file. */
static bool at_end(void)
{
    unsigned long e = ERR_peek_last_error();

    return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

static bool read_certificates(BIO *in, const char *path, STACK_OF(X509) * to, struct diags *d)
{
    int before = sk_X509_num(to);
    X509 *x;

    while ((x = PEM_read_bio_X509(in, NULL, NULL, NULL))) {
        if (!sk_X509_push(to, x)) {
            X509_free(x);
            diag_error(d, place_of_file(path), "out of memory");
            return false;
        }
    }
    if (!at_end()) {
        diag_error(d, place_of_file(path), "certificate %d cannot be read: %s",
                   sk_X509_num(to) - before + 1, tls_openssl_reason());
        return false;
    }
    ERR_clear_error();
    if (sk_X509_num(to) == before) {
        diag_error(d, place_of_file(path), "holds no PEM certificate");
        return false;
    }
    return true;
}

bool tls_pem_certificates(const char *path, STACK_OF(X509) * to, struct diags *d)
{
    struct tls_blob b;
    bool ok = false;
    BIO *in;

    if (!tls_file_read(path, false, &b, d))
        return false;
    in = BIO_new_mem_buf(b.p, (int)b.n);
    if (in)
        ok = read_certificates(in, path, to, d);
    else
        diag_error(d, place_of_file(path), "out of memory");
    BIO_free(in);
    tls_blob_wipe(&b);
    return ok;
}

/* An encrypted key fails here; without a callback OpenSSL would ask on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf, (void)size, (void)writing, (void)arg;
    return -1;
}

EVP_PKEY *tls_pem_key(const char *path, struct diags *d)
{
    struct tls_blob b;
    EVP_PKEY *key = NULL;
    BIO *in;

    if (!tls_file_read(path, true, &b, d))
        return NULL;
    in = BIO_new_mem_buf(b.p, (int)b.n);
    if (in)
        key = PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL);
    if (!key)
        diag_error(d, place_of_file(path),
                   "holds no private key that can be read without a "
                   "passphrase (%s)",
                   tls_openssl_reason());
    BIO_free(in);
    tls_blob_wipe(&b);
    ERR_clear_error();
    return key;
}
