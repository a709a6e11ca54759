/*
 * Clocks, calendar conversions and time zones.
 *
 * The performance counter runs at 10 MHz, as it does on Windows 10; the tick count has the host's
 * boot as its zero.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "loader/win32/errors.h"
#include "loader/win32/hosttime.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/strings.h"
#include "loader/win32/systemtime.h"

#define TICKS_PER_DAY (86400 * WIN32_TICKS)

/* ---- clocks --------------------------------------------------------------------------------- */

static void WINAPI_DEF k32_GetSystemTimeAsFileTime(FILETIME *out)
{
    *out = win32_filetime(win32_now());
}

static BOOL WINAPI_DEF k32_QueryPerformanceCounter(LARGE_INTEGER *out)
{
    out->QuadPart = win32_clock_ticks(CLOCK_MONOTONIC);
    return TRUE;
}

static BOOL WINAPI_DEF k32_QueryPerformanceFrequency(LARGE_INTEGER *out)
{
    out->QuadPart = WIN32_TICKS;
    return TRUE;
}

static ULONGLONG WINAPI_DEF k32_GetTickCount64(void)
{
    return (ULONGLONG)(win32_clock_ticks(CLOCK_BOOTTIME) / 10000);
}

static DWORD WINAPI_DEF k32_GetTickCount(void)
{
    return (DWORD)k32_GetTickCount64();
}

/* Time spent asleep does not count: CLOCK_MONOTONIC stops in suspend. */
static BOOL WINAPI_DEF k32_QueryUnbiasedInterruptTime(ULONGLONG *out)
{
    *out = (ULONGLONG)win32_clock_ticks(CLOCK_MONOTONIC);
    return TRUE;
}

/* ---- calendar ---------------------------------------------------------------------------------
 */

