/*
 * Clocks, file times, DOS times and time zones, in a zone that the test chooses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "loader/ke/ke.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "tests/unit/builtin_fn.h"
#include "tests/unit/wide.h"

struct time_zone {
    LONG Bias;
    WCHAR StandardName[32];
    SYSTEMTIME StandardDate;
    LONG StandardBias;
    WCHAR DaylightName[32];
    SYSTEMTIME DaylightDate;
    LONG DaylightBias;
};

FN(GetSystemTimeAsFileTime, void, FILETIME *out);
FN(FileTimeToSystemTime, BOOL, const FILETIME *in, SYSTEMTIME *out);
FN(SystemTimeToFileTime, BOOL, const SYSTEMTIME *in, FILETIME *out);
FN(FileTimeToDosDateTime, BOOL, const FILETIME *in, WORD *date, WORD *time);
FN(DosDateTimeToFileTime, BOOL, WORD date, WORD time, FILETIME *out);
FN(CompareFileTime, LONG, const FILETIME *a, const FILETIME *b);
FN(QueryPerformanceCounter, BOOL, LARGE_INTEGER *out);
FN(QueryPerformanceFrequency, BOOL, LARGE_INTEGER *out);
FN(GetTimeZoneInformation, DWORD, struct time_zone *out);
FN(SystemTimeToTzSpecificLocalTime, BOOL, const struct time_zone *zone, const SYSTEMTIME *utc,
   SYSTEMTIME *local);
FN(TzSpecificLocalTimeToSystemTime, BOOL, const struct time_zone *zone, const SYSTEMTIME *local,
   SYSTEMTIME *utc);
FN(GetTickCount, DWORD, void);
FN(GetTickCount64, ULONGLONG, void);

static int load(void **state)
{
    setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
    tzset();
    if (!nt_ok(ke_thread_attach(NULL)))
        return -1;
    LOAD_FN(kernel32_time, GetSystemTimeAsFileTime);
    LOAD_FN(kernel32_time, FileTimeToSystemTime);
    LOAD_FN(kernel32_time, SystemTimeToFileTime);
    LOAD_FN(kernel32_time, FileTimeToDosDateTime);
    LOAD_FN(kernel32_time, DosDateTimeToFileTime);
    LOAD_FN(kernel32_time, CompareFileTime);
    LOAD_FN(kernel32_time, QueryPerformanceCounter);
    LOAD_FN(kernel32_time, QueryPerformanceFrequency);
    LOAD_FN(kernel32_time, GetTimeZoneInformation);
    LOAD_FN(kernel32_time, SystemTimeToTzSpecificLocalTime);
    LOAD_FN(kernel32_time, TzSpecificLocalTimeToSystemTime);
    LOAD_FN(kernel32_time, GetTickCount);
    LOAD_FN(kernel32_time, GetTickCount64);
    return 0;
}

static FILETIME filetime(uint64_t ticks)
{
    return (FILETIME){(DWORD)ticks, (DWORD)(ticks >> 32)};
}

static uint64_t ticks_of(FILETIME time)
{
    return (uint64_t)time.dwHighDateTime << 32 | time.dwLowDateTime;
}

#define UNIX_EPOCH 116444736000000000ull /* 1970-01-01 in 100 ns since 1601 */

static void file_times_count_from_1601(void **state)
{
    SYSTEMTIME out;
    FILETIME now, zero = filetime(0), epoch = filetime(UNIX_EPOCH + 1234 * 10000ull);
    assert_true(FileTimeToSystemTime(&zero, &out));
    assert_int_equal(out.wYear, 1601);
    assert_int_equal(out.wMonth, 1);
    assert_int_equal(out.wDay, 1);
    assert_int_equal(out.wDayOfWeek, 1); /* a Monday */
    assert_true(FileTimeToSystemTime(&epoch, &out));
    assert_int_equal(out.wYear, 1970);
    assert_int_equal(out.wDayOfWeek, 4);
    assert_int_equal(out.wSecond, 1);
    assert_int_equal(out.wMilliseconds, 234);
    GetSystemTimeAsFileTime(&now);
    int64_t seconds = (int64_t)((ticks_of(now) - UNIX_EPOCH) / 10000000);
    assert_in_range(seconds, time(NULL) - 2, time(NULL) + 2);
    FILETIME negative = filetime(1ull << 63);
    assert_false(FileTimeToSystemTime(&negative, &out));
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
}

