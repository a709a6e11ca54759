/*
 * The scanf engine: Windows's conversion specifications, narrow or wide.
 */
#ifndef WIN32_CRT_SCAN_H
#define WIN32_CRT_SCAN_H

#include "loader/win32/crt/internal.h"

enum crt_scan_options { /* values that UCRT headers pass to __stdio_common_v*scanf */
                        CRT_SCAN_SECURE = 1, /* scanf_s: sizes follow the pointers of c, s and [ */
                        CRT_SCAN_LEGACY_WIDE = 2, /* %s in a wide format stores a wide string */
                        CRT_SCAN_LEGACY_MSVCRT = 4,
                        CRT_SCAN_MSVCRT = CRT_SCAN_LEGACY_WIDE | CRT_SCAN_LEGACY_MSVCRT,
};

struct crt_source {
    bool wide; /* units of the input and of the format string are crt_wchar, else bytes */
    int (*get)(struct crt_source *source); /* -1 = end */
    void (*unget)(struct crt_source *source, int unit);
};

/* Conversions stored, or -1 when the input ended before the first. */
int crt_scan(struct crt_source *source, const void *format, unsigned options, win_va_list args);
/* Over a string of at most `size` units, or up to its NUL. */
int crt_scan_string(bool wide, const void *text, size_t size, const void *format, unsigned options,
                    win_va_list args);
struct crt_file;
int crt_scan_stream(bool wide, struct crt_file *file, const void *format, unsigned options,
                    win_va_list args);

#endif
