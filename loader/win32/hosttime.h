/*
 * Windows's time (100 ns since 1601-01-01 UTC) from the host's (since 1970-01-01 UTC).
 */
#ifndef WIN32_HOSTTIME_H
#define WIN32_HOSTTIME_H

#include <time.h>

#include "loader/win32/types.h"

#define WIN32_EPOCH_SECONDS 11644473600LL /* 1601-01-01 to 1970-01-01 */
#define WIN32_TICKS         10000000LL    /* 100 ns units in a second */

static inline int64_t win32_ticks(int64_t seconds, int64_t nanoseconds)
{
    return (seconds + WIN32_EPOCH_SECONDS) * WIN32_TICKS + nanoseconds / 100;
}

static inline int64_t win32_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return win32_ticks(now.tv_sec, now.tv_nsec);
}

/* A host clock in units of 100 ns. */
static inline int64_t win32_clock_ticks(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return now.tv_sec * WIN32_TICKS + now.tv_nsec / 100;
}

static inline struct timespec win32_timespec(int64_t ticks)
{
    struct timespec out;
    int64_t since_1970 = ticks - WIN32_EPOCH_SECONDS * WIN32_TICKS;
    int64_t rest = since_1970 % WIN32_TICKS;
    if (rest < 0)
        rest += WIN32_TICKS;
    out.tv_sec = (time_t)((since_1970 - rest) / WIN32_TICKS);
    out.tv_nsec = (long)(rest * 100);
    return out;
}

static inline FILETIME win32_filetime(int64_t ticks)
{
    FILETIME out = {(DWORD)ticks, (DWORD)((uint64_t)ticks >> 32)};
    return out;
}

static inline int64_t win32_filetime_ticks(const FILETIME *time)
{
    return (int64_t)((uint64_t)time->dwHighDateTime << 32 | time->dwLowDateTime);
}

#endif
