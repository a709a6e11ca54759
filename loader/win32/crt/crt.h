/*
 * The builtin C runtimes: msvcrt.dll, ucrtbase.dll (what the api-ms-win-crt-* API sets resolve to)
 * and vcruntime140.dll / vcruntime140_1.dll.
 *
 * All of them are served from one set of function tables; which of those functions a DLL exports is
 * decided by the list of names that Windows's DLL exports (crt/register.c).
 */
#ifndef WIN32_CRT_CRT_H
#define WIN32_CRT_CRT_H

#include "loader/win32/win32.h"

/* Registers the C runtimes with ldr/. Idempotent. */
void win32_crt_register(void);

/* All families, of all C runtimes; NULL ends. */
extern const struct ldr_builtin_family *const crt_families[];

/*
 * The functions behind those of `names` that msvcrt.dll serves, for a DLL that exports some of
 * them, too (NTDLL). `out` has room for `count` rows; returns how many were written.
 */
size_t win32_crt_select(const char *const *names, size_t count, struct ldr_builtin_export *out);

#endif
