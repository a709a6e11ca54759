/*
 * The printf engine: Windows's conversion specifications, narrow or wide (format.h).
 *
 * Follows Microsoft's "Format specification syntax: printf and wprintf functions": sizes h hh l ll
 * w L I I32 I64 j z t, %S and %C of the other width, %Z counted strings, %p as zero-padded
 * upper-case hex, %n refused. long has 32 bits and long double is double. Digits of floating-point
 * numbers come from glibc; this file puts sign, padding and exponent the way Windows does.
 */
#include "loader/win32/crt/format.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum size { SIZE_NONE, SIZE_HH, SIZE_H, SIZE_L, SIZE_LL, SIZE_POINTER, SIZE_W, SIZE_LDOUBLE };

struct spec {
    bool minus, plus, space, alternate, zero;
    int width;
    int precision; /* -1 = none */
    enum size size;
    int type;
};

struct formatter {
    struct crt_sink *sink;
    const void *format;
    size_t at;
    unsigned options;
    win_va_list args;
    int64_t written;
    bool failed;
};

#define PRECISION_LIMIT 100000 /* of floating-point conversions; what lies beyond is zeros */

/* ---- input and output
 * ---------------------------------------------------------------------------- */

static int unit_at(const struct formatter *f, size_t at)
{
    return f->sink->wide ? ((const crt_wchar *)f->format)[at]
                         : ((const unsigned char *)f->format)[at];
}

static void put(struct formatter *f, const void *units, size_t count)
{
    if (f->failed || count == 0) {
        return;
    }
    f->written += (int64_t)count;
    if (f->written > INT_MAX || !f->sink->write(f->sink, units, count)) {
        f->failed = true;
    }
}

static void put_ascii(struct formatter *f, const char *text, size_t count)
{
    if (!f->sink->wide) {
        put(f, text, count);
        return;
    }
    while (count > 0 && !f->failed) {
        crt_wchar wide[64];
        size_t part = count < CRT_COUNT(wide) ? count : CRT_COUNT(wide);
        for (size_t i = 0; i < part; i++) {
            wide[i] = (unsigned char)text[i];
        }
        put(f, wide, part);
        text += part;
        count -= part;
    }
}

static void pad(struct formatter *f, char fill, int64_t count)
{
    char block[64];
    memset(block, fill, sizeof(block));
    while (count > 0 && !f->failed) {
        size_t part = count < (int64_t)sizeof(block) ? (size_t)count : sizeof(block);
        put_ascii(f, block, part);
        count -= (int64_t)part;
    }
}

static void fail(struct formatter *f, int error)
{
    crt_set_errno(error);
    f->failed = true;
}

/* [blanks][prefix][zeros][digits][blanks], as every number is laid out. */
static void put_number(struct formatter *f, const struct spec *s, const char *prefix,
                       const char *digits, size_t count, int64_t zeros)
{
    size_t prefix_length = strlen(prefix);
    int64_t blanks = (int64_t)s->width - (int64_t)prefix_length - (int64_t)count - zeros;
    if (!s->minus) {
        pad(f, ' ', blanks);
    }
    put_ascii(f, prefix, prefix_length);
    pad(f, '0', zeros);
    put_ascii(f, digits, count);
    if (s->minus) {
        pad(f, ' ', blanks);
    }
}

static const char *sign_of(const struct spec *s, bool negative)
{
    return negative ? "-" : s->plus ? "+" : s->space ? " " : "";
}

/* ---- integers
 * ------------------------------------------------------------------------------------- */

static uint64_t next_integer(struct formatter *f, enum size size, bool is_signed)
{
    if (size == SIZE_LL || (size == SIZE_POINTER && sizeof(void *) == 8)) {
        return __builtin_va_arg(f->args, uint64_t);
    }
    int32_t value = __builtin_va_arg(f->args, int32_t);
    if (size == SIZE_HH) {
        return is_signed ? (uint64_t)(int64_t)(int8_t)value : (uint8_t)value;
    }
    if (size == SIZE_H) {
        return is_signed ? (uint64_t)(int64_t)(int16_t)value : (uint16_t)value;
    }
    return is_signed ? (uint64_t)(int64_t)value : (uint32_t)value;
}

