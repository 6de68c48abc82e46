/* What rules cost by how many there are: loading a set, one call, memory. */
#ifndef SCALE_H
#define SCALE_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "rules/rules.h"

struct scale {
    unsigned rules, connections, functions;
};

/* Writes a set of that many rules, at least 10, into an empty directory. */
struct scale scale_make(const char *directory, unsigned rules);
void scale_remove(const char *directory);

#endif
