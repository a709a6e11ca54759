/*
 * Counted strings: ANSI_STRING and UNICODE_STRING, their making, copying, comparing, case mapping
 * and freeing (ntstrsafe and "Run-Time Library (RTL) Routines" of the WDK documentation).
 *
 * Lengths are bytes. What an Rtl function allocates is a block of the process heap.
 */
#include <string.h>

#include "loader/win32/codepage.h"
#include "loader/win32/errors.h"
#include "loader/win32/heap.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/strings.h"

#define MAX_WIDE_BYTES 0xFFFCu /* with its NUL it still fits a USHORT */
#define MAX_ANSI_BYTES 0xFFFEu

/* ---- making ------------------------------------------------------------------------------------
 */

static void WINAPI_DEF nt_RtlInitUnicodeString(UNICODE_STRING *out, const WCHAR *text)
{
    size_t bytes = text ? win32_wlen(text) * sizeof(WCHAR) : 0;
    if (bytes > MAX_WIDE_BYTES)
        bytes = MAX_WIDE_BYTES;
    out->Length = (USHORT)bytes;
    out->MaximumLength = text ? (USHORT)(bytes + sizeof(WCHAR)) : 0;
    out->Buffer = (WCHAR *)text;
}

static nt_status WINAPI_DEF nt_RtlInitUnicodeStringEx(UNICODE_STRING *out, const WCHAR *text)
{
    if (text && win32_wlen(text) * sizeof(WCHAR) > MAX_WIDE_BYTES) {
        out->Length = out->MaximumLength = 0;
        return (nt_status)STATUS_NAME_TOO_LONG;
    }
    nt_RtlInitUnicodeString(out, text);
    return STATUS_SUCCESS;
}

static void WINAPI_DEF nt_RtlInitAnsiString(ANSI_STRING *out, const char *text)
{
    size_t bytes = text ? strlen(text) : 0;
    if (bytes > MAX_ANSI_BYTES)
        bytes = MAX_ANSI_BYTES;
    out->Length = (USHORT)bytes;
    out->MaximumLength = text ? (USHORT)(bytes + 1) : 0;
    out->Buffer = (char *)text;
}

static nt_status WINAPI_DEF nt_RtlInitAnsiStringEx(ANSI_STRING *out, const char *text)
{
    if (text && strlen(text) > MAX_ANSI_BYTES) {
        out->Length = out->MaximumLength = 0;
        return (nt_status)STATUS_NAME_TOO_LONG;
    }
    nt_RtlInitAnsiString(out, text);
    return STATUS_SUCCESS;
}

/* A string of its own with a NUL behind `bytes` bytes of `text`. */
static bool duplicate(UNICODE_STRING *out, const WCHAR *text, size_t bytes)
{
    WCHAR *copy = win32_heap_alloc(0, bytes + sizeof(WCHAR));
    if (!copy)
        return false;
    memcpy(copy, text, bytes);
    copy[bytes / sizeof(WCHAR)] = 0;
    *out = (UNICODE_STRING){(USHORT)bytes, (USHORT)(bytes + sizeof(WCHAR)), copy};
    return true;
}

static BOOLEAN WINAPI_DEF nt_RtlCreateUnicodeString(UNICODE_STRING *out, const WCHAR *text)
{
    size_t bytes = win32_wlen(text) * sizeof(WCHAR);
    return bytes <= MAX_WIDE_BYTES && duplicate(out, text, bytes);
}

enum { DUPLICATE_NULL_TERMINATE = 1, DUPLICATE_ALLOCATE_NULL_STRING = 2 };

static nt_status WINAPI_DEF nt_RtlDuplicateUnicodeString(ULONG flags, const UNICODE_STRING *in,
                                                         UNICODE_STRING *out)
{
    ULONG both = DUPLICATE_NULL_TERMINATE | DUPLICATE_ALLOCATE_NULL_STRING;
    bool terminate = flags & DUPLICATE_NULL_TERMINATE;
    bool is_empty = !in || !in->Length;
    if (!out || (flags & ~both) || (flags & both) == DUPLICATE_ALLOCATE_NULL_STRING ||
        (in && (in->Length > in->MaximumLength || in->Length % 2)))
        return STATUS_INVALID_PARAMETER;
    if (terminate && !is_empty && in->Length > MAX_WIDE_BYTES)
        return (nt_status)STATUS_NAME_TOO_LONG;
    *out = (UNICODE_STRING){0, 0, NULL};
    if (is_empty && !(flags & DUPLICATE_ALLOCATE_NULL_STRING))
        return STATUS_SUCCESS;
    if (!duplicate(out, is_empty ? (const WCHAR[]){0} : in->Buffer, is_empty ? 0 : in->Length))
        return STATUS_NO_MEMORY;
    if (!terminate)
        out->MaximumLength = out->Length;
    return STATUS_SUCCESS;
}

