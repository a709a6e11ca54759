/*
 * File names: Windows's path grammar as strings, and the way to the host's file system.
 */
#ifndef WIN32_FILENAME_H
#define WIN32_FILENAME_H

#include "loader/win32/types.h"
#include "pe/status.h"

/*
 * The full path of `name` as RtlGetFullPathName_U makes it: absolute, "\" only, "." and ".."
 * resolved, DOS device names turned into \\.\NAME. malloc'ed; NULL without memory. Touches no file.
 */
WCHAR *win32_full_path(const WCHAR *name);
/* The current directory in Windows's form, without a trailing "\" unless it is a root. */
WCHAR *win32_current_directory(void);

/*
 * The host path of `name`, malloc'ed. STATUS_OBJECT_NAME_NOT_FOUND / _PATH_NOT_FOUND as ldr/path.h,
 * STATUS_OBJECT_NAME_INVALID for characters that no Windows name has, STATUS_NAME_TOO_LONG for more
 * than 32767 of them or what the host cannot take.
 */
nt_status win32_host_path(const WCHAR *name, bool must_exist, char **out);
/* A host path in Windows's form, malloc'ed. */
WCHAR *win32_windows_path(const char *host);
/* The host device behind \\.\NUL and its like, or NULL. `full` comes from win32_full_path(). */
const char *win32_host_device(const WCHAR *full);

#endif
