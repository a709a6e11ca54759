/*
 * What the files of the C runtime share: types, table helpers, per-thread state, errno, locale.
 *
 * Windows's wchar_t has 16 bits and its long 32 bits in both word sizes: crt_wchar and crt_long
 * here. A function that images call is `static WINCDECL_DEF ... crt_<name>`; host-side helpers that
 * other files use are plain crt_<verb>_<thing> and declared in a header.
 */
#ifndef WIN32_CRT_INTERNAL_H
#define WIN32_CRT_INTERNAL_H

#include <locale.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "loader/abi.h"
#include "loader/ldr/builtin.h"

typedef uint16_t crt_wchar;
typedef int32_t crt_long;
typedef uint32_t crt_ulong;

#define CRT_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A row for crt_<fn> under its own name, and one for a function under another name. */
#define CRT_FN(fn)                                                                  \
    {                                                                               \
        .name = #fn, .kind = LDR_EXPORT_FUNCTION, .address = (const void *)crt_##fn \
    }
#define CRT_AS(export_name, fn)                                                        \
    {                                                                                  \
        .name = #export_name, .kind = LDR_EXPORT_FUNCTION, .address = (const void *)fn \
    }
/* msvcrt's time and stat functions without a suffix follow the word size. */
#if defined(__x86_64__)
#define CRT_BY_WORD(export_name, for_64, for_32) CRT_AS(export_name, for_64)
#else
#define CRT_BY_WORD(export_name, for_64, for_32) CRT_AS(export_name, for_32)
#endif
#define CRT_DATA(export_name, bytes, where)                                                        \
    {                                                                                              \
        .name = #export_name, .kind = LDR_EXPORT_DATA, .size = bytes, .location = (void **)(where) \
    }
#define CRT_FAMILY(name, table) const struct ldr_builtin_family name = {table, CRT_COUNT(table)}

/* ---- per-thread state (thread.c) ----------------------------------------------------------------
 */
struct crt_tm { /* struct tm of Windows: nine ints */
    int sec, min, hour, mday, mon, year, wday, yday, isdst;
};

struct crt_thread {
    int error;         /* errno, Windows's numbers */
    uint32_t os_error; /* _doserrno */
    uint32_t random;   /* rand() state minus its initial 1 */
    char *strtok_next;
    crt_wchar *wcstok_next;
    struct crt_tm tm;
    char time_text[26];
    crt_wchar wide_time_text[26];
    char message[160];
    crt_wchar wide_message[160];
    char conversion[360]; /* _ecvt, _fcvt */
    void *exception_pointers;
    int fpe_code;
    void *invalid_parameter;
    void (*terminate)(void);
    void (*unexpected)(void);
    void *se_translator;
};
struct crt_thread *crt_thread(void);

/* ---- memory that images free (memory.c)
 * -------------------------------------------------------- */
/* NULL = no memory; errno is the caller's. */
void *crt_heap_alloc(size_t size);
void *crt_heap_realloc(void *memory, size_t size);
void *crt_heap_copy(const void *bytes, size_t size);
/* NULL is allowed; what is no block raises an exception. */
void crt_heap_free(void *memory);

/* ---- errors (errno.c) ---------------------------------------------------------------------------
 */
enum { /* Windows's errno values that this library sets itself; the others come through the table */
       CRT_ENOENT = 2,
       CRT_EBADF = 9,
       CRT_ENOMEM = 12,
       CRT_EACCES = 13,
       CRT_EEXIST = 17,
       CRT_EINVAL = 22,
       CRT_EMFILE = 24,
       CRT_ERANGE = 34,
       CRT_ENOSYS = 40,
       CRT_EILSEQ = 42,
       CRT_STRUNCATE = 80,
};
void crt_set_errno(int value);
int crt_errno_from_host(int host);
/* errno and _doserrno from the host's errno; returns -1. */
int crt_fail_from_host(void);
/* The same from a Win32 error and from an NTSTATUS. */
int crt_fail_from_win32(uint32_t error);
int crt_fail_from_status(uint32_t status);
/* Windows's text for an errno value. Never NULL. */
const char *crt_error_text(int value);
/* A call with invalid parameters: errno = `value`, the image's handler if it set one. Returns
 * `value`. */
int crt_invalid(int value);

/* ---- locale and conversion (locale.c) -----------------------------------------------------------
 */
/* Code page of the C runtime's LC_CTYPE; 0 = the "C" locale, where bytes are characters. */
unsigned crt_codepage(void);
/* glibc's "C" locale, for conversions that must not depend on the host program's setlocale(). */
locale_t crt_c_locale(void);
/*
 * One character between the locale's bytes and UTF-16. `*used` = units consumed. Both return the
 * units written, 0 = the input is an incomplete character, -1 = not representable.
 */
int crt_decode(const char *in, size_t size, size_t *used, crt_wchar out[2]);
int crt_encode(const crt_wchar *in, size_t size, size_t *used, char out[4]);
/* Whole counted strings; malloc'd and NUL-terminated, NULL with errno set on failure. */
crt_wchar *crt_widen(const char *in, size_t size, size_t *length);
char *crt_narrow(const crt_wchar *in, size_t size, size_t *length);

size_t crt_wlen(const crt_wchar *s);
crt_wchar crt_wlower(crt_wchar c); /* by the current LC_CTYPE: ASCII alone in "C" */
crt_wchar crt_wupper(crt_wchar c);
/* _UPPER, _LOWER ... bits of a character, as iswctype takes them. */
unsigned crt_wclass(crt_wchar c);

static inline int crt_lower(int c)
{
    return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static inline int crt_upper(int c)
{
    return c >= 'a' && c <= 'z' ? c - 32 : c;
}

static inline bool crt_space(int c)
{
    return c == ' ' || (c >= 9 && c <= 13);
}

#endif