static void WINAPI_DEF nt_RtlFreeUnicodeString(UNICODE_STRING *string)
{
    if (string->Buffer)
        win32_heap_free(string->Buffer);
    *string = (UNICODE_STRING){0, 0, NULL};
}

static void WINAPI_DEF nt_RtlFreeAnsiString(ANSI_STRING *string)
{
    if (string->Buffer)
        win32_heap_free(string->Buffer);
    *string = (ANSI_STRING){0, 0, NULL};
}

/* ---- copying -----------------------------------------------------------------------------------
 */

/* Cut to what the target holds; a NUL follows where there is room for it. */
static void WINAPI_DEF nt_RtlCopyUnicodeString(UNICODE_STRING *out, const UNICODE_STRING *in)
{
    USHORT bytes = in ? in->Length : 0;
    if (bytes > out->MaximumLength)
        bytes = out->MaximumLength;
    if (bytes)
        memmove(out->Buffer, in->Buffer, bytes);
    out->Length = bytes;
    if (in && bytes + sizeof(WCHAR) <= out->MaximumLength)
        out->Buffer[bytes / sizeof(WCHAR)] = 0;
}

static void WINAPI_DEF nt_RtlCopyString(ANSI_STRING *out, const ANSI_STRING *in)
{
    USHORT bytes = in ? in->Length : 0;
    if (bytes > out->MaximumLength)
        bytes = out->MaximumLength;
    if (bytes)
        memmove(out->Buffer, in->Buffer, bytes);
    out->Length = bytes;
}

