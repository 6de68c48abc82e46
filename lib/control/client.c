#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/control.h"

enum { ANSWER_MAX = 256 << 20, PATIENCE_S = 60 };

static int dial(const char *path, char why[256])
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd;

    if (strlen(path) >= sizeof(a.sun_path)) {
        snprintf(why, 256, "the socket's path is too long");
        return -1;
    }
    memcpy(a.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        return fd;
    }
    snprintf(why, 256, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool send_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

        if (k < 0 && errno != EINTR)
            return false;
        if (k > 0) {
            p += k;
            n -= (size_t)k;
        }
    }
    return true;
}

static char *read_line(int fd, char why[256])
{
    size_t n = 0, room = 64 << 10;
    char *text = malloc(room), *grown;

    while (text) {
        ssize_t k = read(fd, text + n, room - n);

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0 || n + (size_t)k >= ANSWER_MAX)
            break;
        n += (size_t)k;
        if (text[n - 1] == '\n') {
            text[n - 1] = 0;
            return text;
        }
        if (n < room)
            continue;
        grown = realloc(text, room * 2);
        if (!grown)
            break;
        text = grown;
        room *= 2;
    }
    free(text);
    snprintf(why, 256, "the appliance ended the connection without an answer");
    return NULL;
}

char *control_ask(const char *path, const char *request, char why[256])
{
    int fd = dial(path, why);
    char *answer = NULL;

    if (fd < 0)
        return NULL;
    if (send_all(fd, request, strlen(request)) && send_all(fd, "\n", 1))
        answer = read_line(fd, why);
    else
        snprintf(why, 256, "%s: %s", path, strerror(errno));
    close(fd);
    return answer;
}
