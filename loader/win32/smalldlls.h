/*
 * The small builtin DLLs: one file and one table of functions each (smalldlls.c registers them).
 */
#ifndef WIN32_SMALLDLLS_H
#define WIN32_SMALLDLLS_H

#include "loader/ldr/builtin.h"
#include "loader/win32/types.h"
#include "loader/win32/win32.h"

#define WIN32_SMALL_TABLES(X) \
    X(advapi32)               \
    X(bcrypt)                 \
    X(bcryptprimitives)       \
    X(psapi)                  \
    X(registry)               \
    X(shell32)                \
    X(user32)                 \
    X(user32_icon)            \
    X(version)                \
    X(ws2_32)

#define WIN32_SMALL_DECLARE(table)                            \
    extern const struct ldr_builtin_export table##_exports[]; \
    extern const size_t table##_count;
WIN32_SMALL_TABLES(WIN32_SMALL_DECLARE)
#undef WIN32_SMALL_DECLARE

void win32_smalldlls_register(void);

#endif
