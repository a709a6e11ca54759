/*
 * Names, sentences and Win32 codes of NTSTATUS values, and the error record.
 *
 * Everything about a status comes from NT_STATUS_TABLE (status.h). A record keeps its first
 * failure: the room closest to the cause knows best what went wrong, outer rooms only say who
 * wanted it.
 */
#include "pe/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WIN32_MR_MID_NOT_FOUND 317u /* what RtlNtStatusToDosError answers for a status it lacks */

struct status_row {
    nt_status status;
    uint32_t win32;
    const char *name, *text;
};

#define ROW(name, value, win32, text) {value, win32, #name, text},
static const struct status_row rows[] = {NT_STATUS_TABLE(ROW)};
#undef ROW

static const struct status_row *row_of(nt_status status)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].status == status)
            return &rows[i];
    return NULL;
}

const char *nt_status_name(nt_status status)
{
    const struct status_row *row = row_of(status);
    return row ? row->name : "STATUS_UNKNOWN";
}

const char *nt_status_text(nt_status status)
{
    const struct status_row *row = row_of(status);
    return row ? row->text : "an unknown status";
}

uint32_t nt_status_to_win32(nt_status status)
{
    const struct status_row *row = row_of(status);
    return row ? row->win32 : WIN32_MR_MID_NOT_FOUND;
}

/* A sentence cut by the buffer's end must not end inside a UTF-8 sequence. */
static void trim_utf8(char *text)
{
    size_t len = strlen(text), back = 0;
    while (back < 4 && back < len && (text[len - 1 - back] & 0xc0) == 0x80)
        back++;
    if (back == len)
        return;
    unsigned char lead = (unsigned char)text[len - 1 - back];
    size_t need = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    if (back < need)
        text[len - 1 - back] = 0;
}

/* Length of the well-formed UTF-8 sequence at `s` (Unicode Standard, table 3-7); 0 for anything
 * else and for control characters, which a terminal would obey. Lines may be broken. */
static size_t printable_sequence(const unsigned char *s)
{
    size_t len = s[0] < 0xc2 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (len == 1)
        return (s[0] >= 0x20 && s[0] < 0x7f) || s[0] == '\n';
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool refused = (s[0] == 0xc2 && s[1] < 0xa0) || (s[0] == 0xe0 && s[1] < 0xa0) ||
                   (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
                   (s[0] == 0xf4 && s[1] > 0x8f) || s[0] > 0xf4;
    return refused ? 0 : len;
}

/* Sentences quote names from files, which may hold any byte: what is no text becomes '?'. */
static void make_printable(char *text)
{
    while (*text) {
        size_t len = printable_sequence((const unsigned char *)text);
        if (len == 0)
            *text = '?';
        text += len ? len : 1;
    }
}

static nt_status record(struct pe_error *err, nt_status status, const char *rule, const char *fmt,
                        va_list ap)
{
    if (!err || !nt_ok(err->status))
        return status;
    err->status = status;
    err->rule = rule;
    if (vsnprintf(err->text, sizeof(err->text), fmt, ap) >= (int)sizeof(err->text))
        trim_utf8(err->text);
    make_printable(err->text);
    return status;
}

nt_status pe_fail(struct pe_error *err, nt_status status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    record(err, status, NULL, fmt, ap);
    va_end(ap);
    return status;
}

nt_status pe_fail_rule(struct pe_error *err, nt_status status, const char *rule, const char *fmt,
                       ...)
{
    va_list ap;
    va_start(ap, fmt);
    record(err, status, rule, fmt, ap);
    va_end(ap);
    return status;
}

void pe_error_prefix(struct pe_error *err, const char *fmt, ...)
{
    if (!err || nt_ok(err->status))
        return;
    char prefix[sizeof(err->text)];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(prefix, sizeof(prefix), fmt, ap);
    va_end(ap);
    make_printable(prefix);
    size_t prefix_len = strlen(prefix), len = strlen(err->text);
    size_t room = sizeof(err->text) - 1 - prefix_len;
    bool cut = len > room;
    memmove(err->text + prefix_len, err->text, cut ? room : len);
    memcpy(err->text, prefix, prefix_len);
    err->text[prefix_len + (cut ? room : len)] = 0;
    if (cut)
        trim_utf8(err->text);
}
