/*
 * The scanf engine (scan.h), after Microsoft's "Format specification fields: scanf and wscanf".
 *
 * Sizes hh h l ll L I32 I64 I j z t w; %S and %C of the other width; %[ with ranges. Integers wrap
 * to the destination's size; floating-point text goes to glibc's strtod in the C locale.
 */
#include "loader/win32/crt/scan.h"

#include <limits.h>
#include <stdlib.h>

enum width { TO_INT, TO_CHAR, TO_SHORT, TO_INT64, TO_POINTER };

struct scanner {
    struct crt_source *source;
    const void *format;
    size_t at;
    unsigned options;
    win_va_list args;
    int consumed; /* units of input */
    int stored;
    bool input_end;
};

struct spec {
    bool suppress;
    bool narrow, wide; /* h, or l and w, of c s [ */
    bool is_double;    /* l or L of e f g a */
    int width;         /* INT_MAX = none */
    enum width size;
    int type;
};

/* ---- input
 * ------------------------------------------------------------------------------------------ */

static int format_unit(const struct scanner *s, size_t at)
{
    return s->source->wide ? ((const crt_wchar *)s->format)[at]
                           : ((const unsigned char *)s->format)[at];
}

static int get(struct scanner *s)
{
    int c = s->source->get(s->source);
    if (c < 0) {
        s->input_end = true;
    } else {
        s->consumed++;
    }
    return c;
}

static void unget(struct scanner *s, int c)
{
    if (c >= 0) {
        s->source->unget(s->source, c);
        s->consumed--;
    }
}

/* The next unit if it may still be taken and `accept` likes it; else it stays in the input. */
static int take(struct scanner *s, int *room, bool (*accept)(int c, int user), int user)
{
    if (*room <= 0) {
        return -1;
    }
    int c = get(s);
    if (c >= 0 && accept(c, user)) {
        (*room)--;
        return c;
    }
    unget(s, c);
    return -1;
}

static void skip_space(struct scanner *s)
{
    int c;
    do {
        c = get(s);
    } while (c >= 0 && crt_space(c));
    unget(s, c);
}

static bool is_exactly(int c, int user)
{
    return crt_lower(c) == user;
}

static bool is_sign(int c, int user)
{
    return c == '+' || c == '-';
}

static int digit_value(int c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'z' ? c - 'a' + 10
           : c >= 'A' && c <= 'Z' ? c - 'A' + 10
                                  : 99;
}

static bool is_digit(int c, int base)
{
    return digit_value(c) < base;
}

/* ---- integers
 * ------------------------------------------------------------------------------------------- */

static void store_integer(struct scanner *s, const struct spec *spec, uint64_t value)
{
    void *out = __builtin_va_arg(s->args, void *);
    switch (spec->size) {
    case TO_CHAR:
        *(uint8_t *)out = (uint8_t)value;
        break;
    case TO_SHORT:
        *(uint16_t *)out = (uint16_t)value;
        break;
    case TO_INT64:
        *(uint64_t *)out = value;
        break;
    case TO_POINTER:
        *(uintptr_t *)out = (uintptr_t)value;
        break;
    case TO_INT:
        *(uint32_t *)out = (uint32_t)value;
        break;
    }
}

static bool scan_integer(struct scanner *s, struct spec *spec, int base)
{
    int room = spec->width;
    uint64_t value = 0;
    bool any = false;
    skip_space(s);
    int sign = take(s, &room, is_sign, 0);
    if (base == 0 || base == 16) {
        if (take(s, &room, is_exactly, '0') >= 0) {
            any = true;
            bool hex = take(s, &room, is_exactly, 'x') >= 0;
            base = hex ? 16 : base == 0 ? 8 : base;
        }
        base = base == 0 ? 10 : base;
    }
    for (int c; (c = take(s, &room, is_digit, base)) >= 0; any = true) {
        value = value * (unsigned)base + (unsigned)digit_value(c);
    }
    if (!any) {
        return false;
    }
    if (!spec->suppress) {
        store_integer(s, spec, sign == '-' ? 0 - value : value);
        s->stored++;
    }
    return true;
}

/* ---- floating point
 * --------------------------------------------------------------------------------------- */

