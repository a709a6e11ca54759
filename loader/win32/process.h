/*
 * The process as the builtin modules set it up: standard handles, environment.
 */
#ifndef WIN32_PROCESS_H
#define WIN32_PROCESS_H

#include "loader/ob/object.h"
#include "loader/win32/types.h"

/* Is it a handle (real or pseudo) of this process? Sets ERROR_INVALID_HANDLE when it is none of a
 * process, ERROR_ACCESS_DENIED when it is another's. */
bool win32_is_this_process(HANDLE process);

/* Closes any handle; pseudo handles are left alone, which counts as a success. */
nt_status win32_handle_close(HANDLE handle);

/*
 * Fills what images read from the PEB (process heap, standard handles, environment). Idempotent and
 * thread-safe; the builtin modules call it when they are attached.
 */
void win32_process_setup(void);

/* Standard handles that another process has chosen; before the builtin modules are attached. */
void win32_process_set_std_handles(uint32_t input, uint32_t output, uint32_t error);

/*
 * The environment (environment.c): a block of NUL-terminated "NAME=value" strings with one more NUL
 * at the end, which PEB.ProcessParameters.Environment points to. It starts as the host's, with PATH
 * in Windows's form and what every Windows process has.
 */
void win32_environment_install(void);
/*
 * Takes a copy of a block that another process has chosen, instead of the host's: `units` with both
 * NULs (without them it is cut or completed). Before the builtin modules are attached. False: no
 * memory.
 */
bool win32_environment_take(const WCHAR *source, size_t units);
/* Sets (`value` NULL: deletes) a variable. Returns a Win32 error. */
uint32_t win32_setenv(const WCHAR *name, const WCHAR *value);
/*
 * A variable of the process environment: malloc'ed, NULL when it is not set (or there is no
 * memory). Names compare without case.
 */
WCHAR *win32_getenv(const WCHAR *name, size_t name_length);
/* A copy of the whole block, malloc'ed; `units` (may be NULL) counts both NULs at the end. */
WCHAR *win32_environment_copy(size_t *units);

#endif
