/*
 * The locks that live in images' own memory: critical sections, SRW locks, condition variables,
 * one-time initialisation. Images set them up statically, so the layouts and initial values are
 * Windows's; what the bits mean afterwards is documented for critical sections only.
 */
#ifndef WIN32_LOCKS_H
#define WIN32_LOCKS_H

#include "loader/abi.h"
#include "loader/ke/teb.h"
#include "loader/win32/types.h"
#include "pe/status.h"

typedef struct ke_critical_section CRITICAL_SECTION;

void win32_critsec_init(CRITICAL_SECTION *section, DWORD spin_count);
void win32_critsec_enter(CRITICAL_SECTION *section);
bool win32_critsec_try_enter(CRITICAL_SECTION *section);
void win32_critsec_leave(CRITICAL_SECTION *section);

/* SRWLOCK and CONDITION_VARIABLE: a pointer, zero at first. */
typedef struct {
    uintptr_t word;
} WIN32_WORD_LOCK;

void win32_srw_acquire_exclusive(WIN32_WORD_LOCK *lock);
void win32_srw_acquire_shared(WIN32_WORD_LOCK *lock);
bool win32_srw_try_exclusive(WIN32_WORD_LOCK *lock);
bool win32_srw_try_shared(WIN32_WORD_LOCK *lock);
void win32_srw_release_exclusive(WIN32_WORD_LOCK *lock);
void win32_srw_release_shared(WIN32_WORD_LOCK *lock);

/* False: `milliseconds` have passed. The lock is held again in either case. */
bool win32_condition_sleep_critsec(WIN32_WORD_LOCK *condition, CRITICAL_SECTION *section,
                                   DWORD milliseconds);
bool win32_condition_sleep_srw(WIN32_WORD_LOCK *condition, WIN32_WORD_LOCK *lock, bool shared,
                               DWORD milliseconds);
void win32_condition_wake(WIN32_WORD_LOCK *condition, bool all);

enum { ONCE_CHECK_ONLY = 1, ONCE_ASYNC = 2, ONCE_INIT_FAILED = 4 };

/* RtlRunOnceBeginInitialize: STATUS_SUCCESS = done, STATUS_PENDING = the caller initialises. */
nt_status win32_once_begin(uintptr_t *once, DWORD flags, void **context);
nt_status win32_once_complete(uintptr_t *once, DWORD flags, void *context);
typedef BOOL(WINAPI *win32_once_function)(uintptr_t *once, void *parameter, void **context);
/* STATUS_UNSUCCESSFUL when the function refused: the next caller tries again. */
nt_status win32_once_execute(uintptr_t *once, win32_once_function function, void *parameter,
                             void **context);

/* WaitOnAddress: false = the time is over. `size` is 1, 2, 4 or 8. */
bool win32_address_wait(const volatile void *address, const void *compare, size_t size,
                        DWORD milliseconds);
void win32_address_wake(const void *address, bool all);

#endif
