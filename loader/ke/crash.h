/*
 * The parts of a crash report (crash*.c). All of them write to standard error or into a ke_text,
 * take no lock of peldr's, allocate nothing and read foreign memory through ke_peek().
 */
#ifndef KE_CRASH_H
#define KE_CRASH_H

#include "loader/ke/exception.h"
#include "loader/ke/report.h"

/*
 * "zlib1.dll!inflate+0x12": the nearest export below an address in an image; for native code the
 * builtin's or the host's function. Nothing when there is none. `*start`: where that begins, or 0.
 */
void ke_text_symbol(struct ke_text *text, uintptr_t address, uintptr_t *start);

/* The instructions around `pc`, which is marked. */
void ke_report_code(uintptr_t pc);

#endif
