/*
 * Conversions of counted strings: between UTF-16 and the ANSI, OEM and UTF-8 code pages, and from
 * and to numbers (WDK documentation of each function).
 *
 * The ANSI and OEM pages are single-byte (codepage.h): one byte a UTF-16 unit, both ways.
 */
#include <string.h>

#include "loader/win32/codepage.h"
#include "loader/win32/errors.h"
#include "loader/win32/heap.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/strings.h"

enum {
    STATUS_SOME_NOT_MAPPED = 0x00000107,
    STATUS_INVALID_PARAMETER_2 = (int)0xC00000F0,
    STATUS_INVALID_PARAMETER_5 = (int)0xC00000F3,
};

/* ---- single-byte pages: what does not fit is cut without an error -------------------------------
 */

static nt_status widen_bytes(UINT page, WCHAR *out, ULONG out_bytes, ULONG *done, const char *in,
                             ULONG in_bytes)
{
    size_t units = 0, count = out_bytes / sizeof(WCHAR);
    if (count > in_bytes)
        count = in_bytes;
    if (count)
        win32_to_wide(page, false, in, count, out, count, &units);
    if (done)
        *done = (ULONG)(units * sizeof(WCHAR));
    return STATUS_SUCCESS;
}

static nt_status narrow_units(UINT page, char *out, ULONG out_bytes, ULONG *done, const WCHAR *in,
                              ULONG in_bytes)
{
    size_t bytes = 0, count = in_bytes / sizeof(WCHAR);
    if (count > out_bytes)
        count = out_bytes;
    if (count)
        win32_from_wide(page, false, in, count, out, count, '?', NULL, &bytes);
    if (done)
        *done = (ULONG)bytes;
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_RtlMultiByteToUnicodeN(WCHAR *out, ULONG out_bytes, ULONG *done,
                                                      const char *in, ULONG in_bytes)
{
    return widen_bytes(CP_ACP, out, out_bytes, done, in, in_bytes);
}

static nt_status WINAPI_DEF nt_RtlOemToUnicodeN(WCHAR *out, ULONG out_bytes, ULONG *done,
                                                const char *in, ULONG in_bytes)
{
    return widen_bytes(CP_OEMCP, out, out_bytes, done, in, in_bytes);
}

static nt_status WINAPI_DEF nt_RtlUnicodeToMultiByteN(char *out, ULONG out_bytes, ULONG *done,
                                                      const WCHAR *in, ULONG in_bytes)
{
    return narrow_units(CP_ACP, out, out_bytes, done, in, in_bytes);
}

static nt_status WINAPI_DEF nt_RtlUnicodeToOemN(char *out, ULONG out_bytes, ULONG *done,
                                                const WCHAR *in, ULONG in_bytes)
{
    return narrow_units(CP_OEMCP, out, out_bytes, done, in, in_bytes);
}

static nt_status WINAPI_DEF nt_RtlMultiByteToUnicodeSize(ULONG *bytes, const char *in,
                                                         ULONG in_bytes)
{
    *bytes = in_bytes * (ULONG)sizeof(WCHAR);
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_RtlUnicodeToMultiByteSize(ULONG *bytes, const WCHAR *in,
                                                         ULONG in_bytes)
{
    *bytes = in_bytes / (ULONG)sizeof(WCHAR);
    return STATUS_SUCCESS;
}

/* ---- counted strings ----------------------------------------------------------------------------
 */

static nt_status widen_string(UINT page, UNICODE_STRING *out, const ANSI_STRING *in, bool allocate)
{
    uint32_t total = in->Length * (uint32_t)sizeof(WCHAR) + (uint32_t)sizeof(WCHAR);
    if (total > 0xFFFF)
        return (nt_status)STATUS_INVALID_PARAMETER_2;
    if (allocate) {
        WCHAR *buffer = win32_heap_alloc(0, total);
        if (!buffer)
            return STATUS_NO_MEMORY;
        out->Buffer = buffer;
        out->MaximumLength = (USHORT)total;
    } else if (total > out->MaximumLength) {
        return (nt_status)STATUS_BUFFER_OVERFLOW;
    }
    out->Length = (USHORT)(total - sizeof(WCHAR));
    widen_bytes(page, out->Buffer, out->Length, NULL, in->Buffer, in->Length);
    out->Buffer[out->Length / sizeof(WCHAR)] = 0;
    return STATUS_SUCCESS;
}

/* A buffer that is too small gets what fits with a NUL, and STATUS_BUFFER_OVERFLOW. */
static nt_status narrow_string(UINT page, ANSI_STRING *out, const UNICODE_STRING *in, bool allocate)
{
    nt_status status = STATUS_SUCCESS;
    USHORT bytes = in->Length / sizeof(WCHAR);
    if (allocate) {
        char *buffer = win32_heap_alloc(0, bytes + 1u);
        if (!buffer)
            return STATUS_NO_MEMORY;
        out->Buffer = buffer;
        out->MaximumLength = (USHORT)(bytes + 1);
    } else if (bytes >= out->MaximumLength) {
        status = (nt_status)STATUS_BUFFER_OVERFLOW;
        if (!out->MaximumLength)
            return status;
        bytes = (USHORT)(out->MaximumLength - 1);
    }
    out->Length = bytes;
    narrow_units(page, out->Buffer, bytes, NULL, in->Buffer, in->Length);
    out->Buffer[bytes] = 0;
    return status;
}

static nt_status WINAPI_DEF nt_RtlAnsiStringToUnicodeString(UNICODE_STRING *out,
                                                            const ANSI_STRING *in, BOOLEAN allocate)
{
    return widen_string(CP_ACP, out, in, allocate);
}

static nt_status WINAPI_DEF nt_RtlOemStringToUnicodeString(UNICODE_STRING *out,
                                                           const ANSI_STRING *in, BOOLEAN allocate)
{
    return widen_string(CP_OEMCP, out, in, allocate);
}

static nt_status WINAPI_DEF nt_RtlUnicodeStringToAnsiString(ANSI_STRING *out,
                                                            const UNICODE_STRING *in,
                                                            BOOLEAN allocate)
{
    return narrow_string(CP_ACP, out, in, allocate);
}

static nt_status WINAPI_DEF nt_RtlUnicodeStringToOemString(ANSI_STRING *out,
                                                           const UNICODE_STRING *in,
                                                           BOOLEAN allocate)
{
    return narrow_string(CP_OEMCP, out, in, allocate);
}

/* Both count the NUL. */
static ULONG WINAPI_DEF nt_RtlAnsiStringToUnicodeSize(const ANSI_STRING *in)
{
    return (in->Length + 1u) * (ULONG)sizeof(WCHAR);
}

static ULONG WINAPI_DEF nt_RtlUnicodeStringToAnsiSize(const UNICODE_STRING *in)
{
    return in->Length / (ULONG)sizeof(WCHAR) + 1;
}

static BOOLEAN WINAPI_DEF nt_RtlCreateUnicodeStringFromAsciiz(UNICODE_STRING *out, const char *in)
{
    size_t length = strlen(in);
    ANSI_STRING string = {(USHORT)length, (USHORT)length, (char *)in};
    return length <= 0xFFFF && nt_ok(widen_string(CP_ACP, out, &string, true));
}

/* ---- UTF-8 --------------------------------------------------------------------------------------
 */

/* What both functions answer for bad arguments; STATUS_SUCCESS to go on. */
static nt_status check_utf8_arguments(const void *out, const void *in, const ULONG *done)
{
    if (!in)
        return (nt_status)STATUS_INVALID_PARAMETER_4;
    return out || done ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

static nt_status WINAPI_DEF nt_RtlUTF8ToUnicodeN(WCHAR *out, ULONG out_bytes, ULONG *done,
                                                 const char *in, ULONG in_bytes)
{
    size_t needed = 0, units = 0, room = out_bytes / sizeof(WCHAR);
    nt_status status = check_utf8_arguments(out, in, done);
    if (!nt_ok(status))
        return status;
    if (win32_to_wide(CP_UTF8, true, in, in_bytes, NULL, 0, &units))
        status = STATUS_SOME_NOT_MAPPED;
    win32_to_wide(CP_UTF8, false, in, in_bytes, NULL, 0, &needed);
    units = needed;
    if (out && room) {
        win32_to_wide(CP_UTF8, false, in, in_bytes, out, room, &units);
        /* A pair is written whole or not at all. */
        if (units < needed && (out[units - 1] & 0xFC00) == 0xD800)
            units--;
    } else if (out) {
        units = 0;
    }
    if (done)
        *done = (ULONG)(units * sizeof(WCHAR));
    return units < needed ? (nt_status)STATUS_BUFFER_TOO_SMALL : status;
}

static nt_status WINAPI_DEF nt_RtlUnicodeToUTF8N(char *out, ULONG out_bytes, ULONG *done,
                                                 const WCHAR *in, ULONG in_bytes)
{
    size_t needed = 0, bytes = 0, units = in_bytes / sizeof(WCHAR);
    nt_status status = check_utf8_arguments(out, in, done);
    if (!nt_ok(status))
        return status;
    if (in_bytes % sizeof(WCHAR))
        return (nt_status)STATUS_INVALID_PARAMETER_5;
    if (win32_from_wide(CP_UTF8, true, in, units, NULL, 0, 0, NULL, &bytes))
        status = STATUS_SOME_NOT_MAPPED;
    win32_from_wide(CP_UTF8, false, in, units, NULL, 0, 0, NULL, &needed);
    bytes = needed;
    if (out && out_bytes)
        win32_from_wide(CP_UTF8, false, in, units, out, out_bytes, 0, NULL, &bytes);
    else if (out)
        bytes = 0;
    if (done)
        *done = (ULONG)bytes;
    return bytes < needed ? (nt_status)STATUS_BUFFER_TOO_SMALL : status;
}

/* ---- numbers ------------------------------------------------------------------------------------
 */

static int digit_of(WCHAR c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

static bool is_base(ULONG base)
{
    return base == 2 || base == 8 || base == 10 || base == 16;
}

/*
 * White space, a sign, with base 0 a prefix 0x, 0o or 0b, then digits up to the first that is none;
 * no digit at all is 0, overflow wraps.
 */
static nt_status parse_integer(const WCHAR *s, size_t length, ULONG base, ULONG *out)
{
    size_t i = 0;
    ULONG value = 0;
    while (i < length && s[i] <= ' ')
        i++;
    bool negative = i < length && s[i] == '-';
    if (i < length && (s[i] == '-' || s[i] == '+'))
        i++;
    if (base == 0) {
        WCHAR prefix = i + 1 < length && s[i] == '0' ? s[i + 1] : 0;
        base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 10;
        i += base == 10 ? 0 : 2;
    } else if (!is_base(base)) {
        return STATUS_INVALID_PARAMETER;
    }
    if (!out)
        return (nt_status)STATUS_ACCESS_VIOLATION;
    for (; i < length && (ULONG)digit_of(s[i]) < base; i++)
        value = value * base + (ULONG)digit_of(s[i]);
    *out = negative ? 0 - value : value;
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_RtlUnicodeStringToInteger(const UNICODE_STRING *string, ULONG base,
                                                         ULONG *out)
{
    return parse_integer(string->Buffer, string->Length / sizeof(WCHAR), base, out);
}

static nt_status WINAPI_DEF nt_RtlCharToInteger(const char *text, ULONG base, ULONG *out)
{
    WCHAR wide[128];
    size_t length = 0;
    while (*text && (uint8_t)*text <= ' ')
        text++;
    for (; length < sizeof(wide) / sizeof(*wide) && text[length]; length++)
        wide[length] = (uint8_t)text[length];
    return parse_integer(wide, length, base, out);
}

/* Digits without a NUL; returns how many. */
static size_t format_integer(ULONG value, ULONG base, char out[32])
{
    char reversed[32];
    size_t length = 0;
    do {
        reversed[length++] = "0123456789ABCDEF"[value % base];
        value /= base;
    } while (value);
    for (size_t i = 0; i < length; i++)
        out[i] = reversed[length - 1 - i];
    return length;
}

static nt_status WINAPI_DEF nt_RtlIntegerToChar(ULONG value, ULONG base, ULONG size, char *out)
{
    char digits[32];
    if (base && !is_base(base))
        return STATUS_INVALID_PARAMETER;
    size_t length = format_integer(value, base ? base : 10, digits);
    if (length > size)
        return (nt_status)STATUS_BUFFER_OVERFLOW;
    if (!out)
        return (nt_status)STATUS_ACCESS_VIOLATION;
    memcpy(out, digits, length);
    if (length < size)
        out[length] = 0;
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_RtlIntegerToUnicodeString(ULONG value, ULONG base,
                                                         UNICODE_STRING *out)
{
    char digits[32];
    if (base && !is_base(base))
        return STATUS_INVALID_PARAMETER;
    size_t length = format_integer(value, base ? base : 10, digits);
    ANSI_STRING string = {(USHORT)length, (USHORT)length, digits};
    out->Length = (USHORT)(length * sizeof(WCHAR));
    return widen_string(CP_ACP, out, &string, false);
}

#define ALIAS(alias, fn)                                                              \
    {                                                                                 \
        .name = #alias, .kind = LDR_EXPORT_FUNCTION, .address = (const void *)nt_##fn \
    }

const struct ldr_builtin_export ntdll_strconv_exports[] = {
    LDR_FN(nt_, RtlMultiByteToUnicodeN),
    LDR_FN(nt_, RtlOemToUnicodeN),
    LDR_FN(nt_, RtlUnicodeToMultiByteN),
    LDR_FN(nt_, RtlUnicodeToOemN),
    LDR_FN(nt_, RtlMultiByteToUnicodeSize),
    LDR_FN(nt_, RtlUnicodeToMultiByteSize),
    LDR_FN(nt_, RtlAnsiStringToUnicodeString),
    LDR_FN(nt_, RtlOemStringToUnicodeString),
    LDR_FN(nt_, RtlUnicodeStringToAnsiString),
    LDR_FN(nt_, RtlUnicodeStringToOemString),
    LDR_FN(nt_, RtlAnsiStringToUnicodeSize),
    ALIAS(RtlxAnsiStringToUnicodeSize, RtlAnsiStringToUnicodeSize),
    ALIAS(RtlxOemStringToUnicodeSize, RtlAnsiStringToUnicodeSize),
    LDR_FN(nt_, RtlUnicodeStringToAnsiSize),
    ALIAS(RtlxUnicodeStringToAnsiSize, RtlUnicodeStringToAnsiSize),
    ALIAS(RtlUnicodeStringToOemSize, RtlUnicodeStringToAnsiSize),
    ALIAS(RtlxUnicodeStringToOemSize, RtlUnicodeStringToAnsiSize),
    LDR_FN(nt_, RtlCreateUnicodeStringFromAsciiz),
    LDR_FN(nt_, RtlUTF8ToUnicodeN),
    LDR_FN(nt_, RtlUnicodeToUTF8N),
    LDR_FN(nt_, RtlUnicodeStringToInteger),
    LDR_FN(nt_, RtlCharToInteger),
    LDR_FN(nt_, RtlIntegerToChar),
    LDR_FN(nt_, RtlIntegerToUnicodeString),
};
const size_t ntdll_strconv_count = sizeof(ntdll_strconv_exports) / sizeof(*ntdll_strconv_exports);