static size_t digits_of(uint64_t value, unsigned base, bool upper, char *end)
{
    const char *alphabet = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char *at = end;
    for (; value != 0; value /= base) {
        *--at = alphabet[value % base];
    }
    return (size_t)(end - at);
}

static void format_integer(struct formatter *f, struct spec *s)
{
    bool is_signed = s->type == 'd' || s->type == 'i';
    bool hex = s->type == 'x' || s->type == 'X';
    unsigned base = hex ? 16 : s->type == 'o' ? 8 : 10;
    uint64_t value = next_integer(f, s->size, is_signed);
    bool negative = is_signed && (int64_t)value < 0;
    char digits[24];
    char *end = digits + sizeof(digits);
    size_t count = digits_of(negative ? 0 - value : value, base, s->type == 'X', end);
    const char *prefix = is_signed ? sign_of(s, negative) : "";
    if (s->alternate && hex && value != 0) {
        prefix = s->type == 'X' ? "0X" : "0x";
    }
    int64_t minimum = s->precision >= 0 ? s->precision : 1;
    if (s->alternate && base == 8 && minimum <= (int64_t)count) {
        minimum = (int64_t)count + 1;
    }
    if (s->zero && !s->minus && s->precision < 0) {
        int64_t room = (int64_t)s->width - (int64_t)strlen(prefix);
        minimum = room > minimum ? room : minimum;
    }
    int64_t zeros = minimum - (int64_t)count;
    put_number(f, s, prefix, end - count, count, zeros > 0 ? zeros : 0);
}

static void format_pointer(struct formatter *f, const struct spec *s)
{
    uintptr_t value = (uintptr_t) __builtin_va_arg(f->args, void *);
    char digits[24];
    char *end = digits + sizeof(digits);
    size_t count = digits_of(value, 16, true, end);
    put_number(f, s, s->alternate && value != 0 ? "0X" : "", end - count, count,
               (int64_t)(2 * sizeof(void *) - count));
}

/* ---- floating point
 * --------------------------------------------------------------------------------- */

/* glibc's digits of |value|, in the C locale whatever the host program has set. NULL = no memory.
 */
static char *float_digits(const struct spec *s, double value, int precision)
{
    char conversion[8] = {'%', '.', '*', (char)s->type, 0};
    if (s->alternate) {
        memcpy(conversion, (char[]){'%', '#', '.', '*', (char)s->type, 0}, 6);
    }
    locale_t old = uselocale(crt_c_locale());
    char *text = NULL;
    if (asprintf(&text, conversion, precision, value) < 0) {
        text = NULL;
    }
    uselocale(old);
    return text;
}

/* "1e+05" -> "1e+005". `text` comes from malloc and may move. */
static char *widen_exponent(char *text)
{
    size_t length = strlen(text);
    size_t e = strcspn(text, "eE");
    if (e == length || length - e != 4) {
        return text;
    }
    char *longer = realloc(text, length + 2);
    if (longer == NULL) {
        free(text);
        return NULL;
    }
    memmove(longer + e + 3, longer + e + 2, 3);
    longer[e + 2] = '0';
    return longer;
}

/*
 * msvcrt prints specials as if "1.#INF" were digits: they are cut and rounded to the precision (so
 * "%.2f" of infinity is "1.#J"), padded with zeros and get an exponent.
 */
