/*
 * The modules that every process has: ntdll, kernel32, kernelbase.
 */
#ifndef LDR_SYSTEM_H
#define LDR_SYSTEM_H

#include "pe/status.h"

/*
 * Loads those that are registered and not loaded yet. They stand first in the lists, in Windows's
 * order, because programs find kernel32 by its place (behaviours, Headers). Idempotent.
 */
nt_status ldr_system_modules(struct pe_error *err);

#endif
