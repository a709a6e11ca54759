/*
 * Starting programs from the C runtime (spawn.c), for _spawn, _exec, system and _popen.
 */
#ifndef WIN32_CRT_SPAWN_H
#define WIN32_CRT_SPAWN_H

#include "loader/win32/crt/internal.h"

enum { CRT_P_WAIT, CRT_P_NOWAIT, CRT_P_OVERLAY, CRT_P_NOWAITO, CRT_P_DETACH };

/* The program whose command line is `line`; `application` NULL = the line says which. */
struct crt_spawn {
    const crt_wchar *application, *line;
    const crt_wchar *environment; /* a block; NULL = the process's */
    bool detached;
    void *std[3]; /* KERNEL32 handles instead of descriptors 0 to 2; NULL = those */
};
/* Its process handle, or NULL with errno set. */
void *crt_spawn(const struct crt_spawn *how);
/* Waits for it, closes the handle: the exit code. */
int crt_spawn_wait(void *process);

/*
 * _spawn by mode, for all of its forms; `search` = PATH, `environment` NULL = the process's. The
 * exit code, a handle or 0 as the mode says; -1 with errno set. CRT_P_OVERLAY does not return.
 */
intptr_t crt_spawn_wide(int mode, bool search, const crt_wchar *name,
                        const crt_wchar *const *arguments, const crt_wchar *const *environment);
intptr_t crt_spawn_narrow(int mode, bool search, const char *name, const char *const *arguments,
                          const char *const *environment);

#endif
