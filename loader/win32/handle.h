/*
 * Handles of any type: what is behind them, and duplicates in this and other processes.
 */
#ifndef WIN32_HANDLE_H
#define WIN32_HANDLE_H

#include "loader/ob/process.h"
#include "loader/win32/types.h"

enum { HANDLE_FLAG_INHERIT = 1, HANDLE_FLAG_PROTECT_FROM_CLOSE = 2 };

/* The object behind any handle, pseudo handles included, and what the handle grants. A new
 * reference. */
nt_status win32_handle_object(HANDLE handle, struct ob_object **out, uint32_t *access);
/*
 * Mirrors NtDuplicateObject: `flags` HANDLE_FLAG_*, `options` OB_DUPLICATE_*. `target` NULL: nobody
 * wants to know the handle; `target_process` NULL: the source is only closed.
 */
nt_status win32_duplicate(HANDLE source_process, HANDLE source, HANDLE target_process,
                          HANDLE *target, uint32_t access, uint32_t flags, uint32_t options);
/* Whether both lead to the same object: STATUS_SUCCESS, or STATUS_NOT_SAME_OBJECT. */
nt_status win32_compare(HANDLE first, HANDLE second);

#endif
