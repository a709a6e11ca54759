/*
 * C runtime functions for tests, as an image gets them: by name from the tables.
 */
#ifndef TESTS_CRT_FUNCTION_H
#define TESTS_CRT_FUNCTION_H

#include <string.h>

#include "loader/ldr/builtin.h"

static inline const void *crt_function(const struct ldr_builtin_family *family, const char *name)
{
    for (size_t i = 0; i < family->count; i++) {
        if (strcmp(family->exports[i].name, name) == 0) {
            return family->exports[i].address;
        }
    }
    fail_msg("the C runtime has no %s", name);
    return NULL;
}

/* FUNCTION(crt_string_family, strlen, size_t, (const char *)) declares a pointer `strlen_`. */
#define FUNCTION(family, name, result, parameters) \
    extern const struct ldr_builtin_family family; \
    result(WINCDECL *name##_) parameters =         \
        (result(WINCDECL *) parameters)crt_function(&family, #name)

#endif
