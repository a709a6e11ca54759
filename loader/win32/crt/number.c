/*
 * Numbers and text: strtol and its family with Windows's 32-bit long, strtod over glibc, _itoa and
 * its family, _ecvt and _fcvt.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "loader/win32/crt/internal.h"

/* ---- text to integers
 * ------------------------------------------------------------------------------- */

struct text { /* narrow or wide, one reader for both */
    const void *units;
    bool wide;
};

static int unit_at(const struct text *t, size_t at)
{
    return t->wide ? ((const crt_wchar *)t->units)[at] : ((const unsigned char *)t->units)[at];
}

struct integer {
    uint64_t magnitude; /* saturated */
    bool negative, overflow;
    size_t length; /* units, 0 = no number */
};

static unsigned digit_at(const struct text *t, size_t at)
{
    int c = crt_lower(unit_at(t, at));
    return c >= '0' && c <= '9'   ? (unsigned)(c - '0')
           : c >= 'a' && c <= 'z' ? (unsigned)(c - 'a' + 10)
                                  : 99;
}

static struct integer parse_integer(const struct text *t, int base)
{
    struct integer result = {0};
    size_t at = 0;
    while (crt_space(unit_at(t, at))) {
        at++;
    }
    if (unit_at(t, at) == '+' || unit_at(t, at) == '-') {
        result.negative = unit_at(t, at++) == '-';
    }
    bool prefix = unit_at(t, at) == '0' && crt_lower(unit_at(t, at + 1)) == 'x';
    if ((base == 0 || base == 16) && prefix && digit_at(t, at + 2) < 16) {
        at += 2;
        base = 16;
    }
    base = base != 0 ? base : unit_at(t, at) == '0' ? 8 : 10;
    for (unsigned digit; (digit = digit_at(t, at)) < (unsigned)base; at++) {
        uint64_t product;
        if (__builtin_mul_overflow(result.magnitude, (uint64_t)base, &product) ||
            __builtin_add_overflow(product, digit, &result.magnitude)) {
            result.overflow = true;
        }
        result.length = at + 1;
    }
    return result;
}

static bool parse(const struct text *t, void **end, int base, struct integer *out)
{
    memset(out, 0, sizeof(*out));
    if (end != NULL) {
        *end = (void *)t->units;
    }
    if (t->units == NULL || base == 1 || base < 0 || base > 36) {
        crt_invalid(CRT_EINVAL);
        return false;
    }
    *out = parse_integer(t, base);
    if (end != NULL) {
        *end = (char *)t->units + out->length * (t->wide ? sizeof(crt_wchar) : 1);
    }
    return true;
}

/* Signed with `bits` bits, saturating, errno = ERANGE. */
static int64_t to_signed(const void *s, void **end, int base, int bits, bool wide)
{
    struct text t = {s, wide};
    struct integer n;
    if (!parse(&t, end, base, &n)) {
        return 0;
    }
    uint64_t limit = (UINT64_C(1) << (bits - 1)) - (n.negative ? 0 : 1);
    if (n.overflow || n.magnitude > limit) {
        crt_set_errno(CRT_ERANGE);
        n.magnitude = limit;
    }
    return (int64_t)(n.negative ? 0 - n.magnitude : n.magnitude);
}

static uint64_t to_unsigned(const void *s, void **end, int base, int bits, bool wide)
{
    struct text t = {s, wide};
    struct integer n;
    if (!parse(&t, end, base, &n)) {
        return 0;
    }
    uint64_t limit = UINT64_MAX >> (64 - bits);
    if (n.overflow || n.magnitude > limit) {
        crt_set_errno(CRT_ERANGE);
        return limit;
    }
    return (n.negative ? 0 - n.magnitude : n.magnitude) & limit;
}

static WINCDECL_DEF crt_long crt_strtol(const char *s, char **end, int base)
{
    return (crt_long)to_signed(s, (void **)end, base, 32, false);
}

static WINCDECL_DEF crt_ulong crt_strtoul(const char *s, char **end, int base)
{
    return (crt_ulong)to_unsigned(s, (void **)end, base, 32, false);
}

static WINCDECL_DEF int64_t crt__strtoi64(const char *s, char **end, int base)
{
    return to_signed(s, (void **)end, base, 64, false);
}

