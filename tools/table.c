/* See table.h. */
#include "tools/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *table_size(uint64_t bytes, char out[TABLE_SIZE])
{
    static const char units[] = "KMGTPE";
    uint64_t tenths = bytes / 1024 * 10; /* of a KiB; no process has more than 2^57 bytes */
    unsigned unit = 0;
    while (tenths >= 100000 && unit + 1 < sizeof units - 1) {
        tenths /= 1024;
        unit++;
    }
    if (unit == 0 || tenths % 10 == 0)
        snprintf(out, TABLE_SIZE, "%" PRIu64 "%c", tenths / 10, units[unit]);
    else
        snprintf(out, TABLE_SIZE, "%" PRIu64 ".%" PRIu64 "%c", tenths / 10, tenths % 10,
                 units[unit]);
    return out;
}

const char *table_name(const char *path, char out[TABLE_NAME])
{
    static const char memory[] = "memfd:", gone[] = " (deleted)";
    const char *slash = strrchr(path, '/');
    const char *name = slash && slash[1] ? slash + 1 : path;
    if (strncmp(name, memory, sizeof memory - 1) == 0)
        name += sizeof memory - 1;
    size_t length = strlen(name);
    if (length >= sizeof gone && strcmp(name + length - (sizeof gone - 1), gone) == 0)
        length -= sizeof gone - 1;
    snprintf(out, TABLE_NAME, "%.*s", (int)(length < TABLE_NAME ? length : TABLE_NAME - 1), name);
    return out;
}

uint64_t table_hex(const json_t *object, const char *key)
{
    return strtoull(doc_get(object, key), NULL, 16);
}

const char *table_protect(const char *name, char out[48])
{
    size_t n = 0;
    while (*name && n < 47) {
        if (strncmp(name, "PAGE_", 5) == 0)
            name += 5;
        else
            out[n++] = *name++;
    }
    out[n] = '\0';
    return out;
}
