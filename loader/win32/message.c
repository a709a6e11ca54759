/*
 * FormatMessage's engine: where a message comes from, and its inserts.
 *
 * Inserts are "%1" to "%99", each with an optional "!printf format!"; arguments are pointer-sized
 * slots in an array and on the stack alike (FormatMessage's documentation).
 */
#include "loader/win32/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/win32/codepage.h"
#include "loader/win32/errors.h"
#include "loader/win32/resource.h"
#include "loader/win32/strings.h"
#include "pe/span.h"

#define RT_MESSAGETABLE 11

/* A string that grows; `failed` once memory ran out. */
struct text {
    WCHAR *units;
    size_t length, room;
    bool failed;
};

static void put(struct text *text, const WCHAR *s, size_t count)
{
    if (text->failed)
        return;
    if (text->length + count + 1 > text->room) {
        size_t room = (text->length + count + 1) * 2;
        WCHAR *grown = realloc(text->units, room * sizeof(WCHAR));
        if (!grown) {
            text->failed = true;
            return;
        }
        text->units = grown;
        text->room = room;
    }
    memcpy(text->units + text->length, s, count * sizeof(WCHAR));
    text->length += count;
    text->units[text->length] = 0;
}

static void put_unit(struct text *text, WCHAR c)
{
    put(text, &c, 1);
}

static void put_ansi(struct text *text, const char *s, size_t count)
{
    size_t units;
    for (size_t i = 0; i < count; i++) {
        WCHAR c;
        win32_to_wide(CP_ACP, false, s + i, 1, &c, 1, &units);
        put_unit(text, c);
    }
}

/* ---- where messages come from
 * ------------------------------------------------------------------------ */

static uint32_t message_of_module(HMODULE module, DWORD id, struct text *out)
{
    HRSRC resource;
    uint32_t size = 0;
    nt_status status = win32_resource_find(module, (const WCHAR *)(uintptr_t)RT_MESSAGETABLE,
                                           (const WCHAR *)(uintptr_t)1, 0, &resource);
    if (!nt_ok(status))
        return win32_error_of_status(status);
    const void *bytes = win32_resource_data(module, resource, &size);
    struct pe_span table = {bytes, bytes ? size : 0};
    uint32_t blocks = 0;
    pe_u32(table, 0, &blocks);
    for (uint32_t i = 0; i < blocks; i++) {
        uint32_t low, high, at;
        if (!pe_u32(table, 4 + 12ull * i, &low) || !pe_u32(table, 8 + 12ull * i, &high) ||
            !pe_u32(table, 12 + 12ull * i, &at))
            break;
        if (id < low || id > high)
            continue;
        /* Entries have lengths of their own: walk to the wanted one. */
        uint16_t length = 0, wide = 0;
        uint64_t entry = at;
        for (uint32_t skip = id - low;; skip--) {
            if (!pe_u16(table, entry, &length) || !pe_u16(table, entry + 2, &wide) || length < 4)
                return ERROR_MR_MID_NOT_FOUND;
            if (!skip)
                break;
            entry += length;
        }
        struct pe_span body;
        if (!pe_sub(table, entry + 4, length - 4u, &body))
            return ERROR_MR_MID_NOT_FOUND;
        if (wide)
            put(out, (const WCHAR *)(const void *)body.data, length / 2 - 2);
        else
            put_ansi(out, (const char *)body.data, length - 4u);
        /* Entries are padded with NULs. */
        while (out->length && !out->units[out->length - 1])
            out->units[--out->length] = 0;
        return ERROR_SUCCESS;
    }
    return ERROR_MR_MID_NOT_FOUND;
}

static uint32_t message_of_system(DWORD id, struct text *out)
{
    /* HRESULTs that wrap a Win32 error have its text. */
    const char *text = win32_error_text((id >> 16) == 0x8007 ? id & 0xFFFF : id);
    if (!text)
        return ERROR_MR_MID_NOT_FOUND;
    put_ansi(out, text, strlen(text));
    put_ansi(out, "\r\n", 2);
    return ERROR_SUCCESS;
}

