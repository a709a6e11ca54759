/*
 * What all builtin modules of win32/ have in common: the tables that their exports come from, and
 * the images that were written for them when peldr was built (loader/gen_prepared.c).
 */
#ifndef WIN32_BUILTINS_H
#define WIN32_BUILTINS_H

#include "loader/ldr/builtin.h"

/* The bases of those that have no traditional one, from here down; host modules lie below. */
#define WIN32_CRT_BASE        0x7B000000u
#define WIN32_SMALL_DLLS_BASE 0x7A800000u
#define WIN32_BASE_STRIDE     0x200000u

/* To be called before win32_register(), by who has such images; they live for ever. */
void win32_use_prepared(const struct ldr_prepared *images, size_t count);
/* ldr_builtin_register(), with the module's prepared image if there is one. */
nt_status win32_builtin_register(struct ldr_builtin *builtin);

/* The row that an export of a builtin is, or is a copy of; false when no table has it. */
bool win32_row_of(const struct ldr_builtin_export *export, struct ldr_row_ref *out);
const struct ldr_builtin_export *win32_row(struct ldr_row_ref ref);

#endif
