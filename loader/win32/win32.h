/*
 * The builtin modules. One file a family of functions; each family is a table of
 * ldr_builtin_export.
 */
#ifndef WIN32_WIN32_H
#define WIN32_WIN32_H

#include "loader/abi.h"
#include "loader/ke/ke.h"
#include "loader/ldr/builtin.h"

/* Registers every builtin module with ldr/. Idempotent. */
void win32_register(void);

/* Full export lists, generated from win32/names/<dll>.txt at build time, sorted by strcmp. */
#define WIN32_NAMES(dll)                          \
    extern const char *const win32_names_##dll[]; \
    extern const size_t win32_names_##dll##_count
WIN32_NAMES(kernel32);
WIN32_NAMES(kernelbase);
WIN32_NAMES(ntdll);
WIN32_NAMES(msvcrt);
WIN32_NAMES(ucrtbase);
WIN32_NAMES(vcruntime140);
WIN32_NAMES(advapi32);
WIN32_NAMES(user32);
WIN32_NAMES(shell32);
WIN32_NAMES(bcrypt);
WIN32_NAMES(bcryptprimitives);
WIN32_NAMES(version);
WIN32_NAMES(ws2_32);

#endif
