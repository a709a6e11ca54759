/*
 * Time: time, clock, mktime, gmtime, localtime, asctime and their 32- and 64-bit forms, _ftime,
 * _tzset.
 *
 * The time zone is the host's. Times before 1970 are refused, and those that do not fit, as
 * Windows does.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "loader/win32/crt/data.h"
#include "loader/win32/crt/timefmt.h"

#define LAST_TIME INT64_C(0x793406fff) /* 3000-12-31 23:59:59 UTC */

struct tm crt_host_tm(const struct crt_tm *in)
{
    struct tm out = {
        .tm_sec = in->sec,
        .tm_min = in->min,
        .tm_hour = in->hour,
        .tm_mday = in->mday,
        .tm_mon = in->mon,
        .tm_year = in->year,
        .tm_wday = in->wday,
        .tm_yday = in->yday,
        .tm_isdst = in->isdst,
    };
    return out;
}

static void from_host(const struct tm *in, struct crt_tm *out)
{
    *out = (struct crt_tm){in->tm_sec,  in->tm_min,  in->tm_hour, in->tm_mday, in->tm_mon,
                           in->tm_year, in->tm_wday, in->tm_yday, in->tm_isdst};
}

/* ---- now
 * ---------------------------------------------------------------------------------------------------
 */

static WINCDECL_DEF int64_t crt__time64(int64_t *out)
{
    int64_t now = (int64_t)time(NULL);
    if (out != NULL) {
        *out = now;
    }
    return now;
}

static WINCDECL_DEF int32_t crt__time32(int32_t *out)
{
    int32_t now = (int32_t)time(NULL);
    if (out != NULL) {
        *out = now;
    }
    return now;
}

static int64_t start_milliseconds;

static int64_t monotonic_milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

__attribute__((constructor)) static void remember_start(void)
{
    start_milliseconds = monotonic_milliseconds();
}

/* Windows's clock() is the time since the start of the process, in milliseconds. */
static WINCDECL_DEF crt_long crt_clock(void)
{
    return (crt_long)(monotonic_milliseconds() - start_milliseconds);
}

