/*
 * The families of NTDLL.dll: one file each, named ntdll/<family>.c, that defines
 *     const struct ldr_builtin_export ntdll_<family>_exports[];
 *     const size_t ntdll_<family>_count;
 */
#ifndef WIN32_NTDLL_FAMILIES_H
#define WIN32_NTDLL_FAMILIES_H

#include "loader/ldr/builtin.h"
#include "loader/win32/types.h"
#include "loader/win32/win32.h"

#ifdef __i386__
#define NTDLL_WORD_FAMILIES(X) X(seh)
#else
#define NTDLL_WORD_FAMILIES(X) X(unwind)
#endif
#define NTDLL_FAMILIES(X) \
    X(handle)             \
    X(heap)               \
    X(locks)              \
    X(slist)              \
    X(sync)               \
    X(thread)             \
    X(threadctl)          \
    X(exception)          \
    X(string)             \
    X(strconv)            \
    X(memory)             \
    X(section)            \
    X(process)            \
    X(time)               \
    X(system)             \
    X(etw)                \
    X(file)               \
    X(fileopen)           \
    X(image)              \
    X(delayload)          \
    X(iocp)               \
    X(keyed)              \
    X(threadpool)         \
    X(timerqueue)         \
    X(ldr)                \
    X(arith)              \
    NTDLL_WORD_FAMILIES(X)

#define NTDLL_DECLARE(family)                                          \
    extern const struct ldr_builtin_export ntdll_##family##_exports[]; \
    extern const size_t ntdll_##family##_count;
NTDLL_FAMILIES(NTDLL_DECLARE)
#undef NTDLL_DECLARE

/* The C functions that NTDLL exports: msvcrt's, for the names on NTDLL's list (cruntime.c). */
struct ldr_builtin_family ntdll_cruntime(void);

/* A system service under both of its names: NtClose and ZwClose are one function in user mode. */
#define NT_ZW(fn)                                                                         \
    {.name = "Nt" #fn, .kind = LDR_EXPORT_FUNCTION, .address = (const void *)nt_Nt##fn},  \
    {                                                                                     \
        .name = "Zw" #fn, .kind = LDR_EXPORT_FUNCTION, .address = (const void *)nt_Nt##fn \
    }

#endif
