/*
 * Handles of waitable objects, waits in Win32's terms, and how KERNEL32 creates and opens objects
 * that have names.
 */
#ifndef WIN32_WAITABLE_H
#define WIN32_WAITABLE_H

#include "loader/ob/record.h"
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
 * What every Create...W function ends with: a handle to the object of a creation that ended with
 * `status`, and the last error 0 or ERROR_ALREADY_EXISTS. Consumes the reference, which there is
 * when `status` is a success.
 */
HANDLE win32_created(nt_status status, struct ob_object *object, uint32_t access,
                     const SECURITY_ATTRIBUTES *attributes);
/* A whole Open...W function, and its A twin. */
HANDLE win32_open_handle(const struct ob_record_type *type, const WCHAR *name, uint32_t access,
                         BOOL inherit);
HANDLE win32_open_handle_a(const struct ob_record_type *type, const char *name, uint32_t access,
                           BOOL inherit);

/* How timers get to other processes (ob/parcel.h). */
void win32_timer_register(void);

#endif