static void format_special_legacy(struct formatter *f, const struct spec *s, bool negative,
                                  bool infinite, bool indefinite)
{
    char text[64];
    int type = crt_lower(s->type);
    const char *name = infinite ? "#INF" : indefinite ? "#IND" : "#QNAN";
    int length = (int)strlen(name);
    int places = s->precision < 0 ? 6 : s->precision;
    if (type == 'g') {
        places = places > 0 ? places - 1 : 0;
    }
    int kept = places < length ? places : length;
    int n =
        snprintf(text, sizeof(text), "1%s%.*s", kept > 0 || s->alternate ? "." : "", kept, name);
    if (kept < length && kept > 0 && name[kept] >= '5') {
        text[n - 1]++;
    }
    int zeros = type == 'g' && !s->alternate ? 0 : places - kept;
    for (; zeros > 0 && n < (int)sizeof(text) - 8; zeros--) {
        text[n++] = '0';
    }
    text[n] = 0;
    if (type == 'e') {
        strcpy(text + n, s->type == 'e' ? "e+000" : "E+000");
    }
    put_number(f, s, sign_of(s, negative), text, strlen(text), 0);
}

static void format_special(struct formatter *f, const struct spec *s, double value)
{
    bool negative = __builtin_signbit(value) != 0;
    bool infinite = __builtin_isinf(value) != 0;
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    /* The default NaN that invalid operations give on x86. */
    bool indefinite = bits == 0xFFF8000000000000u;
    if (f->options & CRT_FORMAT_LEGACY_MSVCRT) {
        format_special_legacy(f, s, negative, infinite, indefinite);
        return;
    }
    char text[16];
    bool quiet = bits & 0x0008000000000000u;
    strcpy(text, infinite ? "inf" : indefinite ? "nan(ind)" : quiet ? "nan" : "nan(snan)");
    if (s->type >= 'A' && s->type <= 'Z') {
        for (char *c = text; *c != 0; c++) {
            *c = (char)crt_upper(*c);
        }
    }
    put_number(f, s, sign_of(s, negative), text, strlen(text), 0);
}

static void format_float(struct formatter *f, const struct spec *s)
{
    double value = __builtin_va_arg(f->args, double);
    if (!__builtin_isfinite(value)) {
        format_special(f, s, value);
        return;
    }
    bool hex = s->type == 'a' || s->type == 'A';
    bool legacy = f->options & CRT_FORMAT_LEGACY_MSVCRT;
    int precision = s->precision >= 0 ? s->precision : hex && !legacy ? 13 : 6;
    precision = precision < PRECISION_LIMIT ? precision : PRECISION_LIMIT;
    char *text = float_digits(s, __builtin_fabs(value), precision);
    if (text != NULL && !hex && (f->options & CRT_FORMAT_THREE_DIGIT_EXPONENT)) {
        text = widen_exponent(text);
    }
    if (text == NULL) {
        fail(f, CRT_ENOMEM);
        return;
    }
    char prefix[4];
    const char *sign = sign_of(s, __builtin_signbit(value) != 0);
    snprintf(prefix, sizeof(prefix), "%s%.*s", sign, hex ? 2 : 0, text);
    const char *digits = hex ? text + 2 : text;
    size_t count = strlen(digits);
    int64_t zeros = 0;
    if (s->zero && !s->minus) {
        zeros = (int64_t)s->width - (int64_t)strlen(prefix) - (int64_t)count;
    }
    put_number(f, s, prefix, digits, count, zeros > 0 ? zeros : 0);
    free(text);
}

/* ---- characters and strings
 * --------------------------------------------------------------------------- */

/* Whether the argument of this c, C, s, S or Z is wide. */
static bool is_wide_argument(const struct formatter *f, const struct spec *s)
{
    if (s->size == SIZE_H || s->size == SIZE_HH) {
        return false;
    }
    if (s->size == SIZE_L || s->size == SIZE_LL || s->size == SIZE_W) {
        return true;
    }
    if (s->type == 'Z') {
        return false;
    }
    bool lower_is_wide = f->sink->wide && (f->options & CRT_FORMAT_LEGACY_WIDE);
    bool upper_is_wide = !(f->sink->wide && (f->options & CRT_FORMAT_LEGACY_WIDE));
    return s->type == 'S' || s->type == 'C' ? upper_is_wide : lower_is_wide;
}

