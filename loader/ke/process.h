/*
 * The process as a whole: ke's inside.
 */
#ifndef KE_PROCESS_H
#define KE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "pe/status.h"

struct ke_thread;
struct ke_process_parameters;
struct ke_start;

/* Says `text` on standard error and aborts: for failures that no caller can be told of. */
void ke_process_die(const char *text) __attribute__((noreturn));
/* Arranges that this thread leaves when it ends; NULL takes it back. */
void ke_process_watch_thread(struct ke_thread *thread);

/* The process parameters with all their strings in one region of private memory. */
struct ke_parameters {
    const char *image_path;       /* host path */
    const char *command_line;     /* UTF-8; with `start`: "" */
    const struct ke_start *start; /* NULL = none */
};
nt_status ke_parameters_build(const struct ke_parameters *source,
                              struct ke_process_parameters **out, struct pe_error *err);
/* The command line that CommandLineToArgvW splits into `argv` again; malloc'ed, NULL = no memory.
 */
char *ke_command_line(int argc, char *const *argv);

/* loader/ke/kuser.c: maps KUSER_SHARED_DATA where that is possible. */
void ke_kuser_init(void);
/* Whether the page is still to be filled; async-signal-safe. */
bool ke_kuser_waits(uintptr_t address);
/* The first read of the page: fills it. False when the fault was something else. */
bool ke_kuser_fault(uintptr_t address, bool write);

/* loader/ke/fault.c */
void ke_fault_install(void);

/* loader/ke/trap.c: what a builtin's unwritten functions end in. */
void ke_trap(const char *module, const char *name);

#endif
