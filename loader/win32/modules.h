/*
 * The builtin modules themselves, each defined beside its families.
 */
#ifndef WIN32_MODULES_H
#define WIN32_MODULES_H

#include "loader/ldr/builtin.h"

extern struct ldr_builtin win32_kernel32, win32_kernelbase, win32_ntdll;

/* Fill in what only run time knows (sizes of the families' tables); idempotent, not thread-safe. */
void win32_kernel32_prepare(void);
void win32_kernelbase_prepare(void);
void win32_ntdll_prepare(void);

/*
 * The function behind an export of a prepared builtin; forwarders to other builtins here are
 * followed. NULL when there is none.
 */
const void *win32_find(const struct ldr_builtin *builtin, const char *name);

#endif
