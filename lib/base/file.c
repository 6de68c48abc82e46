#include "base/file.h"

#include <errno.h>
#include <unistd.h>

ssize_t file_read_up_to(int fd, void *buf, size_t room)
{
    size_t n = 0;

    while (n < room) {
        ssize_t got = read(fd, (char *)buf + n, room - n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    return (ssize_t)n;
}
