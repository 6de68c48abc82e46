#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "control/control_internal.h"

/* ------------------------------------------------------------------ the listener */

static bool make_parent(const char *path)
{
    char parent[sizeof(((struct sockaddr_un *)0)->sun_path)];
    char *slash;

    snprintf(parent, sizeof(parent), "%s", path);
    slash = strrchr(parent, '/');
    if (!slash || slash == parent)
        return true;
    *slash = 0;
    return mkdir(parent, 0755) == 0 || errno == EEXIST;
}

/* A socket file whose owner has died may be replaced; one that answers may not. */
static bool in_use(const struct sockaddr_un *a)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answers = fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0;

    if (fd >= 0)
        close(fd);
    return answers;
}

static void give_to_group(const char *path)
{
    const struct group *g = getgrnam("turnpike");

    if (g && chown(path, (uid_t)-1, g->gr_gid) != 0)
        log_warn("control", "%s cannot be given to the group turnpike: %s", path, strerror(errno));
}

bool socket_open(struct control *c, struct diags *d)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat st;
    mode_t mask;

    if (strlen(c->c.socket) >= sizeof(a.sun_path)) {
        diag_error(d, place_of_file(c->c.socket), "the socket's path is over %zu bytes",
                   sizeof(a.sun_path) - 1);
        return false;
    }
    memcpy(a.sun_path, c->c.socket, strlen(c->c.socket));
    make_parent(c->c.socket);
    if (in_use(&a)) {
        diag_error(d, place_of_file(c->c.socket), "another turnpike answers on this socket");
        return false;
    }
    if (lstat(c->c.socket, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(c->c.socket);
    c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mask = umask(0117);
    if (c->listener < 0 || bind(c->listener, (const struct sockaddr *)&a, sizeof(a)) != 0 ||
        listen(c->listener, CLIENTS_MAX) != 0) {
        diag_error(d, place_of_file(c->c.socket), "cannot listen here: %s", strerror(errno));
        umask(mask);
        return false;
    }
    umask(mask);
    give_to_group(c->c.socket);
    if (lstat(c->c.socket, &st) == 0) {
        c->socket_dev = st.st_dev;
        c->socket_ino = st.st_ino;
    }
    return true;
}

/* ------------------------------------------------------------------------ peers */

static void name_groups(struct peer *p, gid_t gid)
{
    gid_t ids[GROUPS_MAX];
    int n = GROUPS_MAX;

    if (getgrouplist(p->name, gid, ids, &n) < 0)
        n = GROUPS_MAX;
    for (int i = 0; i < n; i++) {
        const struct group *g = getgrgid(ids[i]);

        if (!g)
            continue;
        snprintf(p->group_names[p->ngroups], sizeof(p->group_names[0]), "%s", g->gr_name);
        p->groups[p->ngroups] = span_cstr(p->group_names[p->ngroups]);
        p->ngroups++;
    }
}

static bool identify(int fd, struct peer *p)
{
    struct ucred cred;
    socklen_t n = sizeof(cred);
    const struct passwd *pw;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0)
        return false;
    memset(p, 0, sizeof(*p));
    p->uid = cred.uid;
    pw = getpwuid(cred.uid);
    if (pw) {
        snprintf(p->name, sizeof(p->name), "%s", pw->pw_name);
        name_groups(p, cred.gid);
    } else {
        snprintf(p->name, sizeof(p->name), "uid:%u", cred.uid);
    }
    return true;
}

/* ---------------------------------------------------------------------- clients */

static void client_drop(struct client *k)
{
    close(k->fd);
    free(k->in);
    free(k->out);
    memset(k, 0, sizeof(*k));
    k->fd = -1;
}

static void accept_client(struct control *c)
{
    int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    for (int i = 0; fd >= 0 && i < CLIENTS_MAX; i++) {
        struct client *k = &c->clients[i];

        if (k->fd >= 0)
            continue;
        memset(k, 0, sizeof(*k));
        k->fd = fd;
        k->seen_ns = clock_mono_ns();
        k->in = malloc(REQUEST_MAX);
        if (!k->in || !identify(fd, &k->peer))
            client_drop(k);
        return;
    }
    if (fd >= 0)
        close(fd);
}

