/*
 * Narrow path arguments, and results that a caller's buffer or malloc receives.
 */
#ifndef WIN32_CRT_PATH_H
#define WIN32_CRT_PATH_H

#include "loader/win32/crt/internal.h"

/* By the code page of file names; malloc'd. NULL with errno set, EINVAL for NULL. */
crt_wchar *crt_path_widen(const char *path);
/* The host path of a Windows path, malloc'd. NULL with errno set. */
char *crt_path_host(const crt_wchar *path, bool must_exist);
/*
 * Copies `text`, which is freed, to `buffer` of `size` units, or returns a malloc'd copy when that
 * is NULL (_getcwd, _fullpath). NULL with errno ERANGE when it does not fit.
 */
char *crt_path_return(crt_wchar *text, char *buffer, size_t size);
crt_wchar *crt_path_return_wide(crt_wchar *text, crt_wchar *buffer, size_t size);

#endif