struct number_text {
    char text[512];
    size_t used;
};

static void append(struct number_text *n, int c)
{
    if (n->used + 1 < sizeof(n->text)) {
        n->text[n->used++] = (char)c;
    }
    n->text[n->used] = 0;
}

static bool take_word(struct scanner *s, int *room, struct number_text *n, const char *word)
{
    for (; *word != 0; word++) {
        int c = take(s, room, is_exactly, *word);
        if (c < 0) {
            return false;
        }
        append(n, c);
    }
    return true;
}

static int take_digits(struct scanner *s, int *room, struct number_text *n, int base)
{
    int count = 0;
    for (int c; (c = take(s, room, is_digit, base)) >= 0; count++) {
        append(n, c);
    }
    return count;
}

/* The characters that belong to a number go to `n`; false = there is none. */
static bool collect_float(struct scanner *s, int room, struct number_text *n)
{
    int base = 10;
    int c = take(s, &room, is_sign, 0);
    if (c >= 0) {
        append(n, c);
    }
    bool modern = !(s->options & CRT_SCAN_LEGACY_MSVCRT);
    if (modern && (c = take(s, &room, is_exactly, 'i')) >= 0) {
        append(n, c);
        return take_word(s, &room, n, "nf");
    }
    if (modern && (c = take(s, &room, is_exactly, 'n')) >= 0) {
        append(n, c);
        return take_word(s, &room, n, "an");
    }
    int digits = 0;
    if ((c = take(s, &room, is_exactly, '0')) >= 0) {
        append(n, c);
        digits = 1;
        if (modern && (c = take(s, &room, is_exactly, 'x')) >= 0) {
            append(n, c);
            base = 16;
        }
    }
    digits += take_digits(s, &room, n, base);
    if ((c = take(s, &room, is_exactly, '.')) >= 0) {
        append(n, c);
        digits += take_digits(s, &room, n, base);
    }
    if (digits == 0) {
        return false;
    }
    if ((c = take(s, &room, is_exactly, base == 16 ? 'p' : 'e')) >= 0) {
        append(n, c);
        if ((c = take(s, &room, is_sign, 0)) >= 0) {
            append(n, c);
        }
        return take_digits(s, &room, n, 10) > 0;
    }
    return true;
}

static bool scan_float(struct scanner *s, const struct spec *spec)
{
    struct number_text n = {.used = 0};
    skip_space(s);
    if (!collect_float(s, spec->width, &n)) {
        return false;
    }
    if (spec->suppress) {
        return true;
    }
    void *out = __builtin_va_arg(s->args, void *);
    if (spec->is_double) {
        *(double *)out = strtod_l(n.text, NULL, crt_c_locale());
    } else {
        *(float *)out = strtof_l(n.text, NULL, crt_c_locale());
    }
    s->stored++;
    return true;
}

/* ---- characters, strings, sets
 * ------------------------------------------------------------------------------ */

struct target {
    void *out;         /* NULL = suppressed */
    size_t size, used; /* units */
    bool wide;
    bool full;
    char bytes[4]; /* bytes of an unfinished character, narrow input to wide output */
    size_t pending;
    crt_wchar lead; /* first half of a surrogate pair, wide input to narrow output */
};

static void store_unit(struct target *t, int unit)
{
    if (t->out == NULL || t->full) {
        return;
    }
    if (t->used >= t->size) {
        t->full = true;
        return;
    }
    if (t->wide) {
        ((crt_wchar *)t->out)[t->used++] = (crt_wchar)unit;
    } else {
        ((char *)t->out)[t->used++] = (char)unit;
    }
}

static void store_converted(struct target *t, int unit, bool input_wide)
{
    size_t used;
    if (t->wide == input_wide) {
        store_unit(t, unit);
    } else if (t->wide) {
        crt_wchar out[2];
        t->bytes[t->pending++] = (char)unit;
        int n = crt_decode(t->bytes, t->pending, &used, out);
        if (n != 0 || t->pending == sizeof(t->bytes)) {
            for (int i = 0; i < n; i++) {
                store_unit(t, out[i]);
            }
            t->pending = 0;
        }
    } else {
        crt_wchar pair[2] = {t->lead, (crt_wchar)unit};
        char out[4];
        int n = crt_encode(t->lead != 0 ? pair : pair + 1, t->lead != 0 ? 2 : 1, &used, out);
        t->lead = n == 0 ? (crt_wchar)unit : 0;
        for (int i = 0; i < n; i++) {
            store_unit(t, (unsigned char)out[i]);
        }
    }
}

