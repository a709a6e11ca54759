/*
 * GetDateFormat and GetTimeFormat (Microsoft, "Day, Month, Year, and Era Format Pictures" and
 * "Hour, Minute, and Second Format Pictures").
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/win32/errors.h"
#include "loader/win32/hosttime.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/locale.h"
#include "loader/win32/strings.h"
#include "loader/win32/systemtime.h"

enum {
    DATE_SHORTDATE = 0x1,
    DATE_LONGDATE = 0x2,
    DATE_YEARMONTH = 0x8,
    TIME_NOMINUTESORSECONDS = 0x1,
    TIME_NOSECONDS = 0x2,
    TIME_NOTIMEMARKER = 0x4,
    TIME_FORCE24HOURFORMAT = 0x8,
    LOCALE_SSHORTDATE = 0x1F,
    LOCALE_SLONGDATE = 0x20,
    LOCALE_STIMEFORMAT = 0x1003,
    LOCALE_SYEARMONTH = 0x1006,
    LOCALE_SDAYNAME1 = 0x2A, /* Monday */
    LOCALE_SABBREVDAYNAME1 = 0x31,
    LOCALE_SMONTHNAME1 = 0x38,
    LOCALE_SABBREVMONTHNAME1 = 0x44,
    LOCALE_S1159 = 0x28,
    LOCALE_S2359 = 0x29,
};

#define MAX_TEXT 256

struct output {
    WCHAR text[MAX_TEXT];
    size_t length;
};

static void put(struct output *out, WCHAR c)
{
    if (out->length < MAX_TEXT - 1)
        out->text[out->length++] = c;
}

static void put_ascii(struct output *out, const char *text)
{
    while (text && *text)
        put(out, (uint8_t)*text++);
}

static void put_number(struct output *out, unsigned value, int digits)
{
    char text[16];
    snprintf(text, sizeof(text), "%0*u", digits, value);
    put_ascii(out, text);
}

static void put_day(struct output *out, LCID locale, const SYSTEMTIME *time, size_t run)
{
    LCTYPE day = (time->wDayOfWeek + 6u) % 7; /* the names begin with Monday */
    if (run <= 2)
        put_number(out, time->wDay, (int)run);
    else
        put_ascii(out, win32_locale_value(
                           locale, (run == 3 ? LOCALE_SABBREVDAYNAME1 : LOCALE_SDAYNAME1) + day));
}

static void put_month(struct output *out, LCID locale, const SYSTEMTIME *time, size_t run)
{
    LCTYPE month = time->wMonth - 1u;
    if (run <= 2)
        put_number(out, time->wMonth, (int)run);
    else
        put_ascii(out,
                  win32_locale_value(
                      locale, (run == 3 ? LOCALE_SABBREVMONTHNAME1 : LOCALE_SMONTHNAME1) + month));
}

/* A run of one picture letter; false when the letter is none of this picture's. */
static bool put_date_run(struct output *out, LCID locale, const SYSTEMTIME *time, WCHAR letter,
                         size_t run)
{
    switch (letter) {
    case 'd':
        put_day(out, locale, time, run);
        return true;
    case 'M':
        put_month(out, locale, time, run);
        return true;
    case 'y':
        if (run <= 2)
            put_number(out, time->wYear % 100u, (int)run);
        else
            put_number(out, time->wYear, 4);
        return true;
    case 'g': /* the era, which the Gregorian calendar of en-US shows as "A.D." */
        put_ascii(out, "A.D.");
        return true;
    default:
        return false;
    }
}

static bool put_time_run(struct output *out, LCID locale, const SYSTEMTIME *time, WCHAR letter,
                         size_t run)
{
    int digits = run >= 2 ? 2 : 1;
    const char *marker;
    switch (letter) {
    case 'h':
        put_number(out, time->wHour % 12u ? time->wHour % 12u : 12, digits);
        return true;
    case 'H':
        put_number(out, time->wHour, digits);
        return true;
    case 'm':
        put_number(out, time->wMinute, digits);
        return true;
    case 's':
        put_number(out, time->wSecond, digits);
        return true;
    case 't':
        marker = win32_locale_value(locale, time->wHour < 12 ? LOCALE_S1159 : LOCALE_S2359);
        for (int i = 0; marker && marker[i] && i < digits; i++)
            put(out, (uint8_t)marker[i]);
        return true;
    default:
        return false;
    }
}