static WINCDECL_DEF uint64_t crt__strtoui64(const char *s, char **end, int base)
{
    return to_unsigned(s, (void **)end, base, 64, false);
}

static WINCDECL_DEF crt_long crt_wcstol(const crt_wchar *s, crt_wchar **end, int base)
{
    return (crt_long)to_signed(s, (void **)end, base, 32, true);
}

static WINCDECL_DEF crt_ulong crt_wcstoul(const crt_wchar *s, crt_wchar **end, int base)
{
    return (crt_ulong)to_unsigned(s, (void **)end, base, 32, true);
}

static WINCDECL_DEF int64_t crt__wcstoi64(const crt_wchar *s, crt_wchar **end, int base)
{
    return to_signed(s, (void **)end, base, 64, true);
}

static WINCDECL_DEF uint64_t crt__wcstoui64(const crt_wchar *s, crt_wchar **end, int base)
{
    return to_unsigned(s, (void **)end, base, 64, true);
}

static WINCDECL_DEF int crt_atoi(const char *s)
{
    return (int)to_signed(s, NULL, 10, 32, false);
}

static WINCDECL_DEF int64_t crt__atoi64(const char *s)
{
    return to_signed(s, NULL, 10, 64, false);
}

static WINCDECL_DEF int crt__wtoi(const crt_wchar *s)
{
    return (int)to_signed(s, NULL, 10, 32, true);
}

static WINCDECL_DEF int64_t crt__wtoi64(const crt_wchar *s)
{
    return to_signed(s, NULL, 10, 64, true);
}

/* ---- text to floating point
 * ------------------------------------------------------------------------------ */

static WINCDECL_DEF double crt_strtod(const char *s, char **end)
{
    if (s == NULL) {
        crt_invalid(CRT_EINVAL);
        return 0;
    }
    errno = 0;
    double value = strtod_l(s, end, crt_c_locale());
    if (errno == ERANGE) {
        crt_set_errno(CRT_ERANGE);
    }
    return value;
}

static WINCDECL_DEF float crt_strtof(const char *s, char **end)
{
    if (s == NULL) {
        crt_invalid(CRT_EINVAL);
        return 0;
    }
    errno = 0;
    float value = strtof_l(s, end, crt_c_locale());
    if (errno == ERANGE) {
        crt_set_errno(CRT_ERANGE);
    }
    return value;
}

static WINCDECL_DEF double crt_atof(const char *s)
{
    return crt_strtod(s, NULL);
}

/* Characters outside ASCII cannot be part of a number: what lies before them is all strtod needs.
 */
static WINCDECL_DEF double crt_wcstod(const crt_wchar *s, crt_wchar **end)
{
    size_t length = 0;
    while (s[length] != 0 && s[length] < 128) {
        length++;
    }
    char *narrow = malloc(length + 1);
    if (narrow == NULL) {
        crt_set_errno(CRT_ENOMEM);
        return 0;
    }
    for (size_t i = 0; i < length; i++) {
        narrow[i] = (char)s[i];
    }
    narrow[length] = 0;
    char *stop;
    double value = crt_strtod(narrow, &stop);
    if (end != NULL) {
        *end = (crt_wchar *)s + (stop - narrow);
    }
    free(narrow);
    return value;
}

static WINCDECL_DEF float crt_wcstof(const crt_wchar *s, crt_wchar **end)
{
    return (float)crt_wcstod(s, end);
}

static WINCDECL_DEF double crt__wtof(const crt_wchar *s)
{
    return crt_wcstod(s, NULL);
}

/* _atodbl, _atoflt: 0, 3 (overflow) or 4 (underflow). */
static int range_code(double magnitude, bool in_range)
{
    return in_range ? 0 : magnitude > 1 ? 3 : 4;
}

static WINCDECL_DEF int crt__atodbl(double *out, const char *s)
{
    errno = 0;
    *out = strtod_l(s, NULL, crt_c_locale());
    return range_code(fabs(*out), errno != ERANGE);
}

static WINCDECL_DEF int crt__atoflt(float *out, const char *s)
{
    errno = 0;
    *out = strtof_l(s, NULL, crt_c_locale());
    return range_code(fabs((double)*out), errno != ERANGE);
}

/* ---- integers to text
 * --------------------------------------------------------------------------------------- */

/* Digits of `value` to `out`, units of either width. False: `room` is too small or the base is bad.
 */