/* Days since 1970-01-01 of a proleptic Gregorian date, and back (a year from March on). */
static int64_t days_of_date(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = year / 400, yoe = year - era * 400;
    int64_t doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void date_of_days(int64_t days, WORD *year, WORD *month, WORD *day)
{
    days += 719468;
    int64_t era = days / 146097, doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    *day = (WORD)(doy - (153 * mp + 2) / 5 + 1);
    *month = (WORD)(mp < 10 ? mp + 3 : mp - 9);
    *year = (WORD)(yoe + era * 400 + (*month <= 2));
}

bool win32_systemtime_of_ticks(int64_t ticks, SYSTEMTIME *out)
{
    if (ticks < 0)
        return false;
    int64_t days = ticks / TICKS_PER_DAY, rest = ticks % TICKS_PER_DAY / 10000;
    date_of_days(days - WIN32_EPOCH_SECONDS / 86400, &out->wYear, &out->wMonth, &out->wDay);
    out->wDayOfWeek = (WORD)((days + 1) % 7); /* 1601-01-01 was a Monday */
    out->wMilliseconds = (WORD)(rest % 1000);
    out->wSecond = (WORD)(rest / 1000 % 60);
    out->wMinute = (WORD)(rest / 60000 % 60);
    out->wHour = (WORD)(rest / 3600000);
    return true;
}

static int days_in_month(int year, int month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

bool win32_ticks_of_systemtime(const SYSTEMTIME *in, int64_t *ticks)
{
    if (in->wYear < 1601 || in->wYear > 30827 || in->wMonth < 1 || in->wMonth > 12 ||
        in->wDay < 1 || in->wDay > days_in_month(in->wYear, in->wMonth) || in->wHour > 23 ||
        in->wMinute > 59 || in->wSecond > 59 || in->wMilliseconds > 999)
        return false;
    int64_t days = days_of_date(in->wYear, in->wMonth, in->wDay) + WIN32_EPOCH_SECONDS / 86400;
    int64_t ms = ((in->wHour * 60LL + in->wMinute) * 60 + in->wSecond) * 1000 + in->wMilliseconds;
    *ticks = days * TICKS_PER_DAY + ms * 10000;
    return true;
}

static BOOL WINAPI_DEF k32_FileTimeToSystemTime(const FILETIME *in, SYSTEMTIME *out)
{
    return win32_systemtime_of_ticks(win32_filetime_ticks(in), out) ||
           win32_fail(ERROR_INVALID_PARAMETER);
}

static BOOL WINAPI_DEF k32_SystemTimeToFileTime(const SYSTEMTIME *in, FILETIME *out)
{
    int64_t ticks;
    if (!win32_ticks_of_systemtime(in, &ticks))
        return win32_fail(ERROR_INVALID_PARAMETER);
    *out = win32_filetime(ticks);
    return TRUE;
}

static void WINAPI_DEF k32_GetSystemTime(SYSTEMTIME *out)
{
    win32_systemtime_of_ticks(win32_now(), out);
}

/* -1, 0 or 1. */
static LONG WINAPI_DEF k32_CompareFileTime(const FILETIME *a, const FILETIME *b)
{
    uint64_t ta = (uint64_t)win32_filetime_ticks(a), tb = (uint64_t)win32_filetime_ticks(b);
    return (ta > tb) - (ta < tb);
}

static BOOL WINAPI_DEF k32_FileTimeToDosDateTime(const FILETIME *in, WORD *date, WORD *time)
{
    SYSTEMTIME t;
    if (!win32_systemtime_of_ticks(win32_filetime_ticks(in), &t) || t.wYear < 1980 ||
        t.wYear > 2107)
        return win32_fail(ERROR_INVALID_PARAMETER);
    *date = (WORD)((t.wYear - 1980) << 9 | t.wMonth << 5 | t.wDay);
    *time = (WORD)(t.wHour << 11 | t.wMinute << 5 | t.wSecond / 2);
    return TRUE;
}

static BOOL WINAPI_DEF k32_DosDateTimeToFileTime(WORD date, WORD time, FILETIME *out)
{
    SYSTEMTIME t = {
        .wYear = (WORD)(1980 + (date >> 9)),
        .wMonth = (date >> 5) & 0xF,
        .wDay = date & 0x1F,
        .wHour = time >> 11,
        .wMinute = (time >> 5) & 0x3F,
        .wSecond = (WORD)((time & 0x1F) * 2),
    };
    return k32_SystemTimeToFileTime(&t, out);
}

/* ---- time zones --------------------------------------------------------------------------------
 */

/* Seconds east of UTC at a moment of UTC, by the host's zone. */
static long offset_at(int64_t ticks)
{
    struct tm local;
    time_t when = win32_timespec(ticks).tv_sec;
    return localtime_r(&when, &local) ? local.tm_gmtoff : 0;
}

int64_t win32_local_of_utc(int64_t ticks)
{
    return ticks + offset_at(ticks) * WIN32_TICKS;
}

static int64_t utc_of_local(int64_t local)
{
    /* The offset at the moment itself; one step settles it but for the hour that is missing. */
    int64_t guess = local - offset_at(local) * WIN32_TICKS;
    return local - offset_at(guess) * WIN32_TICKS;
}

static void WINAPI_DEF k32_GetLocalTime(SYSTEMTIME *out)
{
    win32_systemtime_of_ticks(win32_local_of_utc(win32_now()), out);
}

/* These two use today's offset, as documented: not the offset of the time that is converted. */
static BOOL WINAPI_DEF k32_FileTimeToLocalFileTime(const FILETIME *in, FILETIME *out)
{
    *out = win32_filetime(win32_filetime_ticks(in) + offset_at(win32_now()) * WIN32_TICKS);
    return TRUE;
}

static BOOL WINAPI_DEF k32_LocalFileTimeToFileTime(const FILETIME *in, FILETIME *out)
{
    *out = win32_filetime(win32_filetime_ticks(in) - offset_at(win32_now()) * WIN32_TICKS);
    return TRUE;
}

struct time_zone {
    LONG Bias; /* minutes: UTC = local + Bias */
    WCHAR StandardName[32];
    SYSTEMTIME StandardDate;
    LONG StandardBias;
    WCHAR DaylightName[32];
    SYSTEMTIME DaylightDate;
    LONG DaylightBias;
};

struct dynamic_time_zone {
    struct time_zone zone;
    WCHAR TimeZoneKeyName[128];
    BOOLEAN DynamicDaylightTimeDisabled;
};

/* A change of the offset within this year: when, and to what. */
struct transition {
    int64_t ticks;
    long before, after;
    bool to_daylight;
};

static bool is_daylight(int64_t ticks)
{
    struct tm local;
    time_t when = win32_timespec(ticks).tv_sec;
    return localtime_r(&when, &local) && local.tm_isdst > 0;
}

/* Finds this year's transitions, day by day and then to the second. At most two are kept. */
static size_t find_transitions(int year, struct transition out[2])
{
    SYSTEMTIME first = {.wYear = (WORD)year, .wMonth = 1, .wDay = 1};
    int64_t start;
    size_t count = 0;
    if (!win32_ticks_of_systemtime(&first, &start))
        return 0;
    for (int day = 0; day < 366 && count < 2; day++) {
        int64_t low = start + day * TICKS_PER_DAY, high = low + TICKS_PER_DAY;
        if (is_daylight(low) == is_daylight(high))
            continue;
        while (high - low > WIN32_TICKS) {
            int64_t middle = low + (high - low) / 2 / WIN32_TICKS * WIN32_TICKS;
            if (is_daylight(middle) == is_daylight(low))
                low = middle;
            else
                high = middle;
        }
        out[count++] =
            (struct transition){high, offset_at(low), offset_at(high), is_daylight(high)};
    }
    return count;
}

/* "The n-th weekday of a month" in local time, which is what SYSTEMTIME means here (year 0). */
static SYSTEMTIME rule_of(const struct transition *change)
{
    SYSTEMTIME at;
    win32_systemtime_of_ticks(change->ticks + change->before * WIN32_TICKS, &at);
    WORD week = (WORD)((at.wDay - 1) / 7 + 1);
    if (at.wDay + 7 > days_in_month(at.wYear, at.wMonth))
        week = 5; /* the last one */
    at.wYear = 0;
    at.wDay = week;
    at.wMilliseconds = 0;
    return at;
}

static void copy_name(WCHAR *out, size_t size, const char *name)
{
    size_t i = 0;
    for (; name && name[i] && i + 1 < size; i++)
        out[i] = (uint8_t)name[i];
    out[i] = 0;
}

enum { TIME_ZONE_ID_UNKNOWN, TIME_ZONE_ID_STANDARD, TIME_ZONE_ID_DAYLIGHT };

static DWORD fill_zone(struct time_zone *out)
{
    SYSTEMTIME now;
    struct transition changes[2];
    int64_t ticks = win32_now();
    memset(out, 0, sizeof(*out));
    tzset();
    win32_systemtime_of_ticks(ticks, &now);
    size_t count = find_transitions(now.wYear, changes);
    bool summer_now = is_daylight(ticks);
    long standard = offset_at(ticks), summer = standard;
    for (size_t i = 0; i < count; i++) {
        standard = changes[i].to_daylight ? changes[i].before : changes[i].after;
        summer = changes[i].to_daylight ? changes[i].after : changes[i].before;
        if (changes[i].to_daylight)
            out->DaylightDate = rule_of(&changes[i]);
        else
            out->StandardDate = rule_of(&changes[i]);
    }
    out->Bias = (LONG)(-standard / 60);
    copy_name(out->StandardName, 32, tzname[0]);
    copy_name(out->DaylightName, 32, count ? tzname[1] : tzname[0]);
    if (count != 2)
        return TIME_ZONE_ID_UNKNOWN; /* no daylight saving time */
    out->DaylightBias = (LONG)((standard - summer) / 60);
    return summer_now ? TIME_ZONE_ID_DAYLIGHT : TIME_ZONE_ID_STANDARD;
}

static DWORD WINAPI_DEF k32_GetTimeZoneInformation(struct time_zone *out)
{
    return fill_zone(out);
}

static DWORD WINAPI_DEF k32_GetDynamicTimeZoneInformation(struct dynamic_time_zone *out)
{
    memset(out, 0, sizeof(*out));
    DWORD id = fill_zone(&out->zone);
    /* The registry key's name; without a table of them the zone's own short name has to do. */
    memcpy(out->TimeZoneKeyName, out->zone.StandardName, sizeof(out->zone.StandardName));
    return id;
}

/* Conversions by the host's own zone only; a zone of the caller's is not interpreted. */
static BOOL convert(const void *zone, const SYSTEMTIME *in, SYSTEMTIME *out, bool to_local)
{
    int64_t ticks;
    if (zone)
        return win32_fail(ERROR_NOT_SUPPORTED);
    if (!win32_ticks_of_systemtime(in, &ticks))
        return win32_fail(ERROR_INVALID_PARAMETER);
    return win32_systemtime_of_ticks(to_local ? win32_local_of_utc(ticks) : utc_of_local(ticks),
                                     out) ||
           win32_fail(ERROR_INVALID_PARAMETER);
}

static BOOL WINAPI_DEF k32_SystemTimeToTzSpecificLocalTime(const struct time_zone *zone,
                                                           const SYSTEMTIME *utc, SYSTEMTIME *local)
{
    return convert(zone, utc, local, true);
}

static BOOL WINAPI_DEF k32_TzSpecificLocalTimeToSystemTime(const struct time_zone *zone,
                                                           const SYSTEMTIME *local, SYSTEMTIME *utc)
{
    return convert(zone, local, utc, false);
}

/* Setting the clock needs a privilege that we do not have. */
static BOOL WINAPI_DEF k32_SetSystemTime(const SYSTEMTIME *time)
{
    return win32_fail(1314); /* ERROR_PRIVILEGE_NOT_HELD */
}

static BOOL WINAPI_DEF k32_SetLocalTime(const SYSTEMTIME *time)
{
    return win32_fail(1314);
}

/* The clock interrupt of a PC running Windows: every 15.625 ms. */
static BOOL WINAPI_DEF k32_GetSystemTimeAdjustment(DWORD *adjustment, DWORD *increment,
                                                   BOOL *disabled)
{
    *adjustment = *increment = 156250;
    *disabled = TRUE;
    return TRUE;
}

const struct ldr_builtin_export kernel32_time_exports[] = {
    LDR_FN(k32_, GetSystemTimeAsFileTime),
    {.name = "GetSystemTimePreciseAsFileTime",
     .kind = LDR_EXPORT_FUNCTION,
     .address = (const void *)k32_GetSystemTimeAsFileTime},
    LDR_FN(k32_, QueryPerformanceCounter),
    LDR_FN(k32_, QueryPerformanceFrequency),
    LDR_FN(k32_, GetTickCount),
    LDR_FN(k32_, GetTickCount64),
    LDR_FN(k32_, QueryUnbiasedInterruptTime),
    LDR_FN(k32_, FileTimeToSystemTime),
    LDR_FN(k32_, SystemTimeToFileTime),
    LDR_FN(k32_, GetSystemTime),
    LDR_FN(k32_, GetLocalTime),
    LDR_FN(k32_, SetSystemTime),
    LDR_FN(k32_, SetLocalTime),
    LDR_FN(k32_, CompareFileTime),
    LDR_FN(k32_, FileTimeToDosDateTime),
    LDR_FN(k32_, DosDateTimeToFileTime),
    LDR_FN(k32_, FileTimeToLocalFileTime),
    LDR_FN(k32_, LocalFileTimeToFileTime),
    LDR_FN(k32_, GetTimeZoneInformation),
    LDR_FN(k32_, GetDynamicTimeZoneInformation),
    LDR_FN(k32_, SystemTimeToTzSpecificLocalTime),
    LDR_FN(k32_, TzSpecificLocalTimeToSystemTime),
    LDR_FN(k32_, GetSystemTimeAdjustment),
};
const size_t kernel32_time_count = sizeof(kernel32_time_exports) / sizeof(*kernel32_time_exports);