typedef bool (*put_run)(struct output *out, LCID locale, const SYSTEMTIME *time, WCHAR letter,
                        size_t run);

static void format_picture(struct output *out, LCID locale, const SYSTEMTIME *time,
                           const WCHAR *picture, put_run put_field)
{
    bool quoted = false;
    while (*picture) {
        size_t run = 1;
        while (picture[run] == *picture)
            run++;
        if (*picture == '\'') {
            /* Two quotes inside a quotation are one. */
            if (quoted && run >= 2)
                put(out, '\'');
            quoted = run % 2 ? !quoted : quoted;
        } else if (quoted || !put_field(out, locale, time, *picture, run)) {
            for (size_t i = 0; i < run; i++)
                put(out, *picture);
        }
        picture += run;
    }
}

/* Drops from a time picture what the flags do not want, with the separators before it. */
static void trim_picture(WCHAR *picture, DWORD flags)
{
    size_t out = 0;
    for (size_t i = 0; picture[i]; i++) {
        WCHAR c = picture[i];
        bool drop = (c == 't' && (flags & TIME_NOTIMEMARKER)) ||
                    (c == 's' && (flags & (TIME_NOSECONDS | TIME_NOMINUTESORSECONDS))) ||
                    (c == 'm' && (flags & TIME_NOMINUTESORSECONDS));
        while (drop && out && (picture[out - 1] == ':' || picture[out - 1] == ' '))
            out--;
        if (drop)
            continue;
        picture[out++] = c == 'h' && (flags & TIME_FORCE24HOURFORMAT) ? 'H' : c;
    }
    picture[out] = 0;
}

static INT finish(const struct output *out, WCHAR *buffer, INT size)
{
    INT length = (INT)out->length + 1;
    if (!size)
        return length;
    if (size < length)
        return win32_fail(ERROR_INSUFFICIENT_BUFFER);
    memcpy(buffer, out->text, out->length * sizeof(WCHAR));
    buffer[out->length] = 0;
    return length;
}

/* Common half of both: locale, moment and picture checked, then formatted. */
static INT format(LCID locale, DWORD flags, const SYSTEMTIME *time, const WCHAR *picture,
                  LCTYPE default_picture, put_run put_field, WCHAR *buffer, INT size)
{
    struct output out = {.length = 0};
    WCHAR own[64];
    SYSTEMTIME now;
    int64_t ticks;
    const char *standard = win32_locale_value(locale, default_picture);
    if (!standard || size < 0 || (size && !buffer))
        return win32_fail(ERROR_INVALID_PARAMETER);
    if (!time) {
        win32_systemtime_of_ticks(win32_local_of_utc(win32_now()), &now);
    } else {
        now = *time;
        if (put_field == put_date_run)
            now.wHour = now.wMinute = now.wSecond = now.wMilliseconds = 0;
        else
            now.wYear = 2000, now.wMonth = now.wDay = 1;
        /* The weekday is computed, not believed. */
        if (!win32_ticks_of_systemtime(&now, &ticks))
            return win32_fail(ERROR_INVALID_PARAMETER);
        win32_systemtime_of_ticks(ticks, &now);
    }
    if (!picture) {
        size_t i = 0;
        for (; standard[i] && i < 63; i++)
            own[i] = (uint8_t)standard[i];
        own[i] = 0;
        if (put_field == put_time_run)
            trim_picture(own, flags);
        picture = own;
    }
    format_picture(&out, locale, &now, picture, put_field);
    return finish(&out, buffer, size);
}