static uint32_t find_message(DWORD flags, const void *source, DWORD id, bool wide, struct text *out)
{
    uint32_t error = ERROR_MR_MID_NOT_FOUND;
    if (flags & FORMAT_MESSAGE_FROM_STRING) {
        if (!source)
            return ERROR_INVALID_PARAMETER;
        if (wide)
            put(out, source, win32_wlen(source));
        else
            put_ansi(out, source, strlen(source));
        return ERROR_SUCCESS;
    }
    if (flags & FORMAT_MESSAGE_FROM_HMODULE)
        error = message_of_module((HMODULE)source, id, out);
    if (error && (flags & FORMAT_MESSAGE_FROM_SYSTEM))
        error = message_of_system(id, out);
    return error;
}

/* ---- inserts
 * ------------------------------------------------------------------------------------------- */

struct inserts {
    const UINT_PTR *slots; /* argument 1 is slots[0] */
    bool wide;
};

/* Width and precision of a format, "*" taken from the next slots. */
struct spec {
    char flags[6];
    int width, precision; /* -1 = none */
    char kind;            /* conversion letter */
    char size;            /* 'h', 'l', 'w', 'q' (64 bits) or 0 */
};

static int read_number(const WCHAR **at, const UINT_PTR **slot)
{
    int value = 0;
    if (**at == '*') {
        ++*at;
        return (int)*(*slot)++;
    }
    for (; **at >= '0' && **at <= '9'; ++*at) {
        if (value < 10000)
            value = value * 10 + (**at - '0');
    }
    return value;
}

static void read_spec(const WCHAR **at, const UINT_PTR **slot, struct spec *spec)
{
    size_t flags = 0;
    memset(spec, 0, sizeof(*spec));
    spec->width = spec->precision = -1;
    for (; **at && **at < 0x80 && strchr("-+ #0", (char)**at); ++*at) {
        if (flags < sizeof(spec->flags) - 1)
            spec->flags[flags++] = (char)**at;
    }
    if (**at == '*' || (**at >= '0' && **at <= '9'))
        spec->width = read_number(at, slot);
    if (**at == '.') {
        ++*at;
        spec->precision = read_number(at, slot);
    }
    if ((*at)[0] == 'I' && (*at)[1] == '6' && (*at)[2] == '4') {
        spec->size = 'q';
        *at += 3;
    } else if (**at == 'h' || **at == 'l' || **at == 'w') {
        spec->size = (char)*(*at)++;
    }
    spec->kind = **at && **at < 0x80 ? (char)*(*at)++ : 0;
}

static void put_string(struct text *out, const struct spec *spec, UINT_PTR value, bool wide)
{
    static const WCHAR null[] = {'(', 'n', 'u', 'l', 'l', ')', 0};
    struct text piece = {0};
    const void *s = (const void *)value;
    if (!s)
        put(&piece, null, 6);
    else if (wide)
        put(&piece, s, win32_wlen(s));
    else
        put_ansi(&piece, s, strlen(s));
    size_t length = piece.length;
    if (spec->precision >= 0 && (size_t)spec->precision < length)
        length = (size_t)spec->precision;
    size_t pad = spec->width > (int)length ? (size_t)spec->width - length : 0;
    bool left = strchr(spec->flags, '-') != NULL;
    for (size_t i = 0; i < pad && !left; i++)
        put_unit(out, ' ');
    if (length)
        put(out, piece.units, length);
    for (size_t i = 0; i < pad && left; i++)
        put_unit(out, ' ');
    out->failed |= piece.failed;
    free(piece.units);
}

static void put_integer(struct text *out, const struct spec *spec, UINT_PTR value)
{
    char format[16], buffer[512];
    int width = spec->width < 0 ? 0 : spec->width > 400 ? 400 : spec->width;
    int precision = spec->precision > 400 ? 400 : spec->precision;
    bool is_signed = spec->kind == 'd' || spec->kind == 'i';
    long long number = spec->size == 'q' ? (long long)value
                       : is_signed       ? (int32_t)value
                                         : (long long)(uint32_t)value;
    snprintf(format, sizeof(format), "%%%s*.*ll%c", spec->flags, spec->kind);
    int length = snprintf(buffer, sizeof(buffer), format, width, precision, number);
    put_ansi(out, buffer, length > 0 ? (size_t)length : 0);
}

