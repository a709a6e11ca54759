/*
 * Windows paths over a Linux file system.
 *
 * Z:\ is the root directory, C:\ as well unless the caller says otherwise; both slashes separate.
 * Looking up an existing path tries the exact spelling first and then, component by component, a
 * case-insensitive match, because Windows programs spell names as they like.
 */
#ifndef LDR_PATH_H
#define LDR_PATH_H

#include <stddef.h>
#include <stdint.h>

#include "pe/status.h"

/* UTF-8 host path -> Windows path ("Z:\\home\\x") in UTF-16, NUL-terminated. Returns characters
 * needed without the NUL; nothing is written when `size` (in characters) is too small. A relative
 * path is taken from the current directory; "." and ".." are resolved in the text. 0 = longer than
 * PATH_MAX. */
size_t ldr_path_to_windows(const char *host, uint16_t *out, size_t size);
/*
 * Windows (or host) path -> host path of at most `size` bytes. Device prefixes \\?\ and \\.\ are
 * understood; `must_exist` false lets the last component be new. STATUS_OBJECT_NAME_NOT_FOUND when
 * the last component is missing, STATUS_OBJECT_PATH_NOT_FOUND for an earlier one or another drive,
 * STATUS_OBJECT_NAME_INVALID for a new name that Windows forbids, STATUS_BUFFER_TOO_SMALL. Device
 * names ("NUL", "CONIN$") are the caller's business. `out` is undefined on failure.
 */
nt_status ldr_path_to_host(const uint16_t *windows, size_t length, bool must_exist, char *out,
                           size_t size);
/* The same for a path in UTF-8; bytes that are no UTF-8 are taken as they are. */
nt_status ldr_path_to_host_utf8(const char *windows, bool must_exist, char *out, size_t size);
/* Finds `name` in directory `dir` without regard to case; the exact spelling wins. */
bool ldr_path_find(const char *dir, const char *name, char *out, size_t size);

/* UTF conversions; both return the units needed without the NUL and write at most `size` units,
 * always NUL-terminated when size > 0. Ill-formed input becomes U+FFFD. */
size_t ldr_utf8_to_utf16(const char *in, size_t in_len, uint16_t *out, size_t size);
size_t ldr_utf16_to_utf8(const uint16_t *in, size_t in_len, char *out, size_t size);
/* ASCII case folding, as module names compare. */
int ldr_casecmp(const char *a, const char *b);
bool ldr_casesame(const char *a, const char *b, size_t length);
/* The same for names that are equal so. */
uint32_t ldr_casehash(const char *name, size_t length);

#endif
