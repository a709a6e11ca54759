/*
 * Helpers of the files that deal with the runtime directory (runtime.c).
 */
#ifndef OB_RUNTIME_H
#define OB_RUNTIME_H

#include "pe/status.h"

/* Records `error` (an errno value) as the NTSTATUS nearest to it: "text: strerror". Returns the
 * status. */
nt_status ob_fail_errno(struct pe_error *err, int error, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