static void put_text(struct formatter *f, const struct spec *s, const void *text, size_t count)
{
    int64_t blanks = (int64_t)s->width - (int64_t)count;
    char fill = s->zero && !s->minus ? '0' : ' ';
    if (!s->minus) {
        pad(f, fill, blanks);
    }
    put(f, text, count);
    if (s->minus) {
        pad(f, ' ', blanks);
    }
}

static void put_string(struct formatter *f, const struct spec *s, const void *text, size_t count,
                       bool wide)
{
    if (wide == f->sink->wide) {
        put_text(f, s, text, count);
        return;
    }
    size_t length;
    void *converted =
        wide ? (void *)crt_narrow(text, count, &length) : (void *)crt_widen(text, count, &length);
    if (converted == NULL) {
        f->failed = true;
        return;
    }
    put_text(f, s, converted, length);
    free(converted);
}

static size_t bounded_length(const void *text, bool wide, size_t limit)
{
    size_t n = 0;
    while (n < limit && (wide ? ((const crt_wchar *)text)[n] != 0 : ((const char *)text)[n] != 0)) {
        n++;
    }
    return n;
}

static void format_string(struct formatter *f, const struct spec *s)
{
    bool wide = is_wide_argument(f, s);
    const void *text = __builtin_va_arg(f->args, const void *);
    if (text == NULL) {
        text = "(null)";
        wide = false;
    }
    size_t limit = s->precision >= 0 ? (size_t)s->precision : SIZE_MAX;
    put_string(f, s, text, bounded_length(text, wide, limit), wide);
}

/* %Z: ANSI_STRING, %wZ: UNICODE_STRING; the length is in bytes. */
static void format_counted(struct formatter *f, const struct spec *s)
{
    struct counted {
        uint16_t length, maximum;
        const void *buffer;
    } const *string = __builtin_va_arg(f->args, const void *);
    bool wide = is_wide_argument(f, s);
    if (string == NULL || string->buffer == NULL) {
        put_string(f, s, "(null)", 6, false);
        return;
    }
    put_string(f, s, string->buffer, wide ? string->length / 2u : string->length, wide);
}

static void format_character(struct formatter *f, const struct spec *s)
{
    bool wide = is_wide_argument(f, s);
    int value = __builtin_va_arg(f->args, int);
    crt_wchar wide_unit = (crt_wchar)value;
    char unit = (char)value;
    if (wide != f->sink->wide && value == 0) { /* a NUL converts to a NUL */
        put_text(f, s, "\0", 1);
        return;
    }
    put_string(f, s, wide ? (const void *)&wide_unit : (const void *)&unit, 1, wide);
}

/* ---- specifications
 * ------------------------------------------------------------------------------------ */

static bool parse_flag(struct spec *s, int c)
{
    bool *flag = c == '-'   ? &s->minus
                 : c == '+' ? &s->plus
                 : c == ' ' ? &s->space
                 : c == '#' ? &s->alternate
                 : c == '0' ? &s->zero
                            : NULL;
    if (flag != NULL) {
        *flag = true;
    }
    return flag != NULL;
}

/* A decimal number or '*'; -1 = none. Numbers beyond INT_MAX fail the call. */
static int parse_count(struct formatter *f, bool *present)
{
    *present = true;
    if (unit_at(f, f->at) == '*') {
        f->at++;
        return __builtin_va_arg(f->args, int);
    }
    int64_t value = 0;
    *present = unit_at(f, f->at) >= '0' && unit_at(f, f->at) <= '9';
    for (; unit_at(f, f->at) >= '0' && unit_at(f, f->at) <= '9'; f->at++) {
        value = value * 10 + (unit_at(f, f->at) - '0');
        if (value > INT_MAX) {
            fail(f, CRT_EINVAL);
            return 0;
        }
    }
    return (int)value;
}

