/*
 * Functions of builtin modules by name, from their families' tables: tests call what images call.
 */
#ifndef TESTS_BUILTIN_FN_H
#define TESTS_BUILTIN_FN_H

#include <string.h>

#include "loader/ldr/builtin.h"

static inline const void *find_in_family(const struct ldr_builtin_export *exports, size_t count,
                                         const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (exports[i].name && strcmp(exports[i].name, name) == 0)
            return exports[i].address;
    return NULL;
}

/* FN(SetEvent, BOOL, HANDLE event) defines a pointer SetEvent that LOAD_FN fills. */
#define FN(name, result, ...) static result(WINAPI *name)(__VA_ARGS__)
#define LOAD_FN(family, name)                                                            \
    do {                                                                                 \
        *(const void **)&name = find_in_family(family##_exports, family##_count, #name); \
        if (!name)                                                                       \
            return -1;                                                                   \
    } while (0)

#endif