static bool put_digits(uint64_t value, bool negative, unsigned base, void *out, size_t room,
                       bool wide)
{
    char digits[66];
    size_t count = 0;
    if (base < 2 || base > 36) {
        return false;
    }
    do {
        digits[count++] = "0123456789abcdefghijklmnopqrstuvwxyz"[value % base];
        value /= base;
    } while (value != 0);
    if (negative) {
        digits[count++] = '-';
    }
    if (count >= room) {
        return false;
    }
    for (size_t i = 0; i <= count; i++) {
        char c = i < count ? digits[count - 1 - i] : 0;
        if (wide) {
            ((crt_wchar *)out)[i] = (unsigned char)c;
        } else {
            ((char *)out)[i] = c;
        }
    }
    return true;
}

/* Only base 10 knows negative numbers; `bits` is the width that other bases show. */
static bool put_signed(int64_t value, int bits, int base, void *out, size_t room, bool wide)
{
    bool negative = base == 10 && value < 0;
    uint64_t magnitude =
        negative ? 0 - (uint64_t)value : (uint64_t)value & (UINT64_MAX >> (64 - bits));
    return put_digits(magnitude, negative, (unsigned)base, out, room, wide);
}

static int put_secure(bool fitted, void *out, size_t room, bool wide, int base)
{
    if (fitted) {
        return 0;
    }
    if (room != 0 && wide) {
        *(crt_wchar *)out = 0;
    } else if (room != 0) {
        *(char *)out = 0;
    }
    return crt_invalid(base < 2 || base > 36 ? CRT_EINVAL : CRT_ERANGE);
}

#define NUMBER_TO_TEXT(name, type, unit, put)                                                 \
    static WINCDECL_DEF unit *crt_##name(type value, unit *out, int base)                     \
    {                                                                                         \
        put(value, sizeof(type) * 8, base, out, SIZE_MAX, sizeof(unit) == sizeof(crt_wchar)); \
        return out;                                                                           \
    }                                                                                         \
    static WINCDECL_DEF int crt_##name##_s(type value, unit *out, size_t room, int base)      \
    {                                                                                         \
        bool wide = sizeof(unit) == sizeof(crt_wchar);                                        \
        if (out == NULL) {                                                                    \
            return crt_invalid(CRT_EINVAL);                                                   \
        }                                                                                     \
        bool fitted = put(value, sizeof(type) * 8, base, out, room, wide);                    \
        return put_secure(fitted, out, room, wide, base);                                     \
    }

static bool put_unsigned(uint64_t value, int bits, int base, void *out, size_t room, bool wide)
{
    return put_digits(value, false, (unsigned)base, out, room, wide);
}

NUMBER_TO_TEXT(_itoa, int, char, put_signed)
NUMBER_TO_TEXT(_ultoa, crt_ulong, char, put_unsigned)
NUMBER_TO_TEXT(_i64toa, int64_t, char, put_signed)
NUMBER_TO_TEXT(_ui64toa, uint64_t, char, put_unsigned)
NUMBER_TO_TEXT(_itow, int, crt_wchar, put_signed)
NUMBER_TO_TEXT(_ultow, crt_ulong, crt_wchar, put_unsigned)
NUMBER_TO_TEXT(_i64tow, int64_t, crt_wchar, put_signed)
NUMBER_TO_TEXT(_ui64tow, uint64_t, crt_wchar, put_unsigned)

/* ---- floating point to text
 * ---------------------------------------------------------------------------------- */

static WINCDECL_DEF char *crt__ecvt(double value, int count, int *point, int *negative)
{
    struct crt_thread *thread = crt_thread();
    count = count > 330 ? 330 : count;
    if (ecvt_r(value, count, point, negative, thread->conversion, sizeof(thread->conversion)) !=
        0) {
        thread->conversion[0] = 0;
    }
    return thread->conversion;
}

static WINCDECL_DEF char *crt__fcvt(double value, int count, int *point, int *negative)
{
    struct crt_thread *thread = crt_thread();
    count = count > 30 ? 30 : count;
    if (fcvt_r(value, count, point, negative, thread->conversion, sizeof(thread->conversion)) !=
        0) {
        thread->conversion[0] = 0;
    }
    return thread->conversion;
}