static bool destination_is_wide(const struct scanner *s, const struct spec *spec)
{
    if (spec->narrow || spec->wide) {
        return spec->wide;
    }
    bool legacy_wide = s->source->wide && (s->options & CRT_SCAN_LEGACY_WIDE);
    return spec->type == 'S' || spec->type == 'C' ? !legacy_wide : legacy_wide;
}

static void open_target(struct scanner *s, const struct spec *spec, struct target *t,
                        bool terminated)
{
    *t = (struct target){.size = SIZE_MAX, .wide = destination_is_wide(s, spec)};
    if (spec->suppress) {
        return;
    }
    t->out = __builtin_va_arg(s->args, void *);
    if (s->options & CRT_SCAN_SECURE) {
        t->size = __builtin_va_arg(s->args, unsigned);
    }
    if (t->size == 0) {
        t->full = true;
    } else if (terminated && t->size != SIZE_MAX) {
        t->size--; /* room for the NUL */
    }
}

/* Ends the conversion; a text that did not fit empties the buffer and stops the scan. */
static bool close_target(struct scanner *s, struct target *t, bool terminated)
{
    if (t->out == NULL) {
        return true;
    }
    if (t->full) {
        if (t->size != 0 || t->used != 0) {
            t->used = 0;
            t->size = 1;
            t->full = false;
            store_unit(t, 0);
        }
        crt_set_errno(CRT_ENOMEM);
        return false;
    }
    if (terminated) {
        t->size = SIZE_MAX;
        store_unit(t, 0);
    }
    s->stored++;
    return true;
}

static bool scan_characters(struct scanner *s, const struct spec *spec)
{
    struct target t;
    int count = spec->width == INT_MAX ? 1 : spec->width;
    open_target(s, spec, &t, false);
    for (int i = 0; i < count; i++) {
        int c = get(s);
        if (c < 0) {
            return false;
        }
        store_converted(&t, c, s->source->wide);
    }
    return close_target(s, &t, false);
}

static bool scan_word(struct scanner *s, const struct spec *spec)
{
    struct target t;
    int c = -1;
    skip_space(s);
    open_target(s, spec, &t, true);
    int taken = 0;
    for (; taken < spec->width; taken++) {
        c = get(s);
        if (c < 0 || crt_space(c)) {
            unget(s, c);
            break;
        }
        store_converted(&t, c, s->source->wide);
    }
    return taken > 0 && close_target(s, &t, true);
}

/* The set of %[...]: format positions [from, to) behind an optional '^'. */
struct set {
    size_t from, to;
    bool inverted;
};

static bool parse_set(struct scanner *s, struct set *set)
{
    set->inverted = format_unit(s, s->at) == '^';
    s->at += set->inverted;
    set->from = s->at;
    if (format_unit(s, s->at) == ']') { /* first: an ordinary member */
        s->at++;
    }
    while (format_unit(s, s->at) != 0 && format_unit(s, s->at) != ']') {
        s->at++;
    }
    set->to = s->at;
    if (format_unit(s, s->at) == 0) {
        return false;
    }
    s->at++;
    return true;
}

static bool in_set(const struct scanner *s, const struct set *set, int c)
{
    for (size_t i = set->from; i < set->to; i++) {
        int low = format_unit(s, i);
        int high = low;
        if (i + 2 < set->to && format_unit(s, i + 1) == '-') {
            high = format_unit(s, i + 2);
            i += 2;
        }
        if ((c >= low && c <= high) || (c >= high && c <= low)) {
            return !set->inverted;
        }
    }
    return set->inverted;
}

static bool scan_set(struct scanner *s, const struct spec *spec)
{
    struct target t;
    struct set set;
    if (!parse_set(s, &set)) {
        return false;
    }
    open_target(s, spec, &t, true);
    int taken = 0;
    for (; taken < spec->width; taken++) {
        int c = get(s);
        if (c < 0 || !in_set(s, &set, c)) {
            unget(s, c);
            break;
        }
        store_converted(&t, c, s->source->wide);
    }
    return taken > 0 && close_target(s, &t, true);
}

