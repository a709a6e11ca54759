/*
 * SYSTEMTIME and local time, for KERNEL32's other families and NTDLL (kernel32/time.c).
 */
#ifndef WIN32_SYSTEMTIME_H
#define WIN32_SYSTEMTIME_H

#include "loader/win32/types.h"

/* `ticks`: 100 ns since 1601. False for what a SYSTEMTIME cannot hold, or holds wrongly. */
bool win32_systemtime_of_ticks(int64_t ticks, SYSTEMTIME *out);
bool win32_ticks_of_systemtime(const SYSTEMTIME *in, int64_t *ticks);
int64_t win32_local_of_utc(int64_t ticks);

#endif
