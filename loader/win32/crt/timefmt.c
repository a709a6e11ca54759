/*
 * strftime and wcsftime: Windows's conversions, the words and digits by glibc in the C locale.
 *
 * "%#d" drops leading zeros. %c and %z differ between msvcrt and UCRT, so each exports its own.
 */
#include "loader/win32/crt/timefmt.h"

struct time_format {
    bool wide, ucrt;
    const void *format;
    void *out;
    size_t used, room; /* units */
};

static int unit_at(const struct time_format *f, size_t at)
{
    return f->wide ? ((const crt_wchar *)f->format)[at] : ((const unsigned char *)f->format)[at];
}

static void put(struct time_format *f, int unit)
{
    if (f->used < f->room) {
        if (f->wide) {
            ((crt_wchar *)f->out)[f->used] = (crt_wchar)unit;
        } else {
            ((char *)f->out)[f->used] = (char)unit;
        }
    }
    f->used++;
}

/* The host's conversion for one of Windows's; NULL = Windows has no such conversion. */
static const char *conversion_of(int c, bool plain, bool ucrt)
{
    static const char *const both[128] = {
        ['a'] = "%a",       ['A'] = "%A",       ['b'] = "%b", ['B'] = "%B", ['d'] = "%d",
        ['H'] = "%H",       ['I'] = "%I",       ['j'] = "%j", ['m'] = "%m", ['M'] = "%M",
        ['p'] = "%p",       ['S'] = "%S",       ['U'] = "%U", ['w'] = "%w", ['W'] = "%W",
        ['x'] = "%m/%d/%y", ['X'] = "%H:%M:%S", ['y'] = "%y", ['Y'] = "%Y", ['Z'] = "%Z",
        ['%'] = "%%",
    };
    static const char *const modern[128] = {
        ['c'] = "%a %b %e %H:%M:%S %Y",
        ['C'] = "%C",
        ['D'] = "%m/%d/%y",
        ['e'] = "%e",
        ['F'] = "%Y-%m-%d",
        ['g'] = "%g",
        ['G'] = "%G",
        ['h'] = "%b",
        ['n'] = "\n",
        ['r'] = "%I:%M:%S %p",
        ['R'] = "%H:%M",
        ['t'] = "\t",
        ['T'] = "%H:%M:%S",
        ['u'] = "%u",
        ['V'] = "%V",
        ['z'] = "%z",
    };
    static const char *const old[128] = {['c'] = "%m/%d/%y %H:%M:%S", ['z'] = "%Z"};
    static const char *const unpadded[128] = {
        ['d'] = "%-d",           ['H'] = "%-H", ['I'] = "%-I", ['j'] = "%-j",
        ['m'] = "%-m",           ['M'] = "%-M", ['S'] = "%-S", ['U'] = "%-U",
        ['W'] = "%-W",           ['y'] = "%-y", ['e'] = "%-e", ['c'] = "%A, %B %d, %Y %H:%M:%S",
        ['x'] = "%A, %B %d, %Y",
    };
    if (c < 0 || c > 127) {
        return NULL;
    }
    if (plain && unpadded[c] != NULL) {
        return unpadded[c];
    }
    const char *own = ucrt ? modern[c] : old[c];
    return own != NULL ? own : both[c];
}

static bool put_conversion(struct time_format *f, int c, bool plain, const struct tm *host)
{
    char text[128];
    const char *conversion = conversion_of(c, plain, f->ucrt);
    if (conversion == NULL) {
        return false;
    }
    size_t length = strftime_l(text, sizeof(text), conversion, host, crt_c_locale());
    for (size_t i = 0; i < length; i++) {
        put(f, (unsigned char)text[i]);
    }
    return true;
}

/* 0 with errno set when it does not fit or a conversion is unknown. */
static size_t format_time(struct time_format *f, const struct crt_tm *tm)
{
    if (f->out == NULL || f->room == 0 || f->format == NULL || tm == NULL) {
        crt_invalid(CRT_EINVAL);
        return 0;
    }
    struct tm host = crt_host_tm(tm);
    struct tm zone = host;
    mktime(&zone); /* for the zone's name and offset, which Windows's struct does not hold */
    host.tm_gmtoff = zone.tm_gmtoff;
    host.tm_zone = zone.tm_zone;
    for (size_t at = 0; unit_at(f, at) != 0; at++) {
        if (unit_at(f, at) != '%') {
            put(f, unit_at(f, at));
            continue;
        }
        at++;
        bool plain = unit_at(f, at) == '#';
        at += plain;
        if (!plain && f->ucrt && (unit_at(f, at) == 'E' || unit_at(f, at) == 'O')) {
            at++; /* alternative forms: there are none in the C locale */
        }
        if (!put_conversion(f, unit_at(f, at), plain, &host)) {
            f->used = SIZE_MAX - 1;
            crt_invalid(CRT_EINVAL);
            break;
        }
    }
    size_t used = f->used;
    put(f, 0);
    if (used < f->room) {
        return used;
    }
    f->used = 0;
    put(f, 0);
    if (used != SIZE_MAX - 1) {
        crt_set_errno(CRT_ERANGE);
    }
    return 0;
}

static WINCDECL_DEF size_t msvcrt_strftime(char *out, size_t room, const char *format,
                                           const struct crt_tm *tm)
{
    struct time_format f = {.format = format, .out = out, .room = room};
    return format_time(&f, tm);
}

static WINCDECL_DEF size_t ucrt_strftime(char *out, size_t room, const char *format,
                                         const struct crt_tm *tm)
{
    struct time_format f = {.ucrt = true, .format = format, .out = out, .room = room};
    return format_time(&f, tm);
}

static WINCDECL_DEF size_t msvcrt_wcsftime(crt_wchar *out, size_t room, const crt_wchar *format,
                                           const struct crt_tm *tm)
{
    struct time_format f = {.wide = true, .format = format, .out = out, .room = room};
    return format_time(&f, tm);
}

static WINCDECL_DEF size_t ucrt_wcsftime(crt_wchar *out, size_t room, const crt_wchar *format,
                                         const struct crt_tm *tm)
{
    struct time_format f = {.wide = true, .ucrt = true, .format = format, .out = out, .room = room};
    return format_time(&f, tm);
}

static const struct ldr_builtin_export msvcrt_functions[] = {
    CRT_AS(strftime, msvcrt_strftime),
    CRT_AS(_Strftime, msvcrt_strftime),
    CRT_AS(wcsftime, msvcrt_wcsftime),
};
CRT_FAMILY(crt_msvcrt_timefmt_family, msvcrt_functions);

static const struct ldr_builtin_export ucrt_functions[] = {
    CRT_AS(strftime, ucrt_strftime),
    CRT_AS(_Strftime, ucrt_strftime),
    CRT_AS(wcsftime, ucrt_wcsftime),
    CRT_AS(_Wcsftime, ucrt_wcsftime),
};
CRT_FAMILY(crt_ucrt_timefmt_family, ucrt_functions);
