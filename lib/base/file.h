/* Reading files as far as every reader of them needs it. Any thread. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>

/* Reads until `room` bytes are there or the file ends, whatever pieces it comes in. The number of
 * bytes, or -1 with errno set. */
ssize_t file_read_up_to(int fd, void *buf, size_t room);

#endif