/* ---- specifications
 * --------------------------------------------------------------------------------------------- */

static void parse_i_size(struct scanner *s, struct spec *spec)
{
    s->at++;
    spec->size = TO_POINTER;
    if (format_unit(s, s->at) == '6' && format_unit(s, s->at + 1) == '4') {
        s->at += 2;
        spec->size = TO_INT64;
    } else if (format_unit(s, s->at) == '3' && format_unit(s, s->at + 1) == '2') {
        s->at += 2;
        spec->size = TO_INT;
    }
}

static void parse_size(struct scanner *s, struct spec *spec)
{
    int c = format_unit(s, s->at);
    bool twice = c != 0 && format_unit(s, s->at + 1) == c;
    switch (c) {
    case 'h':
        spec->narrow = true;
        spec->size = twice ? TO_CHAR : TO_SHORT;
        s->at += twice ? 2 : 1;
        break;
    case 'l':
        spec->wide = spec->is_double = true;
        spec->size = twice ? TO_INT64 : TO_INT;
        s->at += twice ? 2 : 1;
        break;
    case 'L':
    case 'j':
        spec->is_double = true;
        spec->size = c == 'j' ? TO_INT64 : TO_INT;
        s->at++;
        break;
    case 'w':
        spec->wide = true;
        s->at++;
        break;
    case 'z':
    case 't':
        spec->size = TO_POINTER;
        s->at++;
        break;
    case 'I':
        parse_i_size(s, spec);
        break;
    default:
        break;
    }
}

static void parse_spec(struct scanner *s, struct spec *spec)
{
    memset(spec, 0, sizeof(*spec));
    if (format_unit(s, s->at) == '*') {
        spec->suppress = true;
        s->at++;
    }
    for (; is_digit(format_unit(s, s->at), 10); s->at++) {
        if (spec->width < INT_MAX / 16) {
            spec->width = spec->width * 10 + (format_unit(s, s->at) - '0');
        }
    }
    if (spec->width == 0) {
        spec->width = INT_MAX;
    }
    parse_size(s, spec);
    spec->type = format_unit(s, s->at);
    if (spec->type != 0) {
        s->at++;
    }
}

static bool match(struct scanner *s, int wanted)
{
    int c = get(s);
    if (c != wanted) {
        unget(s, c);
        return false;
    }
    return true;
}

static bool scan_one(struct scanner *s, struct spec *spec)
{
    switch (spec->type) {
    case 'd':
    case 'u':
        return scan_integer(s, spec, 10);
    case 'i':
        return scan_integer(s, spec, 0);
    case 'o':
        return scan_integer(s, spec, 8);
    case 'p':
        spec->size = TO_POINTER;
        return scan_integer(s, spec, 16);
    case 'x':
    case 'X':
        return scan_integer(s, spec, 16);
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
    case 'a':
    case 'A':
        return scan_float(s, spec);
    case 'c':
    case 'C':
        return scan_characters(s, spec);
    case 's':
    case 'S':
        return scan_word(s, spec);
    case '[':
        return scan_set(s, spec);
    case 'n':
        if (!spec->suppress) {
            store_integer(s, spec, (uint64_t)(int64_t)s->consumed);
        }
        return true;
    case '%':
        skip_space(s);
        return match(s, '%');
    default:
        return false;
    }
}

int crt_scan(struct crt_source *source, const void *format, unsigned options, win_va_list args)
{
    struct scanner s = {.source = source, .format = format, .options = options, .args = args};
    if (format == NULL) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    bool ok = true;
    while (ok && format_unit(&s, s.at) != 0) {
        int c = format_unit(&s, s.at++);
        s.input_end = false;
        if (crt_space(c)) {
            skip_space(&s);
        } else if (c != '%') {
            ok = match(&s, c);
        } else {
            struct spec spec;
            parse_spec(&s, &spec);
            ok = scan_one(&s, &spec);
        }
    }
    return !ok && s.input_end && s.stored == 0 ? -1 : s.stored;
}