static INT format_date(LCID locale, DWORD flags, const SYSTEMTIME *time, const WCHAR *picture,
                       WCHAR *buffer, INT size)
{
    DWORD kinds = flags & (DATE_SHORTDATE | DATE_LONGDATE | DATE_YEARMONTH);
    if ((picture && kinds) || (kinds & (kinds - 1)))
        return win32_fail(ERROR_INVALID_FLAGS);
    LCTYPE standard = kinds == DATE_LONGDATE    ? LOCALE_SLONGDATE
                      : kinds == DATE_YEARMONTH ? LOCALE_SYEARMONTH
                                                : LOCALE_SSHORTDATE;
    return format(locale, flags, time, picture, standard, put_date_run, buffer, size);
}

static INT format_time(LCID locale, DWORD flags, const SYSTEMTIME *time, const WCHAR *picture,
                       WCHAR *buffer, INT size)
{
    return format(locale, flags, time, picture, LOCALE_STIMEFORMAT, put_time_run, buffer, size);
}

static INT WINAPI_DEF k32_GetDateFormatW(LCID locale, DWORD flags, const SYSTEMTIME *time,
                                         const WCHAR *picture, WCHAR *buffer, INT size)
{
    return format_date(locale, flags, time, picture, buffer, size);
}

static INT WINAPI_DEF k32_GetTimeFormatW(LCID locale, DWORD flags, const SYSTEMTIME *time,
                                         const WCHAR *picture, WCHAR *buffer, INT size)
{
    return format_time(locale, flags, time, picture, buffer, size);
}

static INT WINAPI_DEF k32_GetDateFormatEx(const WCHAR *locale, DWORD flags, const SYSTEMTIME *time,
                                          const WCHAR *picture, WCHAR *buffer, INT size,
                                          const WCHAR *calendar)
{
    LCID lcid = win32_locale_of_name(locale);
    return lcid && !calendar ? format_date(lcid, flags, time, picture, buffer, size)
                             : win32_fail(ERROR_INVALID_PARAMETER);
}

static INT WINAPI_DEF k32_GetTimeFormatEx(const WCHAR *locale, DWORD flags, const SYSTEMTIME *time,
                                          const WCHAR *picture, WCHAR *buffer, INT size)
{
    LCID lcid = win32_locale_of_name(locale);
    return lcid ? format_time(lcid, flags, time, picture, buffer, size)
                : win32_fail(ERROR_INVALID_PARAMETER);
}

typedef INT (*formatter)(LCID locale, DWORD flags, const SYSTEMTIME *time, const WCHAR *picture,
                         WCHAR *buffer, INT size);

static INT format_a(LCID locale, DWORD flags, const SYSTEMTIME *time, const char *picture,
                    char *buffer, INT size, formatter format_wide)
{
    WCHAR *wide = NULL, text[MAX_TEXT];
    if (size < 0 || (size && !buffer))
        return win32_fail(ERROR_INVALID_PARAMETER);
    INT length =
        win32_widen(picture, &wide) ? format_wide(locale, flags, time, wide, text, MAX_TEXT) : 0;
    free(wide);
    if (!length || !size)
        return length;
    if (length > size)
        return win32_fail(ERROR_INSUFFICIENT_BUFFER);
    win32_return_ansi(text, (size_t)length - 1, buffer, (DWORD)size);
    return length;
}

static INT WINAPI_DEF k32_GetDateFormatA(LCID locale, DWORD flags, const SYSTEMTIME *time,
                                         const char *picture, char *buffer, INT size)
{
    return format_a(locale, flags, time, picture, buffer, size, format_date);
}

static INT WINAPI_DEF k32_GetTimeFormatA(LCID locale, DWORD flags, const SYSTEMTIME *time,
                                         const char *picture, char *buffer, INT size)
{
    return format_a(locale, flags, time, picture, buffer, size, format_time);
}

const struct ldr_builtin_export kernel32_datefmt_exports[] = {
    LDR_FN(k32_, GetDateFormatA), LDR_FN(k32_, GetDateFormatW), LDR_FN(k32_, GetDateFormatEx),
    LDR_FN(k32_, GetTimeFormatA), LDR_FN(k32_, GetTimeFormatW), LDR_FN(k32_, GetTimeFormatEx),
};
const size_t kernel32_datefmt_count =
    sizeof(kernel32_datefmt_exports) / sizeof(*kernel32_datefmt_exports);
