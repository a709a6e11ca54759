/*
 * Conversion between code pages and UTF-16, and lookups in the generated Unicode tables.
 *
 * Ill-formed UTF-8 becomes one U+FFFD per maximal subpart, as Windows has done since Vista
 * (MultiByteToWideChar's documentation; Unicode, section 3.9).
 */
#include "loader/win32/codepage.h"

#include <stdlib.h>

#include "loader/win32/errors.h"

UINT win32_codepage_resolve(UINT codepage)
{
    switch (codepage) {
    case CP_ACP:
    case CP_THREAD_ACP:
        return CP_ANSI_PAGE;
    case CP_OEMCP:
        return CP_OEM_PAGE;
    case CP_MACCP:
        return 10000;
    default:
        return codepage;
    }
}

const struct win32_codepage *win32_codepage_find(UINT codepage)
{
    codepage = win32_codepage_resolve(codepage);
    for (size_t i = 0; i < win32_codepage_count; i++) {
        if (win32_codepages[i].id == codepage)
            return &win32_codepages[i];
    }
    return NULL;
}

bool win32_codepage_valid(UINT codepage)
{
    return codepage == CP_UTF8 || win32_codepage_find(codepage) != NULL;
}

/* Where conversion results go: counts always, stores while there is room. */
struct sink {
    void *out;
    size_t size, used;
    bool wide, counting, full;
};

static void put(struct sink *sink, uint32_t unit)
{
    if (sink->counting) {
        sink->used++;
        return;
    }
    if (sink->used >= sink->size) {
        sink->full = true;
        return;
    }
    if (sink->wide)
        ((WCHAR *)sink->out)[sink->used++] = (WCHAR)unit;
    else
        ((char *)sink->out)[sink->used++] = (char)unit;
}

/* The lead byte's trail count and the bounds of its first trail byte (Unicode, table 3-7). */
static int utf8_lead(uint8_t lead, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF)
        return 1;
    if (lead >= 0xE0 && lead <= 0xEF) {
        *low = lead == 0xE0 ? 0xA0 : 0x80;
        *high = lead == 0xED ? 0x9F : 0xBF;
        return 2;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        *low = lead == 0xF0 ? 0x90 : 0x80;
        *high = lead == 0xF4 ? 0x8F : 0xBF;
        return 3;
    }
    return -1;
}

/* Decodes one character; returns bytes consumed, `*c` UINT32_MAX for an ill-formed subpart. */
static size_t utf8_decode(const uint8_t *in, size_t length, uint32_t *c)
{
    uint8_t low, high;
    *c = in[0];
    if (in[0] < 0x80)
        return 1;
    int trail = utf8_lead(in[0], &low, &high);
    *c = UINT32_MAX;
    if (trail < 0)
        return 1;
    uint32_t value = in[0] & (0x3F >> trail);
    for (int i = 1; i <= trail; i++) {
        if ((size_t)i >= length || in[i] < low || in[i] > high)
            return (size_t)i;
        value = (value << 6) | (in[i] & 0x3F);
        low = 0x80;
        high = 0xBF;
    }
    *c = value;
    return (size_t)trail + 1;
}

static uint32_t utf8_to_wide(bool strict, const char *in, size_t length, struct sink *sink)
{
    for (size_t i = 0; i < length && !sink->full;) {
        uint32_t c;
        i += utf8_decode((const uint8_t *)in + i, length - i, &c);
        if (c == UINT32_MAX && strict)
            return ERROR_NO_UNICODE_TRANSLATION;
        if (c == UINT32_MAX)
            c = 0xFFFD;
        if (c >= 0x10000) {
            put(sink, 0xD7C0 + (c >> 10));
            c = 0xDC00 + (c & 0x3FF);
        }
        put(sink, c);
    }
    return ERROR_SUCCESS;
}

uint32_t win32_to_wide(UINT codepage, bool strict, const char *in, size_t length, WCHAR *out,
                       size_t size, size_t *units)
{
    struct sink sink = {.out = out, .size = size, .wide = true, .counting = size == 0};
    uint32_t error = ERROR_SUCCESS;
    codepage = win32_codepage_resolve(codepage);
    if (codepage == CP_UTF8) {
        error = utf8_to_wide(strict, in, length, &sink);
    } else {
        const struct win32_codepage *page = win32_codepage_find(codepage);
        if (!page)
            return ERROR_INVALID_PARAMETER;
        for (size_t i = 0; i < length && !sink.full; i++)
            put(&sink, page->to_wide[(uint8_t)in[i]]);
    }
    *units = sink.used;
    return sink.full ? ERROR_INSUFFICIENT_BUFFER : error;
}

