/*
 * The families of KERNEL32.dll: one file each, named kernel32/<family>.c, that defines
 *     const struct ldr_builtin_export kernel32_<family>_exports[];
 *     const size_t kernel32_<family>_count;
 * KERNELBASE.dll exports the same functions (register.c).
 */
#ifndef WIN32_KERNEL32_FAMILIES_H
#define WIN32_KERNEL32_FAMILIES_H

#include "loader/ldr/builtin.h"
#include "loader/win32/types.h"
#include "loader/win32/win32.h"

#define KERNEL32_FAMILIES(X) \
    X(heap)                  \
    X(localmem)              \
    X(codepage)              \
    X(string)                \
    X(handle)                \
    X(file)                  \
    X(filechange)            \
    X(fileinfo)              \
    X(find)                  \
    X(link)                  \
    X(volume)                \
    X(interlocked)           \
    X(path)                  \
    X(env)                   \
    X(thread)                \
    X(threadinfo)            \
    X(apc)                   \
    X(sync)                  \
    X(event)                 \
    X(wait)                  \
    X(timer)                 \
    X(tls)                   \
    X(exception)             \
    X(console)               \
    X(ctrl)                  \
    X(datefmt)               \
    X(error)                 \
    X(locale)                \
    X(mapping)               \
    X(memory)                \
    X(misc)                  \
    X(module)                \
    X(createprocess)         \
    X(procattr)              \
    X(process)               \
    X(processinfo)           \
    X(processlist)           \
    X(resource)              \
    X(system)                \
    X(time)                  \
    X(iocp)                  \
    X(threadpool)            \
    X(timerqueue)

#define KERNEL32_DECLARE(family)                                          \
    extern const struct ldr_builtin_export kernel32_##family##_exports[]; \
    extern const size_t kernel32_##family##_count;
KERNEL32_FAMILIES(KERNEL32_DECLARE)
#undef KERNEL32_DECLARE

/* What KERNELBASE exports and KERNEL32 does not. */
extern const struct ldr_builtin_export kernelbase_address_exports[];
extern const size_t kernelbase_address_count;
extern const struct ldr_builtin_export kernelbase_mapping_exports[];
extern const size_t kernelbase_mapping_count;

#endif