static nt_status append_wide(UNICODE_STRING *out, const WCHAR *text, size_t bytes)
{
    if (bytes > (size_t)(out->MaximumLength - out->Length))
        return (nt_status)STATUS_BUFFER_TOO_SMALL;
    memmove((char *)out->Buffer + out->Length, text, bytes);
    out->Length = (USHORT)(out->Length + bytes);
    if (out->Length + sizeof(WCHAR) <= out->MaximumLength)
        out->Buffer[out->Length / sizeof(WCHAR)] = 0;
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_RtlAppendUnicodeToString(UNICODE_STRING *out, const WCHAR *text)
{
    return text ? append_wide(out, text, win32_wlen(text) * sizeof(WCHAR)) : STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_RtlAppendUnicodeStringToString(UNICODE_STRING *out,
                                                              const UNICODE_STRING *in)
{
    return in->Length ? append_wide(out, in->Buffer, in->Length) : STATUS_SUCCESS;
}

static nt_status append_ansi(ANSI_STRING *out, const char *text, size_t bytes)
{
    if (bytes > (size_t)(out->MaximumLength - out->Length))
        return (nt_status)STATUS_BUFFER_TOO_SMALL;
    memmove(out->Buffer + out->Length, text, bytes);
    out->Length = (USHORT)(out->Length + bytes);
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_RtlAppendAsciizToString(ANSI_STRING *out, const char *text)
{
    return text ? append_ansi(out, text, strlen(text)) : STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_RtlAppendStringToString(ANSI_STRING *out, const ANSI_STRING *in)
{
    return in->Length ? append_ansi(out, in->Buffer, in->Length) : STATUS_SUCCESS;
}

/* ---- comparing ---------------------------------------------------------------------------------
 */

static LONG compare_wide(const WCHAR *a, size_t na, const WCHAR *b, size_t nb, bool ignore_case)
{
    for (size_t i = 0; i < na && i < nb; i++) {
        WCHAR ca = ignore_case ? win32_upper(a[i]) : a[i];
        WCHAR cb = ignore_case ? win32_upper(b[i]) : b[i];
        if (ca != cb)
            return (LONG)ca - (LONG)cb;
    }
    return (LONG)na - (LONG)nb;
}

static LONG WINAPI_DEF nt_RtlCompareUnicodeStrings(const WCHAR *a, SIZE_T na, const WCHAR *b,
                                                   SIZE_T nb, BOOLEAN ignore_case)
{
    return compare_wide(a, na, b, nb, ignore_case);
}

static LONG WINAPI_DEF nt_RtlCompareUnicodeString(const UNICODE_STRING *a, const UNICODE_STRING *b,
                                                  BOOLEAN ignore_case)
{
    return compare_wide(a->Buffer, a->Length / sizeof(WCHAR), b->Buffer, b->Length / sizeof(WCHAR),
                        ignore_case);
}

static BOOLEAN WINAPI_DEF nt_RtlEqualUnicodeString(const UNICODE_STRING *a, const UNICODE_STRING *b,
                                                   BOOLEAN ignore_case)
{
    return a->Length == b->Length && nt_RtlCompareUnicodeString(a, b, ignore_case) == 0;
}

/* TRUE when `b` begins with `a`. */
static BOOLEAN WINAPI_DEF nt_RtlPrefixUnicodeString(const UNICODE_STRING *a,
                                                    const UNICODE_STRING *b, BOOLEAN ignore_case)
{
    size_t units = a->Length / sizeof(WCHAR);
    return a->Length <= b->Length &&
           compare_wide(a->Buffer, units, b->Buffer, units, ignore_case) == 0;
}

/* The upper case of an ANSI character, where the page has it. */
static char WINAPI_DEF nt_RtlUpperChar(char c)
{
    WCHAR wide = 0;
    char upper = c;
    size_t units = 0;
    bool missing = false;
    if (win32_to_wide(CP_ACP, false, &c, 1, &wide, 1, &units))
        return c;
    wide = win32_upper(wide);
    win32_from_wide(CP_ACP, false, &wide, 1, &upper, 1, c, &missing, &units);
    return upper;
}

static LONG compare_ansi(const char *a, size_t na, const char *b, size_t nb, bool ignore_case)
{
    for (size_t i = 0; i < na && i < nb; i++) {
        uint8_t ca = (uint8_t)(ignore_case ? nt_RtlUpperChar(a[i]) : a[i]);
        uint8_t cb = (uint8_t)(ignore_case ? nt_RtlUpperChar(b[i]) : b[i]);
        if (ca != cb)
            return (LONG)ca - (LONG)cb;
    }
    return (LONG)na - (LONG)nb;
}

static LONG WINAPI_DEF nt_RtlCompareString(const ANSI_STRING *a, const ANSI_STRING *b,
                                           BOOLEAN ignore_case)
{
    return compare_ansi(a->Buffer, a->Length, b->Buffer, b->Length, ignore_case);
}

static BOOLEAN WINAPI_DEF nt_RtlEqualString(const ANSI_STRING *a, const ANSI_STRING *b,
                                            BOOLEAN ignore_case)
{
    return a->Length == b->Length && nt_RtlCompareString(a, b, ignore_case) == 0;
}

static BOOLEAN WINAPI_DEF nt_RtlPrefixString(const ANSI_STRING *a, const ANSI_STRING *b,
                                             BOOLEAN ignore_case)
{
    return a->Length <= b->Length &&
           compare_ansi(a->Buffer, a->Length, b->Buffer, a->Length, ignore_case) == 0;
}

enum { HASH_STRING_ALGORITHM_DEFAULT = 0, HASH_STRING_ALGORITHM_X65599 = 1 };

static nt_status WINAPI_DEF nt_RtlHashUnicodeString(const UNICODE_STRING *string,
                                                    BOOLEAN ignore_case, ULONG algorithm,
                                                    ULONG *out)
{
    if (!string || !out || algorithm > HASH_STRING_ALGORITHM_X65599)
        return STATUS_INVALID_PARAMETER;
    ULONG hash = 0;
    for (size_t i = 0; i < string->Length / sizeof(WCHAR); i++) {
        WCHAR c = string->Buffer[i];
        hash = hash * 65599 + (ignore_case ? win32_upper(c) : c);
    }
    *out = hash;
    return STATUS_SUCCESS;
}

/* ---- case --------------------------------------------------------------------------------------
 */

static WCHAR WINAPI_DEF nt_RtlUpcaseUnicodeChar(WCHAR c)
{
    return win32_upper(c);
}

static WCHAR WINAPI_DEF nt_RtlDowncaseUnicodeChar(WCHAR c)
{
    return win32_lower(c);
}

/* Without a NUL at the end, as documented. */
static nt_status map_case(UNICODE_STRING *out, const UNICODE_STRING *in, bool allocate,
                          WCHAR (*map)(WCHAR))
{
    if (allocate) {
        out->Buffer = win32_heap_alloc(0, in->Length);
        if (!out->Buffer)
            return STATUS_NO_MEMORY;
        out->MaximumLength = in->Length;
    } else if (in->Length > out->MaximumLength) {
        return (nt_status)STATUS_BUFFER_OVERFLOW;
    }
    for (size_t i = 0; i < in->Length / sizeof(WCHAR); i++)
        out->Buffer[i] = map(in->Buffer[i]);
    out->Length = in->Length;
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_RtlUpcaseUnicodeString(UNICODE_STRING *out, const UNICODE_STRING *in,
                                                      BOOLEAN allocate)
{
    return map_case(out, in, allocate, win32_upper);
}

static nt_status WINAPI_DEF nt_RtlDowncaseUnicodeString(UNICODE_STRING *out,
                                                        const UNICODE_STRING *in, BOOLEAN allocate)
{
    return map_case(out, in, allocate, win32_lower);
}

static void WINAPI_DEF nt_RtlUpperString(ANSI_STRING *out, const ANSI_STRING *in)
{
    USHORT bytes = in->Length < out->MaximumLength ? in->Length : out->MaximumLength;
    for (USHORT i = 0; i < bytes; i++)
        out->Buffer[i] = nt_RtlUpperChar(in->Buffer[i]);
    out->Length = bytes;
}

#define ALIAS(alias, fn)                                                              \
    {                                                                                 \
        .name = #alias, .kind = LDR_EXPORT_FUNCTION, .address = (const void *)nt_##fn \
    }

const struct ldr_builtin_export ntdll_string_exports[] = {
    LDR_FN(nt_, RtlInitUnicodeString),
    LDR_FN(nt_, RtlInitUnicodeStringEx),
    LDR_FN(nt_, RtlInitAnsiString),
    LDR_FN(nt_, RtlInitAnsiStringEx),
    ALIAS(RtlInitString, RtlInitAnsiString),
    ALIAS(RtlInitStringEx, RtlInitAnsiStringEx),
    LDR_FN(nt_, RtlCreateUnicodeString),
    LDR_FN(nt_, RtlDuplicateUnicodeString),
    LDR_FN(nt_, RtlFreeUnicodeString),
    LDR_FN(nt_, RtlFreeAnsiString),
    ALIAS(RtlFreeOemString, RtlFreeAnsiString),
    ALIAS(RtlFreeUTF8String, RtlFreeAnsiString),
    LDR_FN(nt_, RtlCopyUnicodeString),
    LDR_FN(nt_, RtlCopyString),
    LDR_FN(nt_, RtlAppendUnicodeToString),
    LDR_FN(nt_, RtlAppendUnicodeStringToString),
    LDR_FN(nt_, RtlAppendAsciizToString),
    LDR_FN(nt_, RtlAppendStringToString),
    LDR_FN(nt_, RtlCompareUnicodeStrings),
    LDR_FN(nt_, RtlCompareUnicodeString),
    LDR_FN(nt_, RtlEqualUnicodeString),
    LDR_FN(nt_, RtlPrefixUnicodeString),
    LDR_FN(nt_, RtlCompareString),
    LDR_FN(nt_, RtlEqualString),
    LDR_FN(nt_, RtlPrefixString),
    LDR_FN(nt_, RtlHashUnicodeString),
    LDR_FN(nt_, RtlUpcaseUnicodeChar),
    LDR_FN(nt_, RtlDowncaseUnicodeChar),
    LDR_FN(nt_, RtlUpcaseUnicodeString),
    LDR_FN(nt_, RtlDowncaseUnicodeString),
    LDR_FN(nt_, RtlUpperChar),
    LDR_FN(nt_, RtlUpperString),
};
const size_t ntdll_string_count = sizeof(ntdll_string_exports) / sizeof(*ntdll_string_exports);
