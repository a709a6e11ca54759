/*
 * Where formatted text goes: buffers by the rules of sprintf, _snprintf, snprintf, sprintf_s and
 * _snprintf_s (Microsoft's documents of each), and streams.
 */
#include "loader/win32/crt/format.h"
#include "loader/win32/crt/stream.h"

static void store(void *buffer, bool wide, size_t at, crt_wchar unit)
{
    if (wide) {
        ((crt_wchar *)buffer)[at] = unit;
    } else {
        ((char *)buffer)[at] = (char)unit;
    }
}

static bool write_buffer(struct crt_sink *sink, const void *units, size_t count)
{
    struct crt_buffer_sink *out = (struct crt_buffer_sink *)sink;
    if (out->used < out->size) {
        size_t unit = sink->wide ? sizeof(crt_wchar) : 1;
        size_t room = out->size - out->used;
        memcpy((char *)out->buffer + out->used * unit, units, (count < room ? count : room) * unit);
    }
    out->used += count;
    return true;
}

void crt_buffer_sink_init(struct crt_buffer_sink *sink, bool wide, void *buffer, size_t size)
{
    *sink = (struct crt_buffer_sink){{wide, write_buffer}, buffer, buffer != NULL ? size : 0, 0};
}

int crt_format_buffer(bool wide, void *buffer, size_t size, const void *format, unsigned options,
                      win_va_list args)
{
    struct crt_buffer_sink sink;
    if (format == NULL || (buffer == NULL && size != 0)) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    crt_buffer_sink_init(&sink, wide, buffer, size);
    int length = crt_format(&sink.sink, format, options, args);
    if (buffer == NULL) {
        return length;
    }
    if (length < 0) {
        if (size != 0) {
            store(buffer, wide, 0, 0);
        }
        return -1;
    }
    if ((size_t)length < size) {
        store(buffer, wide, (size_t)length, 0);
        return length;
    }
    if (options & CRT_FORMAT_LEGACY_NULL_TERMINATION) {
        return (size_t)length == size ? length : -1;
    }
    if (size != 0) {
        store(buffer, wide, size - 1, 0);
    }
    return options & CRT_FORMAT_STANDARD_SNPRINTF ? length : -1;
}

int crt_format_secure(bool wide, void *buffer, size_t size, const void *format, unsigned options,
                      win_va_list args)
{
    struct crt_buffer_sink sink;
    if (buffer == NULL || size == 0 || format == NULL) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    crt_buffer_sink_init(&sink, wide, buffer, size);
    int length = crt_format(&sink.sink, format, options, args);
    if (length < 0 || (size_t)length >= size) {
        store(buffer, wide, 0, 0);
        if (length >= 0) {
            crt_invalid(CRT_ERANGE);
        }
        return -1;
    }
    store(buffer, wide, (size_t)length, 0);
    return length;
}

int crt_format_bounded(bool wide, void *buffer, size_t size, size_t maximum, const void *format,
                       unsigned options, win_va_list args)
{
    struct crt_buffer_sink sink;
    if (buffer == NULL && size == 0 && maximum == 0) {
        return 0;
    }
    if (buffer == NULL || size == 0 || format == NULL) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    crt_buffer_sink_init(&sink, wide, buffer, size);
    int length = crt_format(&sink.sink, format, options, args);
    if (length < 0) {
        store(buffer, wide, 0, 0);
        return -1;
    }
    size_t wanted = (size_t)length < maximum ? (size_t)length : maximum;
    if (wanted < size) {
        store(buffer, wide, wanted, 0);
        return (size_t)length == wanted ? length : -1;
    }
    if (maximum == CRT_TRUNCATE) {
        store(buffer, wide, size - 1, 0);
        return -1;
    }
    store(buffer, wide, 0, 0);
    crt_invalid(CRT_ERANGE);
    return -1;
}

struct stream_sink {
    struct crt_sink sink;
    struct crt_file *file;
};

static bool write_stream(struct crt_sink *sink, const void *units, size_t count)
{
    struct crt_file *file = ((struct stream_sink *)sink)->file;
    if (sink->wide) {
        return crt_stream_write_wide(file, units, count) == count;
    }
    return crt_stream_write(file, units, count) == count;
}

int crt_format_stream(bool wide, struct crt_file *file, const void *format, unsigned options,
                      win_va_list args)
{
    struct stream_sink sink = {{wide, write_stream}, file};
    if (file == NULL || format == NULL) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    crt_stream_lock(file);
    int length = crt_format(&sink.sink, format, options, args);
    crt_stream_unlock(file);
    return length;
}
