/*
 * What the files of the public API share: the thread's error and the way in.
 */
#ifndef LOADER_PELDR_API_H
#define LOADER_PELDR_API_H

#include <stddef.h>

#include "loader/ldr/builtin.h"
#include "loader/peldr.h"
#include "pe/status.h"

/* The images of the builtin modules; made by gen_prepared.c when peldr is built. */
extern const struct ldr_prepared peldr_prepared[];
extern const size_t peldr_prepared_count;

/* The error record of this thread, cleared; the builtin modules are registered from now on. */
struct pe_error *peldr_begin(void);
/* The same for functions that may run image code: the thread is attached, the process set up. */
nt_status peldr_enter(struct pe_error **err);
/* The same on the way to running a program: image code may run when the process is that program's
 * (ke_process_set_image). */
nt_status peldr_enter_for_program(struct pe_error **err);
/* Other processes can open this one and look at it from now on, if that is possible at all. */
void peldr_answer_others(void);
/* The same when the program that this thread is about to run has run for a moment, or waits: many
 * end before. */
void peldr_answer_others_later(void);
/* Initialises a program's modules (ldr_start) with the context of its initial thread at hand. */
nt_status peldr_start_program(peldr_module *exe, struct pe_error *err);
/* Runs a program that has been started to its end: its exit code. */
uint32_t peldr_run_program(peldr_module *exe);
/* 0 or -1; makes sure that a failure has a sentence. */
int peldr_result(nt_status status);

#endif