static void put_insert(struct text *out, const struct inserts *inserts, unsigned number,
                       const WCHAR **at)
{
    struct spec spec = {.width = -1, .precision = -1, .kind = 's'};
    const UINT_PTR *slot = inserts->slots + number - 1;
    if (**at == '!' && win32_wchr(*at + 1, '!')) {
        ++*at;
        read_spec(at, &slot, &spec);
        *at = win32_wchr(*at, '!') ? win32_wchr(*at, '!') + 1 : *at + win32_wlen(*at);
    }
    bool other = spec.kind == 'S' || spec.kind == 'C';
    bool wide = spec.size == 'h'                       ? false
                : spec.size == 'l' || spec.size == 'w' ? true
                                                       : inserts->wide != other;
    if (spec.kind == 's' || spec.kind == 'S')
        put_string(out, &spec, *slot, wide);
    else if (spec.kind == 'c' || spec.kind == 'C')
        put_unit(out, (WCHAR)*slot);
    else if (spec.kind && strchr("diuxXop", spec.kind)) {
        spec.kind = spec.kind == 'p' ? 'x' : spec.kind;
        put_integer(out, &spec, *slot);
    }
}

/* One "%" sequence; false ends the message ("%0"). */
static bool put_escape(struct text *out, const struct inserts *inserts, const WCHAR **at)
{
    static const WCHAR newline[] = {'\r', '\n'};
    WCHAR c = *(*at)++;
    if (c >= '1' && c <= '9' && inserts) {
        unsigned number = c - '0';
        if (**at >= '0' && **at <= '9')
            number = number * 10 + (unsigned)(*(*at)++ - '0');
        put_insert(out, inserts, number, at);
        return true;
    }
    switch (c) {
    case '0':
        return false;
    case 'n':
        put(out, newline, 2);
        return true;
    case 'r':
        put_unit(out, '\r');
        return true;
    case 't':
        put_unit(out, '\t');
        return true;
    case 'b':
        put_unit(out, ' ');
        return true;
    case 0:
        --*at;
        return true;
    default:
        if (c >= '1' && c <= '9')
            put_unit(out, '%');
        put_unit(out, c);
        return true;
    }
}

static void expand(struct text *out, const WCHAR *at, const struct inserts *inserts,
                   bool keep_breaks)
{
    while (*at) {
        if (*at == '%') {
            at++;
            /* Without inserts, only "%" sequences that are no inserts are processed. */
            if (!put_escape(out, inserts, &at))
                return;
        } else if (!keep_breaks && (*at == '\r' || *at == '\n')) {
            at += at[0] == '\r' && at[1] == '\n' ? 2 : 1;
            put_unit(out, ' ');
        } else {
            put_unit(out, *at++);
        }
    }
}

uint32_t win32_format_message(DWORD flags, const void *source, DWORD id, bool wide, void *arguments,
                              WCHAR **out, size_t *length)
{
    struct text raw = {0}, text = {0};
    struct inserts inserts = {.wide = wide};
    uint32_t error = find_message(flags, source, id, wide, &raw);
    bool use_inserts = !(flags & FORMAT_MESSAGE_IGNORE_INSERTS) && arguments;
    if (use_inserts)
        inserts.slots =
            flags & FORMAT_MESSAGE_ARGUMENT_ARRAY ? arguments : *(const UINT_PTR **)arguments;
    if (!error) {
        bool keep = (flags & FORMAT_MESSAGE_MAX_WIDTH_MASK) != FORMAT_MESSAGE_MAX_WIDTH_MASK;
        put(&text, NULL, 0);
        if (raw.length)
            expand(&text, raw.units, use_inserts ? &inserts : NULL, keep);
        if (raw.failed || text.failed)
            error = ERROR_NOT_ENOUGH_MEMORY;
    }
    free(raw.units);
    if (error) {
        free(text.units);
        return error;
    }
    *out = text.units;
    *length = text.length;
    return ERROR_SUCCESS;
}
