/*
 * Handles of waitable objects, waits in Win32's terms, and the namespace of named objects.
 *
 * The namespace is this process's: sharing names with other processes needs backing files.
 */
#ifndef WIN32_WAITABLE_H
#define WIN32_WAITABLE_H

#include "loader/ob/object.h"
#include "loader/win32/types.h"

#define WAIT_FAILED        0xFFFFFFFFu
#define WIN32_WAIT_TIMEOUT 258u
#define WIN32_WAIT_MAX     64u
#define WIN32_SYNCHRONIZE  0x00100000u

/* Any handle, pseudo handles included, of an object that can be waited for. A new reference. */
nt_status win32_waitable(HANDLE handle, struct ob_object **out);
/* A handle of that type with `needed` access. A new reference. */
nt_status win32_typed(HANDLE handle, const struct ob_type *type, uint32_t needed,
                      struct ob_object **out);
/*
 * NtWaitForMultipleObjects: STATUS_SUCCESS + index, STATUS_TIMEOUT (0x102), 0x80 + index, or a
 * failure.
 */
nt_status win32_wait(const HANDLE *handles, DWORD count, bool all, DWORD milliseconds);
/* Alertable, it also ends with STATUS_USER_APC (0xC0), after the calls were made, and with
 * STATUS_ALERTED (0x101). */
nt_status win32_wait_alertable(const HANDLE *handles, DWORD count, bool all, DWORD milliseconds,
                               bool alertable);
/* The same with WAIT_FAILED and the last error. */
DWORD win32_wait_result(const HANDLE *handles, DWORD count, bool all, DWORD milliseconds);

/* A thread's handle, CURRENT_THREAD included, with `needed` access. A new reference. */
nt_status win32_thread(HANDLE handle, uint32_t needed, struct ob_object **out);
enum {
    WIN32_THREAD_TERMINATE = 0x0001,
    WIN32_THREAD_SUSPEND_RESUME = 0x0002,
    WIN32_THREAD_ALERT = 0x0004,
    WIN32_THREAD_GET_CONTEXT = 0x0008,
    WIN32_THREAD_SET_CONTEXT = 0x0010,
    WIN32_THREAD_ALL_ACCESS = 0x1FFFFF,
};

/*
 * An NT timeout (LARGE_INTEGER) in milliseconds, rounded up: NULL = for ever, negative = relative
 * in units of 100 ns, positive = a time since 1601.
 */
DWORD win32_timeout(const int64_t *timeout);

/*
 * Gives `fresh` the name, or drops it in favour of the object that has the name already
 * (STATUS_OBJECT_NAME_EXISTS). NULL and "" are no names. Either way `*out` is one reference.
 */
nt_status win32_name_object(const WCHAR *name, struct ob_object *fresh, struct ob_object **out);
nt_status win32_name_open(const WCHAR *name, const struct ob_type *type, struct ob_object **out);

/*
 * What every Create...W function ends with: names `fresh` (NULL = no memory), makes a handle, and
 * sets the last error to 0 or ERROR_ALREADY_EXISTS. Consumes `fresh`.
 */
HANDLE win32_create_handle(struct ob_object *fresh, const WCHAR *name, uint32_t access,
                           const SECURITY_ATTRIBUTES *attributes);
/* And every Open...W function. */
HANDLE win32_open_handle(const struct ob_type *type, const WCHAR *name, uint32_t access,
                         BOOL inherit);

#endif
