/* Anchors are read once, whole, at start-up: OpenSSL's own directory look-up would open files in
 * the middle of a handshake. */
#include "tls_internal.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

/* Links made by `openssl rehash`: eight hex digits, a dot, a number. */
static bool is_hash_name(const char *name)
{
    size_t n = strspn(name, "0123456789abcdef");

    return n == 8 && name[8] == '.' && name[9] &&
           strspn(name + 9, "0123456789") == strlen(name + 9);
}

static int add_directory(const char *path, STACK_OF(X509) * to, struct diags *d)
{
    DIR *dir = opendir(path);
    struct dirent *e;
    int read = 0;

    if (!dir)
        return 0;
    while ((e = readdir(dir))) {
        char file[4096];
        int n = snprintf(file, sizeof(file), "%s/%s", path, e->d_name);

        if (is_hash_name(e->d_name) && n > 0 && (size_t)n < sizeof(file) && access(file, R_OK) == 0)
            read += tls_pem_certificates(file, to, d);
    }
    closedir(dir);
    return read;
}

static const char *setting(const char *env, const char *otherwise)
{
    const char *set = getenv(env);

    return set && *set ? set : otherwise;
}

/* Where OpenSSL looks, with its two environment variables. */
static bool add_system(STACK_OF(X509) * to, struct diags *d)
{
    const char *file = setting(X509_get_default_cert_file_env(), X509_get_default_cert_file());
    const char *dirs = setting(X509_get_default_cert_dir_env(), X509_get_default_cert_dir());
    struct span rest = span_cstr(dirs);
    size_t errors = d->errors;
    int read = 0;

    if (access(file, R_OK) == 0)
        read += tls_pem_certificates(file, to, d);
    while (rest.p) {
        struct span one = span_cut(&rest, ':');
        char dir[4096];

        if (one.n && one.n < sizeof(dir)) {
            memcpy(dir, one.p, one.n);
            dir[one.n] = '\0';
            read += add_directory(dir, to, d);
        }
    }
    if (!read)
        diag_error(d, place_of_file(file),
                   "no certificate of the system's trust store here nor in %s "
                   "(install ca-certificates or name a bundle)",
                   dirs);
    return d->errors == errors;
}

STACK_OF(X509) * tls_trust_load(const char *which, struct diags *d)
{
    STACK_OF(X509) *anchors = sk_X509_new_null();
    bool ok = false;

    if (anchors)
        ok = strcmp(which, "system") == 0 ? add_system(anchors, d)
                                          : tls_pem_certificates(which, anchors, d);
    if (ok)
        return anchors;
    sk_X509_pop_free(anchors, X509_free);
    return NULL;
}

bool tls_trust_add(struct tls *t, STACK_OF(X509) * from, X509_STORE *to)
{
    STACK_OF(X509) *anchors = tls_copy_chain(from, t->lib);
    bool ok = anchors != NULL;

    for (int i = 0; ok && i < sk_X509_num(anchors); i++)
        ok = X509_STORE_add_cert(to, sk_X509_value(anchors, i)) == 1;
    sk_X509_pop_free(anchors, X509_free);
    /* Whatever the operator has put in the bundle is an anchor, root or not (RFC 5280 6.1.1). */
    return ok && X509_STORE_set_flags(to, X509_V_FLAG_PARTIAL_CHAIN) == 1;
}
