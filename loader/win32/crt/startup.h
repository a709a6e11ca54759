/*
 * Start-up state of the C runtime: the command line in pieces, and the environment.
 */
#ifndef WIN32_CRT_STARTUP_H
#define WIN32_CRT_STARTUP_H

#include "loader/win32/crt/internal.h"

/* Everything an attached runtime needs: streams, argv, environment. Idempotent. */
void crt_startup(void);

/*
 * Splits a command line as the C runtime does (the program's name has rules of its own, "" inside
 * quotes is a quote). malloc'd in one block: the array, ended by NULL, then the strings.
 */
crt_wchar **crt_split_command_line(const crt_wchar *command_line, int *count);

/* environment.c: fills _environ and _wenviron from the process environment. */
void crt_environment_init(void);

/* exit.c: runs what _onexit and atexit registered, last first, and flushes the streams. */
void crt_run_exit_functions(void);
void crt_exit(int code) __attribute__((noreturn));
void crt_abort(void) __attribute__((noreturn));
/* std::terminate(): the thread's handler, then abort(). */
void crt_terminate(void) __attribute__((noreturn));

/* signal.c: as raise(); returns when the signal was handled or is ignored. */
int crt_raise(int number);

#endif
