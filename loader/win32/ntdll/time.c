/*
 * Clocks and calendar conversions of NTDLL: times are 100 ns since 1601 (LARGE_INTEGER).
 */
#include "loader/win32/errors.h"
#include "loader/win32/hosttime.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/systemtime.h"

#define SECONDS_1601_TO_1980 (WIN32_EPOCH_SECONDS + 315532800LL)

static nt_status WINAPI_DEF nt_NtQuerySystemTime(int64_t *out)
{
    *out = win32_now();
    return STATUS_SUCCESS;
}

static int64_t WINAPI_DEF nt_RtlGetSystemTimePrecise(void)
{
    return win32_now();
}

static nt_status WINAPI_DEF nt_NtQueryPerformanceCounter(int64_t *counter, int64_t *frequency)
{
    if (!counter)
        return (nt_status)STATUS_ACCESS_VIOLATION;
    *counter = win32_clock_ticks(CLOCK_MONOTONIC);
    if (frequency)
        *frequency = WIN32_TICKS;
    return STATUS_SUCCESS;
}

static BOOL WINAPI_DEF nt_RtlQueryPerformanceCounter(int64_t *out)
{
    *out = win32_clock_ticks(CLOCK_MONOTONIC);
    return TRUE;
}

static BOOL WINAPI_DEF nt_RtlQueryPerformanceFrequency(int64_t *out)
{
    *out = WIN32_TICKS;
    return TRUE;
}

static ULONG WINAPI_DEF nt_NtGetTickCount(void)
{
    return (ULONG)(win32_clock_ticks(CLOCK_BOOTTIME) / 10000);
}

/* ---- seconds since another epoch ----------------------------------------------------------------
 */

static void WINAPI_DEF nt_RtlSecondsSince1970ToTime(ULONG seconds, int64_t *out)
{
    *out = (seconds + WIN32_EPOCH_SECONDS) * WIN32_TICKS;
}

static void WINAPI_DEF nt_RtlSecondsSince1980ToTime(ULONG seconds, int64_t *out)
{
    *out = (seconds + SECONDS_1601_TO_1980) * WIN32_TICKS;
}

/* FALSE for what 32 bits of seconds do not reach. */
static BOOLEAN seconds_since(int64_t ticks, int64_t epoch, ULONG *out)
{
    int64_t seconds = ticks / WIN32_TICKS - epoch;
    if (ticks < 0 || seconds < 0 || seconds > (int64_t)UINT32_MAX)
        return FALSE;
    *out = (ULONG)seconds;
    return TRUE;
}

static BOOLEAN WINAPI_DEF nt_RtlTimeToSecondsSince1970(const int64_t *time, ULONG *out)
{
    return seconds_since(*time, WIN32_EPOCH_SECONDS, out);
}

static BOOLEAN WINAPI_DEF nt_RtlTimeToSecondsSince1980(const int64_t *time, ULONG *out)
{
    return seconds_since(*time, SECONDS_1601_TO_1980, out);
}

/* ---- calendar -----------------------------------------------------------------------------------
 */

typedef struct {
    SHORT Year, Month, Day, Hour, Minute, Second, Milliseconds, Weekday;
} TIME_FIELDS;

static void WINAPI_DEF nt_RtlTimeToTimeFields(const int64_t *time, TIME_FIELDS *out)
{
    SYSTEMTIME t;
    if (!win32_systemtime_of_ticks(*time, &t))
        return;
    *out = (TIME_FIELDS){
        .Year = (SHORT)t.wYear,
        .Month = (SHORT)t.wMonth,
        .Day = (SHORT)t.wDay,
        .Hour = (SHORT)t.wHour,
        .Minute = (SHORT)t.wMinute,
        .Second = (SHORT)t.wSecond,
        .Milliseconds = (SHORT)t.wMilliseconds,
        .Weekday = (SHORT)t.wDayOfWeek,
    };
}

/* The weekday is not looked at. A negative field is out of range as a WORD, too. */
static BOOLEAN WINAPI_DEF nt_RtlTimeFieldsToTime(const TIME_FIELDS *in, int64_t *out)
{
    SYSTEMTIME t = {
        .wYear = (WORD)in->Year,
        .wMonth = (WORD)in->Month,
        .wDay = (WORD)in->Day,
        .wHour = (WORD)in->Hour,
        .wMinute = (WORD)in->Minute,
        .wSecond = (WORD)in->Second,
        .wMilliseconds = (WORD)in->Milliseconds,
    };
    return win32_ticks_of_systemtime(&t, out);
}

static nt_status WINAPI_DEF nt_RtlSystemTimeToLocalTime(const int64_t *in, int64_t *out)
{
    *out = win32_local_of_utc(*in);
    return STATUS_SUCCESS;
}

const struct ldr_builtin_export ntdll_time_exports[] = {
    NT_ZW(QuerySystemTime),
    LDR_FN(nt_, RtlGetSystemTimePrecise),
    NT_ZW(QueryPerformanceCounter),
    LDR_FN(nt_, RtlQueryPerformanceCounter),
    LDR_FN(nt_, RtlQueryPerformanceFrequency),
    LDR_FN(nt_, NtGetTickCount),
    LDR_FN(nt_, RtlSecondsSince1970ToTime),
    LDR_FN(nt_, RtlSecondsSince1980ToTime),
    LDR_FN(nt_, RtlTimeToSecondsSince1970),
    LDR_FN(nt_, RtlTimeToSecondsSince1980),
    LDR_FN(nt_, RtlTimeToTimeFields),
    LDR_FN(nt_, RtlTimeFieldsToTime),
    LDR_FN(nt_, RtlSystemTimeToLocalTime),
};
const size_t ntdll_time_count = sizeof(ntdll_time_exports) / sizeof(*ntdll_time_exports);