static WINCDECL_DEF int crt__ecvt_s(char *out, size_t room, double value, int count, int *point,
                                    int *negative)
{
    return ecvt_r(value, count, point, negative, out, room) == 0 ? 0 : crt_invalid(CRT_ERANGE);
}

static WINCDECL_DEF int crt__fcvt_s(char *out, size_t room, double value, int count, int *point,
                                    int *negative)
{
    return fcvt_r(value, count, point, negative, out, room) == 0 ? 0 : crt_invalid(CRT_ERANGE);
}

/* Like %g, but whole numbers keep their point ("12.") and exponents have three digits. */
static WINCDECL_DEF char *crt__gcvt(double value, int count, char *out)
{
    char text[64];
    locale_t old = uselocale(crt_c_locale());
    int n = snprintf(text, sizeof(text), "%.*g", count > 17 ? 17 : count, value);
    uselocale(old);
    size_t mantissa = strcspn(text, "e");
    bool point = memchr(text, '.', mantissa) != NULL;
    const char *exponent = text + mantissa;
    sprintf(out, "%.*s%s%.2s%s%s", (int)mantissa, text, point ? "" : ".", exponent,
            *exponent != 0 && text + n - exponent < 5 ? "0" : "",
            *exponent != 0 ? exponent + 2 : "");
    return out;
}

static WINCDECL_DEF int crt__gcvt_s(char *out, size_t room, double value, int count)
{
    char text[80];
    crt__gcvt(value, count, text);
    if (strlen(text) >= room) {
        return crt_invalid(CRT_ERANGE);
    }
    strcpy(out, text);
    return 0;
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(strtol),
    CRT_FN(strtoul),
    CRT_FN(_strtoi64),
    CRT_FN(_strtoui64),
    CRT_AS(strtoll, crt__strtoi64),
    CRT_AS(strtoull, crt__strtoui64),
    CRT_AS(strtoimax, crt__strtoi64),
    CRT_AS(strtoumax, crt__strtoui64),
    CRT_FN(wcstol),
    CRT_FN(wcstoul),
    CRT_FN(_wcstoi64),
    CRT_FN(_wcstoui64),
    CRT_AS(wcstoll, crt__wcstoi64),
    CRT_AS(wcstoull, crt__wcstoui64),
    CRT_AS(wcstoimax, crt__wcstoi64),
    CRT_AS(wcstoumax, crt__wcstoui64),
    CRT_FN(atoi),
    CRT_AS(atol, crt_atoi),
    CRT_FN(_atoi64),
    CRT_AS(atoll, crt__atoi64),
    CRT_FN(_wtoi),
    CRT_AS(_wtol, crt__wtoi),
    CRT_FN(_wtoi64),
    CRT_AS(_wtoll, crt__wtoi64),
    CRT_FN(strtod),
    CRT_FN(strtof),
    CRT_AS(strtold, crt_strtod),
    CRT_FN(atof),
    CRT_FN(wcstod),
    CRT_FN(wcstof),
    CRT_AS(wcstold, crt_wcstod),
    CRT_FN(_wtof),
    CRT_FN(_atodbl),
    CRT_AS(_atoldbl, crt__atodbl),
    CRT_FN(_atoflt),
    CRT_FN(_itoa),
    CRT_FN(_itoa_s),
    CRT_AS(_ltoa, crt__itoa),
    CRT_AS(_ltoa_s, crt__itoa_s),
    CRT_FN(_ultoa),
    CRT_FN(_ultoa_s),
    CRT_FN(_i64toa),
    CRT_FN(_i64toa_s),
    CRT_FN(_ui64toa),
    CRT_FN(_ui64toa_s),
    CRT_FN(_itow),
    CRT_FN(_itow_s),
    CRT_AS(_ltow, crt__itow),
    CRT_AS(_ltow_s, crt__itow_s),
    CRT_FN(_ultow),
    CRT_FN(_ultow_s),
    CRT_FN(_i64tow),
    CRT_FN(_i64tow_s),
    CRT_FN(_ui64tow),
    CRT_FN(_ui64tow_s),
    CRT_FN(_ecvt),
    CRT_FN(_ecvt_s),
    CRT_FN(_fcvt),
    CRT_FN(_fcvt_s),
    CRT_FN(_gcvt),
    CRT_FN(_gcvt_s),
};
CRT_FAMILY(crt_number_family, functions);
