/*
 * The printf engine: Windows's conversion specifications, narrow or wide.
 *
 * The sink decides the width of both the format string and the output. Options have the values that
 * UCRT headers pass to __stdio_common_v*printf (Microsoft's corecrt_stdio_config.h).
 */
#ifndef WIN32_CRT_FORMAT_H
#define WIN32_CRT_FORMAT_H

#include "loader/win32/crt/internal.h"

enum crt_format_options {
    CRT_FORMAT_LEGACY_NULL_TERMINATION = 1, /* _vsnprintf: no NUL when the text just fits or not */
    CRT_FORMAT_STANDARD_SNPRINTF = 2,       /* C99 snprintf */
    CRT_FORMAT_LEGACY_WIDE = 4,             /* %s in a wide format takes a wide string */
    CRT_FORMAT_LEGACY_MSVCRT = 8,           /* 1.#INF, unknown conversions printed */
    CRT_FORMAT_THREE_DIGIT_EXPONENT = 16,
    CRT_FORMAT_MSVCRT =
        CRT_FORMAT_LEGACY_WIDE | CRT_FORMAT_LEGACY_MSVCRT | CRT_FORMAT_THREE_DIGIT_EXPONENT,
};

struct crt_sink {
    bool wide; /* units are crt_wchar, else char */
    bool (*write)(struct crt_sink *sink, const void *units, size_t count);
};

/* Units written, or -1 with errno set. */
int crt_format(struct crt_sink *sink, const void *format, unsigned options, win_va_list args);

/* A sink over a caller's buffer that goes on counting when it is full. */
struct crt_buffer_sink {
    struct crt_sink sink;
    void *buffer;
    size_t size; /* units */
    size_t used; /* units asked for */
};
void crt_buffer_sink_init(struct crt_buffer_sink *sink, bool wide, void *buffer, size_t size);

/*
 * The endings of the sprintf family; all return what the C function does.
 * crt_format_buffer: UCRT's __stdio_common_vsprintf by `options`; `size` counts units.
 */
int crt_format_buffer(bool wide, void *buffer, size_t size, const void *format, unsigned options,
                      win_va_list args);
/* sprintf_s: too small a buffer is an invalid parameter. */
int crt_format_secure(bool wide, void *buffer, size_t size, const void *format, unsigned options,
                      win_va_list args);
/* _snprintf_s: at most `maximum` units; CRT_TRUNCATE = as many as fit. */
#define CRT_TRUNCATE ((size_t)-1)
int crt_format_bounded(bool wide, void *buffer, size_t size, size_t maximum, const void *format,
                       unsigned options, win_va_list args);
struct crt_file;
int crt_format_stream(bool wide, struct crt_file *file, const void *format, unsigned options,
                      win_va_list args);

#endif
