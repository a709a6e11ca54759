/*
 * Functions that do one thing to the host path of a name, for path.c and filechange.c.
 */
#ifndef WIN32_KERNEL32_WITHPATH_H
#define WIN32_KERNEL32_WITHPATH_H

#include "loader/win32/types.h"
#include "pe/status.h"

/* Runs `action` on the host path of `name`; NULL is a path that does not exist. */
BOOL win32_with_path(const WCHAR *name, bool must_exist, nt_status (*action)(const char *path));
BOOL win32_with_path_a(const char *name, bool must_exist, nt_status (*action)(const char *path));

#endif