static enum size parse_size(struct formatter *f)
{
    int c = unit_at(f, f->at);
    int next = c != 0 ? unit_at(f, f->at + 1) : 0;
    switch (c) {
    case 'h':
        f->at += next == 'h' ? 2 : 1;
        return next == 'h' ? SIZE_HH : SIZE_H;
    case 'l':
        f->at += next == 'l' ? 2 : 1;
        return next == 'l' ? SIZE_LL : SIZE_L;
    case 'I':
        if (next == '6' && unit_at(f, f->at + 2) == '4') {
            f->at += 3;
            return SIZE_LL;
        }
        if (next == '3' && unit_at(f, f->at + 2) == '2') {
            f->at += 3;
            return SIZE_L;
        }
        f->at++;
        return SIZE_POINTER;
    case 'j':
        f->at++;
        return SIZE_LL;
    case 'z':
    case 't':
        f->at++;
        return SIZE_POINTER;
    case 'w':
        f->at++;
        return SIZE_W;
    case 'L':
        f->at++;
        return SIZE_LDOUBLE;
    default:
        return SIZE_NONE;
    }
}

static void parse_spec(struct formatter *f, struct spec *s)
{
    bool present;
    memset(s, 0, sizeof(*s));
    s->precision = -1;
    while (parse_flag(s, unit_at(f, f->at))) {
        f->at++;
    }
    s->width = parse_count(f, &present);
    if (s->width < 0) { /* '*' with a negative value */
        s->minus = true;
        s->width = s->width == INT_MIN ? INT_MAX : -s->width;
    }
    if (unit_at(f, f->at) == '.') {
        f->at++;
        s->precision = parse_count(f, &present);
        if (!present) {
            s->precision = 0;
        } else if (s->precision < 0) {
            s->precision = -1;
        }
    }
    s->size = parse_size(f);
    s->type = unit_at(f, f->at);
    if (s->type != 0) {
        f->at++;
    }
}

static void format_one(struct formatter *f, struct spec *s)
{
    switch (s->type) {
    case 'd':
    case 'i':
    case 'u':
    case 'o':
    case 'x':
    case 'X':
        format_integer(f, s);
        break;
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
    case 'a':
    case 'A':
        format_float(f, s);
        break;
    case 's':
    case 'S':
        format_string(f, s);
        break;
    case 'c':
    case 'C':
        format_character(f, s);
        break;
    case 'p':
        format_pointer(f, s);
        break;
    case 'Z':
        format_counted(f, s);
        break;
    case 'n': /* writes through an attacker's pointer; disabled by default since Visual C++ 2005 */
        fail(f, CRT_EINVAL);
        break;
    default:
        if (s->type != '%' && !(f->options & CRT_FORMAT_LEGACY_MSVCRT)) {
            fail(f, CRT_EINVAL);
        } else if (s->type != 0) {
            char unit = (char)s->type;
            crt_wchar wide = (crt_wchar)s->type;
            put(f, f->sink->wide ? (const void *)&wide : (const void *)&unit, 1);
        }
        break;
    }
}

int crt_format(struct crt_sink *sink, const void *format, unsigned options, win_va_list args)
{
    struct formatter f = {.sink = sink, .format = format, .options = options, .args = args};
    if (format == NULL) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    size_t unit = sink->wide ? sizeof(crt_wchar) : 1;
    while (!f.failed && unit_at(&f, f.at) != 0) {
        size_t start = f.at;
        while (unit_at(&f, f.at) != 0 && unit_at(&f, f.at) != '%') {
            f.at++;
        }
        put(&f, (const char *)format + start * unit, f.at - start);
        if (!f.failed && unit_at(&f, f.at) == '%') {
            struct spec spec;
            f.at++;
            parse_spec(&f, &spec);
            if (!f.failed) {
                format_one(&f, &spec);
            }
        }
    }
    return f.failed ? -1 : (int)f.written;
}