void client_answer(struct client *k, json_t *answer)
{
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    size_t n = text ? strlen(text) : 0;
    char *grown = text ? realloc(k->out, k->out_len + n + 1) : NULL;

    json_decref(answer);
    if (grown) {
        memcpy(grown + k->out_len, text, n);
        grown[k->out_len + n] = '\n';
        k->out = grown;
        k->out_len += n + 1;
    }
    free(text);
}

static void handle_line(struct control *c, struct client *k, struct span line)
{
    json_error_t e;
    json_t *request = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, &e), *answer;

    if (!json_is_object(request))
        answer = ask_failed(64, "a request is one JSON object a line");
    else
        answer = ask(c, k, request);
    json_decref(request);
    if (answer)
        client_answer(k, answer);
}

/* One answer at a time: who asks without reading makes the kernel's buffers wait, not ours grow. */
static bool owes_answer(const struct client *k)
{
    return k->out_len || k->waits_reload;
}

/* False: the client is to be dropped. */
static bool client_read(struct client *k)
{
    ssize_t n = read(k->fd, k->in + k->in_len, REQUEST_MAX - k->in_len);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    k->seen_ns = clock_mono_ns();
    k->in_len += (size_t)n;
    k->eof = n == 0;
    return k->in_len < REQUEST_MAX || memchr(k->in, '\n', k->in_len);
}

static void client_serve_lines(struct control *c, struct client *k)
{
    char *end;

    while (!owes_answer(k) && (end = memchr(k->in, '\n', k->in_len))) {
        size_t line = (size_t)(end - k->in);

        handle_line(c, k, span_of(k->in, line));
        memmove(k->in, end + 1, k->in_len - line - 1);
        k->in_len -= line + 1;
    }
}

static bool wants_to_read(const struct client *k)
{
    return !owes_answer(k) && !k->eof;
}

static bool client_write(struct client *k)
{
    ssize_t n = send(k->fd, k->out + k->out_at, k->out_len - k->out_at, MSG_NOSIGNAL);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    k->seen_ns = clock_mono_ns();
    k->out_at += (size_t)n;
    if (k->out_at == k->out_len) {
        free(k->out);
        k->out = NULL;
        k->out_len = k->out_at = 0;
    }
    return true;
}

static void serve_client(struct control *c, struct client *k, short events)
{
    bool ok = true;

    if (wants_to_read(k) && (events & (POLLIN | POLLHUP | POLLERR)))
        ok = client_read(k);
    if (ok)
        client_serve_lines(c, k);
    if (ok && k->out_len)
        ok = client_write(k);
    if (ok && k->eof && !owes_answer(k) && !memchr(k->in, '\n', k->in_len))
        ok = false;
    if (ok && k->waits_reload && (events & (POLLHUP | POLLERR)))
        ok = false; /* gone for good: nobody is left to tell */
    if (ok && !k->waits_reload && clock_mono_ns() - k->seen_ns > CLIENT_IDLE_MS * NS_IN_MS)
        ok = false;
    if (!ok)
        client_drop(k);
}

void socket_serve(struct control *c, int timeout_ms)
{
    struct pollfd p[CLIENTS_MAX + 1];
    struct client *of[CLIENTS_MAX + 1];
    nfds_t n = 0;

    p[n++] = (struct pollfd){.fd = c->listener, .events = POLLIN};
    for (int i = 0; i < CLIENTS_MAX; i++) {
        struct client *k = &c->clients[i];

        if (k->fd < 0)
            continue;
        of[n] = k;
        p[n++] = (struct pollfd){
            .fd = k->fd,
            .events = (short)((wants_to_read(k) ? POLLIN : 0) | (k->out_len ? POLLOUT : 0))};
    }
    if (poll(p, n, timeout_ms) < 0)
        return;
    for (nfds_t i = 1; i < n; i++)
        serve_client(c, of[i], p[i].revents);
    if (p[0].revents & POLLIN)
        accept_client(c);
}

void socket_close(struct control *c)
{
    struct stat st;

    for (int i = 0; i < CLIENTS_MAX; i++)
        if (c->clients[i].fd >= 0)
            client_drop(&c->clients[i]);
    if (c->listener < 0)
        return;
    close(c->listener);
    /* Only our own: somebody may have taken the path over. */
    if (lstat(c->c.socket, &st) == 0 && st.st_dev == c->socket_dev && st.st_ino == c->socket_ino)
        unlink(c->c.socket);
}
