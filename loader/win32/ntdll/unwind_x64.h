/*
 * Functions of x86-64 exception handling that several DLLs export.
 */
#ifndef WIN32_NTDLL_UNWIND_X64_H
#define WIN32_NTDLL_UNWIND_X64_H

#include "loader/ke/unwind.h"

#ifdef __x86_64__

/* __C_specific_handler: __try, __except and __finally. */
enum ke_disposition WINAPI win32_C_specific_handler(struct ke_exception_record *record,
                                                    uint64_t frame, struct ke_context *context,
                                                    struct ke_dispatcher_context *dispatcher);
/* _local_unwind: leaves the scopes between here and a target in the same function. */
void WINAPI win32_local_unwind(void *frame, void *target);

#endif
#endif