static void calendar_dates_are_checked(void **state)
{
    SYSTEMTIME leap = {.wYear = 2000, .wMonth = 2, .wDay = 29, .wDayOfWeek = 99};
    FILETIME out;
    assert_true(SystemTimeToFileTime(&leap, &out)); /* the day of the week is ignored */
    assert_int_equal(ticks_of(out), UNIX_EPOCH + 951782400ull * 10000000);
    leap.wYear = 1900;
    assert_false(SystemTimeToFileTime(&leap, &out));
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
    SYSTEMTIME early = {.wYear = 1600, .wMonth = 12, .wDay = 31};
    assert_false(SystemTimeToFileTime(&early, &out));
    SYSTEMTIME late = {.wYear = 2024, .wMonth = 1, .wDay = 1, .wHour = 24};
    assert_false(SystemTimeToFileTime(&late, &out));
}

static void dos_times_have_two_second_steps(void **state)
{
    WORD date, time;
    SYSTEMTIME in = {
        .wYear = 1998, .wMonth = 7, .wDay = 9, .wHour = 13, .wMinute = 41, .wSecond = 6};
    FILETIME exact, back;
    assert_true(SystemTimeToFileTime(&in, &exact));
    assert_true(FileTimeToDosDateTime(&exact, &date, &time));
    assert_int_equal(date, (1998 - 1980) << 9 | 7 << 5 | 9);
    assert_int_equal(time, 13 << 11 | 41 << 5 | 3);
    assert_true(DosDateTimeToFileTime(date, time, &back));
    assert_int_equal(CompareFileTime(&exact, &back), 0);
    FILETIME before = filetime(0);
    assert_int_equal(CompareFileTime(&before, &exact), -1);
    assert_int_equal(CompareFileTime(&exact, &before), 1);
    assert_false(FileTimeToDosDateTime(&before, &date, &time)); /* DOS begins in 1980 */
    assert_false(DosDateTimeToFileTime(0, 0, &back));           /* there is no day 0 */
}

static void clocks_go_forward(void **state)
{
    LARGE_INTEGER frequency, first, second;
    assert_true(QueryPerformanceFrequency(&frequency));
    assert_int_equal(frequency.QuadPart, 10000000);
    DWORD tick = GetTickCount();
    assert_true(QueryPerformanceCounter(&first));
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    assert_true(QueryPerformanceCounter(&second));
    assert_in_range(second.QuadPart - first.QuadPart, 200000, 100000000);
    assert_in_range(GetTickCount() - tick, 19, 10000);
    assert_in_range((DWORD)GetTickCount64() - GetTickCount() + 1000, 900, 1000);
}

static void the_zone_is_the_hosts(void **state)
{
    struct time_zone zone;
    DWORD id = GetTimeZoneInformation(&zone);
    assert_in_range(id, 1, 2);
    assert_int_equal(zone.Bias, -60); /* UTC = local time + bias, in minutes */
    assert_int_equal(zone.StandardBias, 0);
    assert_int_equal(zone.DaylightBias, -60);
    assert_string_equal(narrow(zone.StandardName), "CET");
    assert_string_equal(narrow(zone.DaylightName), "CEST");
    /* The last Sunday of March at 2:00 standard time, of October at 3:00 daylight time. */
    assert_int_equal(zone.DaylightDate.wYear, 0);
    assert_int_equal(zone.DaylightDate.wMonth, 3);
    assert_int_equal(zone.DaylightDate.wDay, 5);
    assert_int_equal(zone.DaylightDate.wDayOfWeek, 0);
    assert_int_equal(zone.DaylightDate.wHour, 2);
    assert_int_equal(zone.StandardDate.wMonth, 10);
    assert_int_equal(zone.StandardDate.wDay, 5);
    assert_int_equal(zone.StandardDate.wHour, 3);
}

static void local_times_follow_the_season(void **state)
{
    SYSTEMTIME summer = {.wYear = 2023, .wMonth = 7, .wDay = 1, .wHour = 23, .wMinute = 30};
    SYSTEMTIME winter = {.wYear = 2023, .wMonth = 1, .wDay = 15, .wHour = 12}, out, back;
    assert_true(SystemTimeToTzSpecificLocalTime(NULL, &summer, &out));
    assert_int_equal(out.wDay, 2);
    assert_int_equal(out.wHour, 1);
    assert_true(TzSpecificLocalTimeToSystemTime(NULL, &out, &back));
    assert_int_equal(back.wDay, 1);
    assert_int_equal(back.wHour, 23);
    assert_true(SystemTimeToTzSpecificLocalTime(NULL, &winter, &out));
    assert_int_equal(out.wHour, 13);
    assert_true(TzSpecificLocalTimeToSystemTime(NULL, &out, &back));
    assert_int_equal(back.wHour, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_times_count_from_1601),
        cmocka_unit_test(calendar_dates_are_checked),
        cmocka_unit_test(dos_times_have_two_second_steps),
        cmocka_unit_test(clocks_go_forward),
        cmocka_unit_test(the_zone_is_the_hosts),
        cmocka_unit_test(local_times_follow_the_season),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
