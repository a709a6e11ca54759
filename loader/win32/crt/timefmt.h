/*
 * struct tm between Windows and the host.
 */
#ifndef WIN32_CRT_TIMEFMT_H
#define WIN32_CRT_TIMEFMT_H

#include <time.h>

#include "loader/win32/crt/internal.h"

struct tm crt_host_tm(const struct crt_tm *in);

#endif