/* struct _timeb: time, then milliseconds, minutes west of UTC, whether daylight saving is on. */
static int put_timeb(void *out, size_t time_bytes)
{
    struct timespec now;
    struct tm local;
    if (out == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    clock_gettime(CLOCK_REALTIME, &now);
    time_t seconds = now.tv_sec;
    localtime_r(&seconds, &local);
    int64_t wide = (int64_t)seconds;
    int16_t rest[3] = {(int16_t)(now.tv_nsec / 1000000),
                       (int16_t)((timezone != 0 ? timezone : -local.tm_gmtoff) / 60),
                       (int16_t)(local.tm_isdst > 0)};
    memcpy(out, &wide, time_bytes);
    memcpy((char *)out + time_bytes, rest, sizeof(rest));
    return 0;
}

static WINCDECL_DEF int crt__ftime32_s(void *out)
{
    return put_timeb(out, 4);
}

static WINCDECL_DEF int crt__ftime64_s(void *out)
{
    return put_timeb(out, 8);
}

/* C11's timespec_get; the second member is a long. */
static WINCDECL_DEF int crt__timespec64_get(void *out, int base)
{
    struct timespec now;
    if (out == NULL || base != TIME_UTC) {
        return 0;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t seconds = (int64_t)now.tv_sec;
    int32_t nanoseconds = (int32_t)now.tv_nsec;
    memcpy(out, &seconds, 8);
    memcpy((char *)out + 8, &nanoseconds, 4);
    return base;
}

static WINCDECL_DEF int crt__timespec32_get(void *out, int base)
{
    struct timespec now;
    if (out == NULL || base != TIME_UTC) {
        return 0;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    int32_t parts[2] = {(int32_t)now.tv_sec, (int32_t)now.tv_nsec};
    memcpy(out, parts, sizeof(parts));
    return base;
}

/* ---- seconds to calendar
 * --------------------------------------------------------------------------------- */

static int calendar(struct crt_tm *out, int64_t seconds, bool local)
{
    struct tm host;
    time_t t = (time_t)seconds;
    if (out == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    bool ok = seconds >= 0 && seconds <= LAST_TIME && (int64_t)t == seconds;
    ok = ok && (local ? localtime_r(&t, &host) : gmtime_r(&t, &host)) != NULL;
    if (!ok) {
        memset(out, 0xFF, sizeof(*out));
        return crt_invalid(CRT_EINVAL);
    }
    from_host(&host, out);
    return 0;
}

static struct crt_tm *own_calendar(const int64_t *seconds, bool local)
{
    struct crt_tm *out = &crt_thread()->tm;
    return seconds != NULL && calendar(out, *seconds, local) == 0 ? out : NULL;
}

static const char *text_of(const struct crt_tm *tm)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct crt_thread *thread = crt_thread();
    if (tm == NULL || (unsigned)tm->wday > 6 || (unsigned)tm->mon > 11 || tm->year < 0 ||
        tm->year > 8099) {
        crt_invalid(CRT_EINVAL);
        return NULL;
    }
    char text[64];
    snprintf(text, sizeof(text), "%s %s %02d %02d:%02d:%02d %d\n", days[tm->wday], months[tm->mon],
             tm->mday, tm->hour, tm->min, tm->sec, 1900 + tm->year);
    snprintf(thread->time_text, sizeof(thread->time_text), "%.25s", text);
    return thread->time_text;
}

static crt_wchar *wide_text(const char *text)
{
    crt_wchar *out = crt_thread()->wide_time_text;
    for (size_t i = 0; text != NULL && i < 26; i++) {
        out[i] = (unsigned char)text[i];
    }
    return text != NULL ? out : NULL;
}

static int text_to_buffer(const char *text, char *buffer, size_t size)
{
    if (buffer == NULL || size < 26 || text == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    strcpy(buffer, text);
    return 0;
}

static int text_to_wide_buffer(const char *text, crt_wchar *buffer, size_t size)
{
    if (buffer == NULL || size < 26 || text == NULL) {
        return crt_invalid(CRT_EINVAL);
    }
    for (size_t i = 0; i < 26; i++) {
        buffer[i] = (unsigned char)text[i];
    }
    return 0;
}

static WINCDECL_DEF const char *crt_asctime(const struct crt_tm *tm)
{
    return text_of(tm);
}

static WINCDECL_DEF int crt_asctime_s(char *buffer, size_t size, const struct crt_tm *tm)
{
    return text_to_buffer(text_of(tm), buffer, size);
}

static WINCDECL_DEF crt_wchar *crt__wasctime(const struct crt_tm *tm)
{
    return wide_text(text_of(tm));
}

static WINCDECL_DEF int crt__wasctime_s(crt_wchar *buffer, size_t size, const struct crt_tm *tm)
{
    return text_to_wide_buffer(text_of(tm), buffer, size);
}

/* ---- calendar to seconds
 * ----------------------------------------------------------------------------------- */

static int64_t seconds_of(struct crt_tm *tm, bool local)
{
    struct tm host = crt_host_tm(tm);
    int64_t seconds = (int64_t)(local ? mktime(&host) : timegm(&host));
    if (seconds < 0) {
        crt_invalid(CRT_EINVAL);
        return -1;
    }
    from_host(&host, tm);
    return seconds;
}

/* The functions that exist for both widths of time_t. */
#define TIME_FUNCTIONS(bits)                                                                     \
    static WINCDECL_DEF struct crt_tm *crt__gmtime##bits(const int##bits##_t *t)                 \
    {                                                                                            \
        int64_t seconds = t != NULL ? *t : -1;                                                   \
        return own_calendar(&seconds, false);                                                    \
    }                                                                                            \
    static WINCDECL_DEF struct crt_tm *crt__localtime##bits(const int##bits##_t *t)              \
    {                                                                                            \
        int64_t seconds = t != NULL ? *t : -1;                                                   \
        return own_calendar(&seconds, true);                                                     \
    }                                                                                            \
    static WINCDECL_DEF int crt__gmtime##bits##_s(struct crt_tm *out, const int##bits##_t *t)    \
    {                                                                                            \
        return calendar(out, t != NULL ? *t : -1, false);                                        \
    }                                                                                            \
    static WINCDECL_DEF int crt__localtime##bits##_s(struct crt_tm *out, const int##bits##_t *t) \
    {                                                                                            \
        return calendar(out, t != NULL ? *t : -1, true);                                         \
    }                                                                                            \
    static WINCDECL_DEF const char *crt__ctime##bits(const int##bits##_t *t)                     \
    {                                                                                            \
        return text_of(crt__localtime##bits(t));                                                 \
    }                                                                                            \
    static WINCDECL_DEF crt_wchar *crt__wctime##bits(const int##bits##_t *t)                     \
    {                                                                                            \
        return wide_text(text_of(crt__localtime##bits(t)));                                      \
    }                                                                                            \
    static WINCDECL_DEF int crt__ctime##bits##_s(char *buffer, size_t size,                      \
                                                 const int##bits##_t *t)                         \
    {                                                                                            \
        return text_to_buffer(text_of(crt__localtime##bits(t)), buffer, size);                   \
    }                                                                                            \
    static WINCDECL_DEF int crt__wctime##bits##_s(crt_wchar *buffer, size_t size,                \
                                                  const int##bits##_t *t)                        \
    {                                                                                            \
        return text_to_wide_buffer(text_of(crt__localtime##bits(t)), buffer, size);              \
    }                                                                                            \
    static WINCDECL_DEF int##bits##_t crt__mktime##bits(struct crt_tm *tm)                       \
    {                                                                                            \
        return (int##bits##_t)seconds_of(tm, true);                                              \
    }                                                                                            \
    static WINCDECL_DEF int##bits##_t crt__mkgmtime##bits(struct crt_tm *tm)                     \
    {                                                                                            \
        return (int##bits##_t)seconds_of(tm, false);                                             \
    }                                                                                            \
    static WINCDECL_DEF double crt__difftime##bits(int##bits##_t later, int##bits##_t earlier)   \
    {                                                                                            \
        return (double)later - (double)earlier;                                                  \
    }
TIME_FUNCTIONS(32)
TIME_FUNCTIONS(64)

/* ---- today as text
 * --------------------------------------------------------------------------------------------- */

static void today(const char *format, char out[9])
{
    struct tm local;
    time_t now = time(NULL);
    localtime_r(&now, &local);
    strftime(out, 9, format, &local);
}

static WINCDECL_DEF char *crt__strdate(char *out)
{
    today("%m/%d/%y", out);
    return out;
}

static WINCDECL_DEF char *crt__strtime(char *out)
{
    today("%H:%M:%S", out);
    return out;
}

static WINCDECL_DEF int crt__strdate_s(char *out, size_t room)
{
    if (out == NULL || room < 9) {
        return crt_invalid(CRT_ERANGE);
    }
    today("%m/%d/%y", out);
    return 0;
}

static WINCDECL_DEF int crt__strtime_s(char *out, size_t room)
{
    if (out == NULL || room < 9) {
        return crt_invalid(CRT_ERANGE);
    }
    today("%H:%M:%S", out);
    return 0;
}

static crt_wchar *widen_today(const char *format, crt_wchar *out)
{
    char text[9];
    today(format, text);
    for (size_t i = 0; i < sizeof(text); i++) {
        out[i] = (unsigned char)text[i];
    }
    return out;
}

static WINCDECL_DEF crt_wchar *crt__wstrdate(crt_wchar *out)
{
    return widen_today("%m/%d/%y", out);
}

static WINCDECL_DEF crt_wchar *crt__wstrtime(crt_wchar *out)
{
    return widen_today("%H:%M:%S", out);
}

/* ---- time zone
 * ----------------------------------------------------------------------------------------------------
 */

static WINCDECL_DEF void crt__tzset(void)
{
    tzset();
    *crt_data.timezone = (crt_long)timezone;
    *crt_data.daylight = daylight;
    crt_data.time_names[0] = tzname[0];
    crt_data.time_names[1] = tzname[1];
}

static WINCDECL_DEF int crt__get_timezone(crt_long *out)
{
    *out = *crt_data.timezone;
    return 0;
}

static WINCDECL_DEF int crt__get_daylight(int *out)
{
    *out = *crt_data.daylight;
    return 0;
}

static WINCDECL_DEF int crt__get_dstbias(crt_long *out)
{
    *out = *crt_data.dst_bias;
    return 0;
}

static WINCDECL_DEF int crt__get_tzname(size_t *needed, char *out, size_t room, int index)
{
    if (needed == NULL || index < 0 || index > 1) {
        return crt_invalid(CRT_EINVAL);
    }
    tzset();
    *needed = strlen(tzname[index]) + 1;
    if (out != NULL && *needed <= room) {
        memcpy(out, tzname[index], *needed);
    }
    return out == NULL || *needed <= room ? 0 : CRT_ERANGE;
}

#define BOTH(name)            CRT_FN(name##32), CRT_FN(name##64)
#define BOTH_S(name)          CRT_FN(name##32_s), CRT_FN(name##64_s)
#define PLAIN(name, function) CRT_BY_WORD(name, function##64, function##32)

static const struct ldr_builtin_export functions[] = {
    BOTH(_time),
    PLAIN(time, crt__time),
    BOTH(_gmtime),
    PLAIN(gmtime, crt__gmtime),
    BOTH_S(_gmtime),
    BOTH(_localtime),
    PLAIN(localtime, crt__localtime),
    BOTH_S(_localtime),
    BOTH(_ctime),
    PLAIN(ctime, crt__ctime),
    BOTH_S(_ctime),
    BOTH(_wctime),
    PLAIN(_wctime, crt__wctime),
    BOTH_S(_wctime),
    BOTH(_mktime),
    PLAIN(mktime, crt__mktime),
    BOTH(_mkgmtime),
    PLAIN(_mkgmtime, crt__mkgmtime),
    BOTH(_difftime),
    PLAIN(difftime, crt__difftime),
    CRT_FN(_ftime32_s),
    CRT_FN(_ftime64_s),
    CRT_AS(_ftime32, crt__ftime32_s),
    CRT_AS(_ftime64, crt__ftime64_s),
    CRT_BY_WORD(_ftime, crt__ftime64_s, crt__ftime32_s),
    CRT_FN(_timespec64_get),
    CRT_FN(_timespec32_get),
    CRT_FN(clock),
    CRT_FN(asctime),
    CRT_FN(asctime_s),
    CRT_FN(_wasctime),
    CRT_FN(_wasctime_s),
    CRT_FN(_strdate),
    CRT_FN(_strdate_s),
    CRT_FN(_strtime),
    CRT_FN(_strtime_s),
    CRT_FN(_wstrdate),
    CRT_FN(_wstrtime),
    CRT_FN(_tzset),
    CRT_FN(_get_timezone),
    CRT_FN(_get_daylight),
    CRT_FN(_get_dstbias),
    CRT_FN(_get_tzname),
};
CRT_FAMILY(crt_time_family, functions);