static void put_utf8(struct sink *sink, uint32_t c)
{
    if (c < 0x80) {
        put(sink, c);
        return;
    }
    int trail = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    /* A character that does not fit whole is not started. */
    if (!sink->counting && sink->size - sink->used <= (size_t)trail) {
        sink->full = true;
        return;
    }
    put(sink, ((0xFFu << (7 - trail)) & 0xFF) | (c >> (6 * trail)));
    while (trail-- > 0)
        put(sink, 0x80 | ((c >> (6 * trail)) & 0x3F));
}

static uint32_t wide_to_utf8(bool strict, const WCHAR *in, size_t length, struct sink *sink)
{
    for (size_t i = 0; i < length && !sink->full; i++) {
        uint32_t c = in[i];
        if (c >= 0xD800 && c < 0xDC00 && i + 1 < length && (in[i + 1] & 0xFC00) == 0xDC00) {
            c = 0x10000 + ((c & 0x3FF) << 10) + (in[++i] & 0x3FF);
        } else if ((c & 0xF800) == 0xD800) {
            if (strict)
                return ERROR_NO_UNICODE_TRANSLATION;
            c = 0xFFFD;
        }
        put_utf8(sink, c);
    }
    return ERROR_SUCCESS;
}

/* The byte for a character, or -1. Bytes below 0x80 are ASCII in all but the EBCDIC pages. */
static int byte_of(const struct win32_codepage *page, WCHAR c)
{
    if (c < 0x80 && page->to_wide[c] == c)
        return c;
    for (int i = 0; i < 256; i++) {
        if (page->to_wide[i] == c)
            return i;
    }
    return -1;
}

uint32_t win32_from_wide(UINT codepage, bool strict, const WCHAR *in, size_t length, char *out,
                         size_t size, char fallback, bool *used_fallback, size_t *units)
{
    struct sink sink = {.out = out, .size = size, .counting = size == 0};
    uint32_t error = ERROR_SUCCESS;
    codepage = win32_codepage_resolve(codepage);
    if (codepage == CP_UTF8) {
        error = wide_to_utf8(strict, in, length, &sink);
    } else {
        const struct win32_codepage *page = win32_codepage_find(codepage);
        if (!page)
            return ERROR_INVALID_PARAMETER;
        for (size_t i = 0; i < length && !sink.full; i++) {
            int byte = byte_of(page, in[i]);
            if (byte < 0 && used_fallback)
                *used_fallback = true;
            put(&sink, byte < 0 ? (uint8_t)fallback : (uint32_t)byte);
        }
    }
    *units = sink.used;
    return sink.full ? ERROR_INSUFFICIENT_BUFFER : error;
}

static int compare_pair(const void *key, const void *member)
{
    return (int)*(const WCHAR *)key - (int)((const struct win32_case_pair *)member)->from;
}

static WCHAR map_case(WCHAR c, const struct win32_case_pair *pairs, size_t count)
{
    const struct win32_case_pair *pair = bsearch(&c, pairs, count, sizeof(*pairs), compare_pair);
    return pair ? pair->to : c;
}

WCHAR win32_upper(WCHAR c)
{
    if (c < 0x80)
        return c >= 'a' && c <= 'z' ? c - 0x20 : c;
    return map_case(c, win32_upper_pairs, win32_upper_pair_count);
}

WCHAR win32_lower(WCHAR c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + 0x20 : c;
    return map_case(c, win32_lower_pairs, win32_lower_pair_count);
}

static int compare_run(const void *key, const void *member)
{
    WCHAR c = *(const WCHAR *)key;
    const struct win32_ctype_run *run = member;
    return c < run->first ? -1 : c > run->last ? 1 : 0;
}

const struct win32_ctype_run *win32_ctype(WCHAR c)
{
    /* The runs cover every value. */
    return bsearch(&c, win32_ctype_runs, win32_ctype_run_count, sizeof(*win32_ctype_runs),
                   compare_run);
}
